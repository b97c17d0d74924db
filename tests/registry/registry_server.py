"""A registry on loopback: the Docker Registry HTTP API V2 with bearer tokens, pages and digests.

After the distribution project's specification: "Token Authentication" and "Listing Image Tags".
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

USER, PASSWORD = "robot", "pull-s3cret"
TOKEN = "a-b3arer-token"


@dataclass
class RegistryServer:
    """`tags` by repository; `page` is the most that it gives at once."""

    tags: dict[str, list[str]] = field(default_factory=dict)
    page: int = 3
    scheme: str = "Bearer"
    """Bearer, Basic, or '' for a registry that is open."""
    asked: list[str] = field(default_factory=list)
    elsewhere: bool = False
    """Whether its next pages are said to be on another server."""
    address: str = ""

    async def __aenter__(self) -> "RegistryServer":
        application = web.Application()
        application.router.add_get("/token", self.token)
        application.router.add_get("/v2/{name:.+}/tags/list", self.list)
        application.router.add_route("*", "/v2/{name:.+}/manifests/{reference}", self.manifest)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append(request.rel_url.path_qs)
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != basic:
            return self._error(401, "UNAUTHORIZED")
        assert request.query["service"] == "the-registry"
        return web.json_response({"token": f"{TOKEN} {request.query['scope']}".replace(" ", ".")})

    async def list(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        name = request.match_info["name"]
        if name not in self.tags:
            return self._error(404, "NAME_UNKNOWN")
        known, last = sorted(self.tags[name]), request.query.get("last", "")
        count = min(int(request.query.get("n", self.page)), self.page)
        rest = [tag for tag in known if tag > last]
        headers = {}
        if len(rest) > count:
            where = f"/v2/{name}/tags/list?last={rest[count - 1]}&n={count}"
            where = f"https://elsewhere.example{where}" if self.elsewhere else where
            headers["Link"] = f'<{where}>; rel="next"'
        return web.json_response({"name": name, "tags": rest[:count] or None}, headers=headers)

    async def manifest(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        name, tag = request.match_info["name"], request.match_info["reference"]
        if tag not in self.tags.get(name, []):
            return self._error(404, "MANIFEST_UNKNOWN")
        kinds = request.headers.get("Accept", "")
        assert "application/vnd.oci.image.index.v1+json" in kinds
        return web.Response(body=manifest(name, tag), headers={"Docker-Content-Digest": digest(name, tag)})

    def _refused(self, request: web.Request) -> web.Response | None:
        self.asked.append(request.rel_url.path_qs)
        given = request.headers.get("Authorization", "")
        if not self.scheme:
            return None
        if self.scheme == "Basic":
            wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            challenge = 'Basic realm="it"'
        else:
            wanted = f"Bearer {TOKEN}.repository:{request.match_info['name']}:pull"
            challenge = f'Bearer realm="http://{self.address}/token",service="the-registry"'
        if given == wanted:
            return None
        return self._error(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})

    def _error(self, code: int, name: str, headers: dict[str, str] | None = None) -> web.Response:
        errors = {"errors": [{"code": name}]}
        return web.json_response(errors, status=code, headers=headers)


def manifest(name: str, tag: str) -> bytes:
    said: dict[str, Any] = {"schemaVersion": 2, "annotations": {"of": f"{name}:{tag}"}}
    return json.dumps(said).encode()


def digest(name: str, tag: str) -> str:
    return f"sha256:{hashlib.sha256(manifest(name, tag)).hexdigest()}"
