"""The one way to a host's API: a few requests with a time limit, tried again where that may help."""

import asyncio
import json
import random
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import aiohttp

from rollout.api.errors import Retry, Stalled
from rollout.forge.asking import Ask, Dialect, Proposal, Status

TRIES = 3
REQUEST_SECONDS = 10
_ANSWER_BYTES = 4 << 20
_LONGEST_WAIT = timedelta(hours=1)


class ForgeRefused(Stalled):
    """The host doesn't let us; the rollout itself is not affected."""

    def __init__(self, message: str) -> None:
        super().__init__("WriteBackRefused", message)


class _Absent(Exception):  # noqa: N818 -- named by what happened
    """The host knows nothing of what was asked for."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who we are to a host; never printed."""

    token: str = field(repr=False)
    username: str = field(default="", repr=False)
    ca: bytes = field(default=b"", repr=False)

    @classmethod
    def from_secret(cls, data: Mapping[str, bytes]) -> "Access":
        """From a Secret's decoded data: `token`, or `username` and `password`; and `ca.crt`.

        Raises `Stalled(InvalidCredential)`, which names keys and never values.
        """
        given = [key for key in ("token", "password") if data.get(key)]
        if len(given) != 1:
            what = "it needs `token`, or `username` and `password`"
            raise Stalled("InvalidCredential", f"spec.writeBack.provider.secretRef: {what}")
        token, username = (_line(data.get(key, b"")) for key in (given[0], "username"))
        if not token or not (token + username).isascii() or not (token + username).isprintable():
            what = "a value holds characters that no header may hold"
            raise Stalled("InvalidCredential", f"spec.writeBack.provider.secretRef: {what}")
        return cls(token, username, data.get("ca.crt", b""))


class Forge:
    """A host about one repository, for as long as the context lasts. Raises `Retry` or `ForgeRefused`."""

    def __init__(self, address: str, dialect: Dialect, access: Access) -> None:
        self._address = address.rstrip("/")
        self._dialect = dialect
        self._access = access
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open."""
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
                connector=aiohttp.TCPConnector(ssl=_trust(self._access.ca)),
                headers={"User-Agent": "rollout", "Accept": "application/json"},
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self._stack.aclose()

    async def report(self, status: Status) -> bool:
        """Tell a commit, unless it was told the same last; whether it was told now."""
        try:
            told = self._dialect.stands(await self._ask(self._dialect.look(status)), status)
        except _Absent:
            told = False
        if not told:
            await self._must(self._dialect.report(status))
        return not told

    async def propose(self, proposal: Proposal) -> str:
        """Ask people to merge a branch, once; the page to do it on."""
        answer = await self._must(self._dialect.open_proposals(proposal))
        if page := self._dialect.found(answer, proposal):
            return page
        return self._dialect.page(await self._must(self._dialect.propose(proposal)))

    async def _must(self, ask: Ask) -> Any:
        try:
            return await self._ask(ask)
        except _Absent as absent:
            what = "the repository or commit is not there, or the token may not see it"
            raise ForgeRefused(f"{what}: check spec.writeBack.provider; {absent}") from absent

    async def _ask(self, ask: Ask) -> Any:
        for attempt in range(TRIES):
            try:
                return await self._once(ask)
            except (aiohttp.ClientError, TimeoutError, _Failed) as failure:
                said = str(failure) if isinstance(failure, _Failed) else type(failure).__name__
                if attempt == TRIES - 1:
                    raise Retry(f"{ask.method} {ask.path}: {said}", timedelta(seconds=30)) from failure
            await asyncio.sleep(random.uniform(0.1, 0.4) * 2**attempt)
        raise AssertionError("unreachable")

    async def _once(self, ask: Ask) -> Any:
        headers = self._dialect.authorize(self._access.username, self._access.token)
        # A redirect would carry the token elsewhere.
        asked = self._session.request(
            ask.method,
            self._address + ask.path,
            params=list(ask.query),
            json=ask.body,
            headers=headers,
            allow_redirects=False,
        )
        async with asked as answer:
            return self._read(ask, answer.status, answer.headers, await _body(answer))

    def _read(self, ask: Ask, code: int, headers: Mapping[str, str], body: bytes) -> Any:
        what = f"{ask.method} {ask.path} was answered {code}"
        if 200 <= code < 300:
            return _json(body)
        said = f"{what}: {self._masked(body)}" if body else what
        if wait := _asked_to_wait(code, headers):
            raise Retry(said, wait)
        if code == 404:
            raise _Absent(said)
        if code >= 500 or code == 408:
            raise _Failed(said)
        if code == 400 and b"Cannot transition status" in body:
            return None  # an old GitLab, of a state that stands already
        remedy = {
            401: "the token of spec.writeBack.provider.secretRef is not valid (any more): make a new one",
            403: "the token of spec.writeBack.provider.secretRef has not the right: grant it",
        }.get(code, "check spec.writeBack.provider")
        raise ForgeRefused(f"{remedy}; {said}")

    def _masked(self, body: bytes) -> str:
        text = " ".join(body.decode(errors="replace").split())
        printable = "".join(letter if letter.isprintable() else " " for letter in text)
        return printable.replace(self._access.token, "***")[:200]


class _Failed(Exception):  # noqa: N818 -- named by what happened
    """The host has a bad moment."""


def _asked_to_wait(code: int, headers: Mapping[str, str]) -> timedelta | None:
    """How long a host that limits us wants to be left alone: 429, and GitHub's 403."""
    if code not in (403, 429, 503):
        return None
    if headers.get("Retry-After", "").isdecimal():
        return min(timedelta(seconds=int(headers["Retry-After"])), _LONGEST_WAIT)
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        wait = datetime.fromtimestamp(min(int(reset), 1 << 33), UTC) - datetime.now(UTC)
        return max(min(wait, _LONGEST_WAIT), timedelta(seconds=1))
    return timedelta(minutes=1) if code == 429 else None


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > _ANSWER_BYTES:
            raise ForgeRefused(f"the host answers more than {_ANSWER_BYTES} bytes: is it one?")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body.strip() else None
    except (ValueError, RecursionError):
        raise ForgeRefused("the host does not answer JSON: check spec.writeBack.provider.address") from None


def _trust(ca: bytes) -> ssl.SSLContext | bool:
    if not ca:
        return True
    try:
        return ssl.create_default_context(cadata=ca.decode())
    except (ssl.SSLError, ValueError):
        what = "`ca.crt` is no certificate in PEM"
        raise Stalled("InvalidCredential", f"spec.writeBack.provider.secretRef: {what}") from None


def _line(value: bytes) -> str:
    return value.decode(errors="replace").strip("\r\n")
