"""A Prometheus that has to be told who asks: by headers, a password or a token, made of Secrets.

Values of Secrets are read when something is asked, kept for seconds, and stand in no message and no log.
"""

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import quote_plus

import aiohttp

from analysis.evidence import Labels, Series
from analysis.sources import QueryRefusedError, SourceDownError
from analysis.sources.batching import BatchingSource
from analysis.sources.evaluating import Answer, Window
from analysis.sources.prometheus import PrometheusSource
from rollout.api.errors import Retry, Stalled
from rollout.api.providers import REFERENCE, OAuth2, Prometheus
from rollout.api.selectors import placeholders
from rollout.measure.access import Access

T = TypeVar("T")
ReadSecret = Callable[[str, str, str], Awaitable[Mapping[str, bytes]]]
"""From a namespace, a name and the field that names it to the decoded data; raises Stalled."""
Open = Callable[[Mapping[str, str]], PrometheusSource]
"""Opens a connection whose questions carry these headers."""

KNOWN_S = 10.0
"""How long a value is used before its Secret is read again."""
TOKEN_S = 10.0
"""The longest that the giver of tokens is waited for."""
TOKEN_BYTES = 64 * 1024
EARLY_S = 30.0
"""How long before its end a token is renewed."""
_FIELD = "provider.prometheus"
_REFERENCE = re.compile(rf"{REFERENCE}([^/]+)/(.+)")


class ProvingSource:
    """Asks as who it is told to be; a Secret that is missing is a refusal that names it."""

    def __init__(self, access: Access, read: ReadSecret, open_: Open) -> None:
        self._access = access
        self._read = read
        self._open = open_
        self._headers: Mapping[str, str] = {}
        self._until = 0.0
        self._asked: tuple[PrometheusSource, BatchingSource] | None = None
        self._retired: PrometheusSource | None = None
        self._token: tuple[float, OAuth2, str] | None = None
        self._words: frozenset[str] = frozenset()
        """What stands in no message."""
        self._lock = asyncio.Lock()

    async def query(self, selector: str, at: datetime, span: timedelta) -> tuple[Series, ...]:
        """As a Source."""
        return await self._told(lambda source: source.query(selector, at, span))

    async def instant(self, expression: str, at: datetime) -> tuple[tuple[Labels, float], ...]:
        """As a Source."""
        return await self._told(lambda source: source.instant(expression, at))

    async def evaluate(self, expression: str, at: datetime) -> Answer:
        """The result of an expression."""
        return await self._told(lambda source: source.evaluate(expression, at))

    async def evaluate_range(self, expression: str, window: Window) -> Answer:
        """The results of an expression at several instants."""
        return await self._told(lambda source: source.evaluate_range(expression, window))

    def close(self) -> None:
        """Close its connections."""
        for source in (self._retired, self._asked[0] if self._asked else None):
            if source is not None:
                source.close()

    async def _told(self, ask: Callable[[BatchingSource], Awaitable[T]]) -> T:
        """What is answered; a refusal that repeats who asked is told without it."""
        try:
            return await ask(await self._source())
        except QueryRefusedError as refused:
            self._until = 0.0  # what proved it may have changed
            if "HTTP 401" in str(refused):
                self._token = None
            raise QueryRefusedError(self._without_proof(str(refused))) from None
        except SourceDownError as outage:
            raise SourceDownError(self._without_proof(str(outage))) from None

    def _without_proof(self, text: str) -> str:
        for word in self._words:
            text = text.replace(word, "***")
        return text

    async def _source(self) -> BatchingSource:
        async with self._lock:
            if self._asked is None or time.monotonic() >= self._until:
                headers = await self._proof()
                if self._asked is None or headers != self._headers:
                    if self._retired is not None:
                        self._retired.close()
                    # What is under way on it goes on.
                    self._retired = self._asked[0] if self._asked is not None else None
                    opened = self._open(headers)
                    self._asked = (opened, BatchingSource(opened))
                self._headers, self._until = headers, time.monotonic() + KNOWN_S
            return self._asked[1]

    async def _proof(self) -> dict[str, str]:
        """The headers of each question."""
        server = await self._with_secrets()
        headers = {each.key: each.value for each in server.headers}
        authentication = server.authentication
        if authentication is not None and authentication.basic_auth is not None:
            basic = authentication.basic_auth
            headers["Authorization"] = _basic(basic.username, basic.password)
            self._words |= {headers["Authorization"].removeprefix("Basic ")}
        if authentication is not None and authentication.oauth2 is not None:
            token = await self._bearer(authentication.oauth2)
            self._words |= {token}
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def _with_secrets(self) -> Prometheus:
        """The server with the values of its Secrets; each Secret is read once."""
        server = self._access.server
        named = {name for _, text in server.credentials for name in placeholders(text)}
        held: dict[str, Mapping[str, bytes]] = {}
        values: dict[str, str] = {}
        for name in sorted(named):
            found = _REFERENCE.fullmatch(name)
            if found is None:
                raise QueryRefusedError(f"{_FIELD}: nothing fills in {{{{{name}}}}}")
            secret, key = found.groups()
            if secret not in held:
                held[secret] = await self._secret(secret)
            values[name] = _value(held[secret], secret, key)
        self._words = frozenset(values.values())
        return server.with_credentials(values)

    async def _secret(self, name: str) -> Mapping[str, bytes]:
        try:
            return await self._read(self._access.namespace, name, _FIELD)
        except Retry as failed:
            raise SourceDownError(f"the Secret {name!r} can't be read: {failed}") from None
        except Stalled as refused:
            raise QueryRefusedError(str(refused)) from None

    async def _bearer(self, client: OAuth2) -> str:
        """A token, fetched where the last one ends or was given to somebody else."""
        now = time.monotonic()
        if self._token is None or now >= self._token[0] or self._token[1] != client:
            lasts, token = await _fetched(client)
            self._token = (now + lasts, client, token)
        return self._token[2]


