"""HTTP: from paths to what answers them."""

import orjson
from aiohttp import web

from rollout.sandbox.apiserver import discovery, negotiation, openapi, openapi_v2, paths
from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.errors import method_not_allowed, not_implemented, path_not_found
from rollout.sandbox.apiserver.negotiation import Wanted
from rollout.sandbox.apiserver.paths import Named
from rollout.sandbox.apiserver.replies import plain, respond
from rollout.sandbox.apiserver.served import Caller
from rollout.sandbox.apiserver.verb import Verb

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.2",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "gc",
    "platform": "linux/amd64",
}


class Handler:
    """Serves one request."""

    def __init__(self, api: Api, address: str = "") -> None:
        self.api = api
        self.address = address
        self._documents: dict[tuple[str, str], tuple[int, bytes | None]] = {}

    async def serve(self, request: web.BaseRequest, caller: Caller) -> web.StreamResponse:
        """The answer to a request; raises `ApiError`."""
        path = request.path
        named = paths.parse(path)
        if named is None:
            return self._other(request, path, caller)
        served = self.api.registry.get(named.resource)
        if served is None:
            if self._group_known(named):
                raise path_not_found()
            return plain(404, "404 page not found\n")
        if not served.name.namespaced and named.namespace is not None:
            raise path_not_found()
        query = dict(request.query)
        return await Verb(self.api, request, query, named, served, caller).run()

    def _group_known(self, named: Named) -> bool:
        group, version = named.resource.group, named.resource.version
        known = self.api.registry.groups()
        return group in known and (version in known[group] or self._built_in(group))

    def _built_in(self, group: str) -> bool:
        return any(s.group == group and s.custom is None for s in self.api.registry)

    def _other(self, request: web.BaseRequest, path: str, caller: Caller) -> web.Response:
        self.api.authorize_path(caller, request.method.lower(), path)
        parts = [part for part in path.split("/") if part]
        if request.method not in {"GET", "HEAD"}:
            raise method_not_allowed("", "")
        match parts:
            case ["version"]:
                return respond(orjson.dumps(VERSION), Wanted())
            case ["healthz" | "readyz" | "livez", *_]:
                return plain(200, "ok")
            case ["api"] | ["apis"]:
                return self._groups(request, core=parts == ["api"])
            case ["api", version]:
                return self._resources("", version)
            case ["apis", group]:
                return self._group(group)
            case ["apis", group, version]:
                return self._resources(group, version)
            case ["openapi", *rest]:
                return self._openapi(rest, request.headers.get("Accept", ""))
            case ["metrics"] | ["logs", *_] | ["debug", *_]:
                raise not_implemented(path)
            case []:
                return respond(
                    orjson.dumps({"paths": ["/api", "/apis", "/healthz", "/openapi/v3", "/version"]}),
                    Wanted(),
                )
            case _:
                return plain(404, "404 page not found\n")

    def _groups(self, request: web.BaseRequest, *, core: bool) -> web.Response:
        wanted = negotiation.wanted(request.headers.get("Accept", ""))
        if wanted.form == "APIGroupDiscoveryList":
            body = discovery.aggregated(self.api.registry, core=core)
            return respond(orjson.dumps(body), Wanted(raw=discovery.AGGREGATED))
        body = discovery.legacy(self.address) if core else discovery.groups(self.api.registry)
        return respond(orjson.dumps(body), wanted)

    def _group(self, group: str) -> web.Response:
        if group not in self.api.registry.groups():
            return plain(404, "404 page not found\n")
        return respond(orjson.dumps(discovery.group(self.api.registry, group)), Wanted())

    def _resources(self, group: str, version: str) -> web.Response:
        if version not in self.api.registry.groups().get(group, []):
            if self._built_in(group):
                raise path_not_found()
            return plain(404, "404 page not found\n")
        return respond(orjson.dumps(discovery.resources(self.api.registry, group, version)), Wanted())

    def _v2(self) -> bytes:
        """The document of everything, kept until what is served changes."""
        generation, held = self._documents.get(("", ""), (-1, None))
        if held is None or generation != self.api.registry.generation:
            held = openapi_v2.document(self.api.registry)
            self._documents["", ""] = (self.api.registry.generation, held)
        return held

    def _openapi(self, parts: list[str], accept: str) -> web.Response:
        match parts:
            case ["v2"] if openapi_v2.MEDIA in accept:
                return web.Response(body=self._v2(), content_type="application/octet-stream")
            case ["v2"]:
                raise not_implemented("/openapi/v2 but as protobuf; see /openapi/v3")
            case ["v3"]:
                body = openapi.encoded(openapi.index(self.api.registry))
                return plain(200, body.decode())
            case ["v3", *rest]:
                return self._openapi_v3(rest)
            case _:
                return plain(404, "404 page not found\n")

    def _openapi_v3(self, rest: list[str]) -> web.Response:
        if rest == ["version"]:
            return respond(
                orjson.dumps({"openapi": "3.0.0", "info": {"title": "Kubernetes"}, "paths": {}}), Wanted()
            )
        group, version = ("", rest[1]) if rest[0] == "api" else (rest[1] if len(rest) > 1 else "", rest[-1])
        body = self._document(group, version)
        return plain(404, "404 page not found\n") if body is None else respond(body, Wanted())

    def _document(self, group: str, version: str) -> bytes | None:
        """An OpenAPI document, kept until what is served changes."""
        generation, held = self._documents.get((group, version), (-1, None))
        if generation != self.api.registry.generation:
            generation = self.api.registry.generation
            found = openapi.document(self.api.registry, group, version)
            held = None if found is None else openapi.encoded(found)
            self._documents[group, version] = (generation, held)
        return held
