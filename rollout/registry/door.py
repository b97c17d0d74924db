"""The one way to a registry: its tags and digests, by bearer tokens where it wants them."""

import base64
import json
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import aiohttp

from rollout.api.errors import Retry, Stalled
from rollout.git.environment import GitPolicy
from rollout.git.remote import parse_url
from rollout.registry.names import Name

REQUEST_SECONDS = 15
PAGES = 200
PAGE_TAGS = 1000
_ANSWER_BYTES = 8 << 20
_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        *("oci.image.index.v1", "docker.distribution.manifest.list.v2"),
        *("oci.image.manifest.v1", "docker.distribution.manifest.v2"),
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FIELD = "spec.images.secretRef"


class RegistryRefused(Stalled):
    """The registry doesn't let us; nothing else is affected."""

    def __init__(self, message: str) -> None:
        super().__init__("ImageScanFailed", message)


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to a registry; never printed."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def from_secret(cls, data: Mapping[str, bytes], host: str) -> "Login":
        """From a Secret for pulling images (`.dockerconfigjson`), or with `username` and `password`.

        Raises `Stalled(InvalidCredential)`, which names keys and never values.
        """
        if "password" in data:
            return cls(_text(data.get("username", b"")), _text(data["password"]))
        try:
            auths = json.loads(data[".dockerconfigjson"])["auths"]
            known = {re.sub(r"^https?://|/.*$", "", key): each for key, each in auths.items()}
            found = known.get(host) or known["index.docker.io" if host == "docker.io" else host]
            if "auth" in found:
                user, _, password = base64.b64decode(found["auth"]).decode().partition(":")
            else:
                user, password = found["username"], found["password"]
        except (KeyError, TypeError, ValueError, AttributeError):
            what = f"it has neither `username` and `password` nor a `.dockerconfigjson` with {host}"
            raise Stalled("InvalidCredential", f"{_FIELD}: {what}") from None
        return cls(user, password)


class Registry:
    """One repository of a registry, for as long as the context lasts. Raises `Retry`, `RegistryRefused`."""

    def __init__(self, name: Name, login: Login, policy: GitPolicy) -> None:
        self._name = name
        self._login = login
        self._policy = policy
        plain = policy.local_hosts and "http" in policy.protocols
        self._base = f"{'http' if plain and _is_local(name.server) else 'https'}://{name.server}"
        self._authorization = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open."""
        self._check(f"{self._base}/v2/{self._name.repository}/")
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "rollout"})
        self._session = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self._stack.aclose()

    async def tags(self) -> tuple[str, ...]:
        """All tags, page by page."""
        found: list[str] = []
        path = f"/v2/{self._name.repository}/tags/list?n={PAGE_TAGS}"
        for _ in range(PAGES):
            headers, body = await self._get("GET", path, "application/json")
            found += [tag for tag in (_json(body).get("tags") or ()) if isinstance(tag, str)]
            path = self._next(headers, path)
            if not path:
                return tuple(found)
        raise RegistryRefused(f"{self._name.repository} has more than {PAGES} pages of tags")

    async def digest(self, tag: str) -> str:
        """The digest that a tag stands for now: `sha256:...`."""
        path = f"/v2/{self._name.repository}/manifests/{tag}"
        headers, _ = await self._get("HEAD", path, _MANIFESTS)
        digest = headers.get("Docker-Content-Digest", "")
        if not _DIGEST.fullmatch(digest):
            raise RegistryRefused(f"{self._name.repository}:{tag}: the registry gives no digest")
        return str(digest)

    def _next(self, headers: Mapping[str, str], path: str) -> str:
        """The path of the page after this one; only on the same server."""
        match = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', headers.get("Link", ""))
        if match is None:
            return ""
        url = urljoin(self._base + path, match[1])
        if not url.startswith(f"{self._base}/v2/"):
            raise RegistryRefused("the registry's next page is on another server")
        return str(url.removeprefix(self._base))

    async def _get(self, method: str, path: str, accept: str) -> tuple[Mapping[str, str], bytes]:
        code, headers, body = await self._ask(method, self._base + path, accept, self._authorization)
        if code == 401 and not self._authorization:
            self._authorization = await self._authorized(headers.get("WWW-Authenticate", ""))
            code, headers, body = await self._ask(method, self._base + path, accept, self._authorization)
        where = f"{method} {self._name.host}{path.partition('?')[0]} was answered {code}"
        if code == 200:
            return headers, body
        if code == 429 or code >= 500:
            told = headers.get("Retry-After", "")
            wait = timedelta(seconds=min(int(told), 3600) if told.isdecimal() else 60)
            raise Retry(where, wait)
        remedy = "the image is not there, or the Secret may not see it" if code == 404 else f"check {_FIELD}"
        raise RegistryRefused(f"{remedy}; {where}")

    async def _authorized(self, challenge: str) -> str:
        """The header that a challenge asks for."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._login.password:
            return self._basic
        told = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() != "bearer" or "realm" not in told:
            raise RegistryRefused(f"the registry wants a login: set {_FIELD}")
        realm = told["realm"]
        self._check(realm.partition("?")[0] + "/")
        query = {"service": told.get("service", ""), "scope": f"repository:{self._name.repository}:pull"}
        authorization = self._basic if self._login.password else ""
        code, _, body = await self._ask("GET", realm, "application/json", authorization, query)
        if code != 200:
            host = urlsplit(realm).hostname
            raise RegistryRefused(f"{host} gives no token ({code}): check {_FIELD}")
        answer = _json(body)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise RegistryRefused("the registry's tokens can't be read")
        return f"Bearer {token}"

    @property
    def _basic(self) -> str:
        both = f"{self._login.username}:{self._login.password}".encode()
        return f"Basic {base64.b64encode(both).decode()}"

    async def _ask(
        self, method: str, url: str, accept: str, authorization: str, query: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": accept, **({"Authorization": authorization} if authorization else {})}
        try:
            # A redirect would carry the login elsewhere.
            async with self._session.request(
                method, url, params=query, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, answer.headers, await _body(answer)
        except (aiohttp.ClientError, TimeoutError) as failure:
            where = urlsplit(url).hostname
            raise Retry(f"{where}: {type(failure).__name__}", timedelta(seconds=30)) from failure

    def _check(self, url: str) -> None:
        schemes = self._policy.protocols & {"https", "http"}
        try:
            parse_url(url, schemes, local_hosts=self._policy.local_hosts)
        except Stalled as refused:
            raise RegistryRefused(str(refused).replace("spec.url", "the registry")) from None


def _is_local(server: str) -> bool:
    return server.partition(":")[0] in ("localhost", "127.0.0.1")


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > _ANSWER_BYTES:
            raise RegistryRefused(f"the registry answers more than {_ANSWER_BYTES} bytes")
    return bytes(body)


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise RegistryRefused("the registry does not answer JSON: is it one?") from None
    if not isinstance(answer, dict):
        raise RegistryRefused("the registry does not answer an object: is it one?")
    return answer


def _text(value: bytes) -> str:
    return value.decode(errors="replace").strip("\r\n")