def _value(data: Mapping[str, bytes], secret: str, key: str) -> str:
    """A value without the end of line that editors add."""
    if key not in data:
        raise QueryRefusedError(f"{_FIELD}: the Secret {secret!r} has no key {key!r}; add it")
    text = data[key].decode("utf-8", "replace").rstrip("\r\n")
    if not text or not text.isprintable() or not text.isascii():
        raise QueryRefusedError(
            f"{_FIELD}: the key {key!r} of the Secret {secret!r} is empty, or no text of one line; mend it"
        )
    return text


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


async def _fetched(client: OAuth2) -> tuple[float, str]:
    """(seconds to use it for, token) by client credentials (RFC 6749, section 4.4)."""
    where = f"{_FIELD}.authentication.oauth2.tokenUrl"
    form = {"grant_type": "client_credentials"} | (
        {"scope": " ".join(client.scopes)} if client.scopes else {}
    )
    login = {"Authorization": _basic(quote_plus(client.client_id), quote_plus(client.client_secret))}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TOKEN_S)) as session,
            session.post(client.token_url, data=form, headers=login, allow_redirects=False) as reply,
        ):
            if reply.status >= 500:
                raise SourceDownError(f"{where}: no token is given now (HTTP {reply.status})")
            if reply.status != 200:
                raise QueryRefusedError(
                    f"{where}: no token is given to this client (HTTP {reply.status}); check its id, secret "
                    "and scopes"
                )
            answer = json.loads(await reply.content.read(TOKEN_BYTES))
            return max(float(answer.get("expires_in") or 300.0) - EARLY_S, 1.0), str(answer["access_token"])
    except (aiohttp.ClientError, TimeoutError) as failed:
        raise SourceDownError(f"{where}: no token is given: {type(failed).__name__}") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise QueryRefusedError(f"{where}: the answer is no token; check the address") from None
