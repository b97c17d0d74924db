"""The log of requests, and faults that tests put in their way."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rollout.sandbox.apiserver.errors import ApiError

KEPT = 10000


@dataclass(slots=True)
class Request:
    """One request; `status` is 0 until it is answered."""

    method: str
    path: str
    query: dict[str, str]
    user: str
    agent: str
    at: datetime
    status: int = 0

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.method in {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a request instead of, or before, its answer.

    `delay` seconds first; then `error` is answered, or the connection is cut (`cut`), or, where neither is
    set, the
    request is served. `cut` with `after` serves the request and cuts the connection before the answer is
    sent.
    """

    delay: float = 0.0
    error: ApiError | None = None
    cut: bool = False
    after: bool = False


Faults = Callable[[Request], Awaitable[Fault | None]]


@dataclass(slots=True)
class RequestLog:
    """The last requests, and how many there were."""

    entries: deque[Request] = field(default_factory=lambda: deque(maxlen=KEPT))
    total: int = 0

    def begin(self, method: str, path: str, query: dict[str, str], user: str, agent: str) -> Request:
        """Note a request."""
        entry = Request(method, path, query, user, agent, datetime.now(UTC))
        self.entries.append(entry)
        self.total += 1
        return entry

    def writes(self, agent: str = "", path: str = "") -> list[Request]:
        """Requests that change something, of a user agent and path that contain the texts."""
        return [e for e in tuple(self.entries) if e.writes and agent in e.agent and path in e.path]

    def clear(self) -> None:
        """Forget them."""
        self.entries.clear()
        self.total = 0
