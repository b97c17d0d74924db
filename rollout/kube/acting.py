"""Acting as somebody else: requests that carry another user's name, and never go out without one."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from rollout.api.errors import Stalled
from rollout.kube.errors import Asked, Forbidden
from rollout.kube.transport import Request, Wire


class NotActing(Stalled):
    """We may not act as that user; nothing was asked as ourselves instead."""

    def __init__(self, message: str) -> None:
        super().__init__("ImpersonationForbidden", message)


class As:
    """A wire on which every request is made as `user`; it does not own the connections."""

    def __init__(self, wire: Wire, user: str) -> None:
        if not user:
            raise ValueError("a user to act as has a name")
        self._wire = wire
        self._user = user

    async def close(self) -> None:
        """Nothing: the connections belong to the other wire."""

    async def call(self, asked: Asked, request: Request) -> Any:
        """As the other wire.

        Raises:
            NotActing: the API server does not let us be this user.
        """
        try:
            return await self._wire.call(asked, replace(request, as_user=self._user))
        except Forbidden as refusal:
            if "cannot impersonate" in str(refusal):
                raise NotActing(str(refusal)) from refusal
            raise

    def lines(self, asked: Asked, request: Request, silence: float) -> AsyncGenerator[bytes, None]:
        """As the other wire."""
        return self._wire.lines(asked, replace(request, as_user=self._user), silence)
