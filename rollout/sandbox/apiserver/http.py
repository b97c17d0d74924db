"""HTTP: from requests to verbs and back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import yaml
from aiohttp import web

from rollout.sandbox.apiserver import (
    decode,
    deletes,
    discovery,
    negotiation,
    openapi,
    paths,
    protobuf,
    reads,
    subresources,
    table,
    watching,
)
from rollout.sandbox.apiserver.bodies import unrecognized
from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.errors import (
    ApiError,
    Cause,
    bad_request,
    invalid,
    method_not_allowed,
    path_not_found,
)
from rollout.sandbox.apiserver.negotiation import Wanted
from rollout.sandbox.apiserver.paths import Named
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Caller, Served, Write
from rollout.sandbox.apiserver.writes import Target

TRUE = {"1", "true", "True", "TRUE"}
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
LIMIT = 3 * 1024 * 1024


class Reply(Exception):  # noqa: N818 it is an answer, raised through the layers
    """An answer that is no object: plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def respond(
    body: bytes, wanted: Wanted, status: int = 200, warnings: list[str] | None = None
) -> web.Response:
    """An answer in the form wanted."""
    if wanted.media == "application/yaml":
        body = yaml.dump(orjson.loads(body), Dumper=yaml.CSafeDumper).encode()
    response = web.Response(body=body, status=status)
    response.headers["Content-Type"] = wanted.raw
    response.headers["Cache-Control"] = "no-cache, private"
    for warning in warnings or ():
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


def plain(status: int, text: str) -> web.Response:
    """Plain text."""
    return web.Response(text=text, status=status, content_type="text/plain", charset="utf-8")


def refuse(error: ApiError) -> web.Response:
    """A Status."""
    response = respond(orjson.dumps(error.body()), Wanted(), error.status, error.warnings)
    for key, value in error.headers.items():
        response.headers[key] = value
    return response


class Handler:
    """Serves one request."""

    def __init__(self, api: Api, address: str = "") -> None:
        self.api = api
        self.address = address

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
            case ["openapi", "v3"]:
                body = openapi.encoded(openapi.index(self.api.registry))
                return plain(200, body.decode())
            case ["openapi", "v3", *rest]:
                return self._openapi(rest)
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

    def _openapi(self, rest: list[str]) -> web.Response:
        if rest == ["version"]:
            return respond(
                orjson.dumps({"openapi": "3.0.0", "info": {"title": "Kubernetes"}, "paths": {}}), Wanted()
            )
        group, version = ("", rest[1]) if rest[0] == "api" else (rest[1] if len(rest) > 1 else "", rest[-1])
        found = openapi.document(self.api.registry, group, version)
        if found is None:
            return plain(404, "404 page not found\n")
        return respond(openapi.encoded(found), Wanted())


class Verb:
    """One request to a resource."""

    def __init__(
        self,
        api: Api,
        request: web.BaseRequest,
        query: dict[str, str],
        named: Named,
        served: Served,
        caller: Caller,
    ) -> None:
        self.api = api
        self.request = request
        self.query = query
        self.named = named
        self.served = served
        self.caller = caller
        self.target = Target(served, named.namespace, named.name, named.subresource)

    async def run(self) -> web.StreamResponse:
        """The answer."""
        match self.request.method:
            case "GET" | "HEAD":
                return await self._read()
            case "POST":
                return await self._create()
            case "PUT":
                return await self._replace()
            case "PATCH":
                return await self._patch()
            case "DELETE":
                return await self._delete()
            case _:
                raise method_not_allowed("", "")

    def _wanted(self) -> Wanted:
        return negotiation.wanted(
            self.request.headers.get("Accept", ""), custom=self.served.custom is not None
        )

    async def _read(self) -> web.StreamResponse:
        wanted = self._wanted()
        if self.named.name and not self.named.watch:
            return self._get(wanted)
        reads.parse_count(self.query, "timeoutSeconds")
        watching_asked = self.named.watch or self.query.get("watch") in TRUE
        verb = "watch" if watching_asked else "list"
        self._known(verb)
        self.api.authorize(self.caller, verb, self.target)
        fields = self.query.get("fieldSelector", "")
        if self.named.name:
            fields = f"metadata.name={self.named.name}"
        selection = reads.select(
            self.served, self.named.namespace, self.query.get("labelSelector", ""), fields
        )
        if watching_asked:
            return await self._watch(selection, wanted)
        return self._list(selection, wanted)

    def _known(self, verb: str) -> None:
        if verb not in self.served.name.verbs:
            raise method_not_allowed("", "")

    def _get(self, wanted: Wanted) -> web.Response:
        self._check_subresource()
        self.api.authorize(self.caller, "get", self.target)
        version = reads.parse_version(self.query.get("resourceVersion", ""))
        self.api.store.check_future(version)
        with self.api.lock:
            obj = subresources.read(self.api, self.target)
            stored = self.api.store.get(self.served.storage, self.target.key)
        if not wanted.form and stored is not None and obj is stored.obj:
            return respond(stored.json, wanted)
        return self._object(obj, wanted)

    def _object(
        self, obj: Object, wanted: Wanted, status: int = 200, warnings: list[str] | None = None
    ) -> web.Response:
        if wanted.form and obj.get("kind") == self.served.kind:
            obj = self._formed(obj, wanted)
        return respond(orjson.dumps(obj), wanted, status, warnings)

    def _formed(self, obj: Object, wanted: Wanted) -> Object:
        if wanted.form == "Table":
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return table.table(self.served, [obj], meta, self.query.get("includeObject", "Metadata"))
        return table.partial(obj, wanted.version)

    def _list(self, selection: reads.Selection, wanted: Wanted) -> web.Response:
        with self.api.lock:
            page = reads.list_page(self.api.store, selection, self.query)
        meta: Object = {"resourceVersion": str(page.version)}
        if page.token or self.served.custom is not None:
            meta["continue"] = page.token
        if page.remaining is not None and page.token:
            meta["remainingItemCount"] = page.remaining
        if wanted.form:
            if not page.token:
                meta.pop("continue", None)
            return self._formed_list(page, meta, wanted)
        return respond(self._joined(page, meta), wanted)

    def _joined(self, page: reads.Page, meta: Object) -> bytes:
        served = self.served
        if served.custom is not None:
            items = [
                s.json if served.outward(s.obj) is s.obj else orjson.dumps(served.outward(s.obj))
                for s in page.items
            ]
        else:
            items = [
                s.bare if served.outward(s.obj) is s.obj else _bare(served.outward(s.obj)) for s in page.items
            ]
        head = {"kind": served.name.list_kind, "apiVersion": served.api_version, "metadata": meta}
        return orjson.dumps(head)[:-1] + b',"items":[' + b",".join(items) + b"]}"

    def _formed_list(self, page: reads.Page, meta: Object, wanted: Wanted) -> web.Response:
        objects = [self.served.outward(stored.obj) for stored in page.items]
        if wanted.form == "Table":
            include = self.query.get("includeObject", "Metadata")
            return respond(orjson.dumps(table.table(self.served, objects, meta, include)), wanted)
        items = [table.partial(obj, wanted.version) for obj in objects]
        body = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{wanted.version}",
            "metadata": meta,
            "items": items,
        }
        return respond(orjson.dumps(body), wanted)

    async def _watch(self, selection: reads.Selection, wanted: Wanted) -> web.StreamResponse:
        try:
            with self.api.lock:
                watch = reads.open_watch(self.api.store, selection, self.query)
        except ApiError as error:
            if error.status != 410:
                raise
            line = orjson.dumps({"type": "ERROR", "object": error.body()}) + b"\n"
            return respond(line, wanted)
        stream = watching.Stream(self.api.store, watch, wanted, self.query)
        return await watching.send(self.request, stream, {"Cache-Control": "no-cache, private"})

    def _check_subresource(self) -> None:
        if self.target.subresource and self.served.name.subresource(self.target.subresource) is None:
            raise self.target.missing() if self.served.custom else path_not_found()

    async def _body(self) -> tuple[Any, bytes | None]:
        """The parsed body, and its text where it is JSON."""
        raw = await self._raw()
        media = negotiation.body_media(self.request.headers.get("Content-Type", ""))
        try:
            if media == "application/vnd.kubernetes.protobuf":
                return protobuf.decode(raw), None
            if media == "application/yaml":
                return decode.parse_yaml(raw), orjson.dumps(decode.parse_yaml(raw))
            return decode.parse_json(raw), raw
        except decode.DecodeError as error:
            raise unrecognized(self.served, str(error), raw) from error

    async def _raw(self) -> bytes:
        raw = await self.request.read()
        if len(raw) > LIMIT:
            raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {LIMIT}")
        return raw

    def _write(self, raw: bytes | None, options: str) -> Write:
        check_options(self.query, options)
        agent = self.request.headers.get("User-Agent", "").split("/")[0]
        return Write(
            self.caller,
            self.query.get("fieldManager") or agent[:128] or "unknown",
            dry_run=self.query.get("dryRun") == "All",
            validation=self.query.get("fieldValidation") or "Warn",
            force=self.query.get("force") in TRUE,
            raw=raw,
        )

    async def _create(self) -> web.Response:
        wanted = self._wanted()
        if self.named.name and not self.named.subresource:
            if self.served.custom is None:
                raise method_not_allowed("", "")
            self.target = Target(self.served, self.named.namespace, "")
        self._check_subresource()
        if not self.target.subresource:
            self._known("create")
        self.api.authorize(self.caller, "create", self.target)
        body, raw = await self._body()
        write = self._write(raw, "CreateOptions")
        with self.api.lock, warned(write):
            if self.target.subresource:
                obj = subresources.create(self.api, self.target, body, write)
            else:
                obj = self.api.create(self.served, self.named.namespace, body, write)
        return self._object(obj, wanted, 201, write.warnings)

    async def _replace(self) -> web.Response:
        wanted = self._wanted()
        if not self.named.name:
            if self.served.custom is not None:
                raise bad_request("name must be provided")
            raise method_not_allowed("", "")
        subresources.allowed(self.target, "update")
        self.api.authorize(self.caller, "update", self.target)
        body, raw = await self._body()
        write = self._write(raw, "UpdateOptions")
        with self.api.lock, warned(write):
            obj = subresources.update(self.api, self.target, body, write)
        return self._object(obj, wanted, 200, write.warnings)

    async def _patch(self) -> web.Response:
        wanted = self._wanted()
        if not self.named.name:
            if self.served.custom is not None:
                raise bad_request("name must be provided")
            raise method_not_allowed("", "")
        subresources.allowed(self.target, "patch")
        self.api.authorize(self.caller, "patch", self.target)
        raw = await self._raw()
        media = self.request.headers.get("Content-Type", "").split(";")[0].strip()
        if media not in subresources.PATCHES or (self.served.custom and "strategic" in media):
            raise subresources.unsupported_patch(self.target)
        check_patch_options(self.query, media)
        write = self._write(None, "PatchOptions")
        body = parse_patch(raw, media)
        with self.api.lock, warned(write):
            obj, created = subresources.patch(self.api, self.target, body, media, write)
        return self._object(obj, wanted, 201 if created else 200, write.warnings)

    async def _delete(self) -> web.Response:
        wanted = self._wanted()
        raw = await self._raw()
        verb = "delete" if self.named.name else "deletecollection"
        if not self.named.subresource:
            self._known(verb)
        else:
            subresources.allowed(self.target, "delete")
            raise path_not_found()
        self.api.authorize(self.caller, verb, self.target)
        media = negotiation.body_media(self.request.headers.get("Content-Type", ""))
        options = deletes.parse_options(self._delete_body(raw, media), self.query)
        with self.api.lock:
            if not self.named.name:
                return self._delete_collection(options, wanted)
            obj, _ = deletes.delete(self.api.writer, self.target, options)
        return self._object(obj, wanted)

    def _delete_body(self, raw: bytes, media: str) -> Any:
        if not raw.strip():
            return None
        try:
            if media == "application/vnd.kubernetes.protobuf":
                return protobuf.decode(raw)
            return decode.parse_yaml(raw) if media == "application/yaml" else decode.parse_json(raw)
        except decode.DecodeError as error:
            raise bad_request(str(error)) from error

    def _delete_collection(self, options: deletes.DeleteOptions, wanted: Wanted) -> web.Response:
        query = self.query
        selection = reads.select(
            self.served, self.named.namespace, query.get("labelSelector", ""), query.get("fieldSelector", "")
        )
        page = reads.list_page(self.api.store, selection, {})
        for stored in page.items:
            meta = stored.obj["metadata"]
            deletes.delete(self.api.writer, Target(self.served, meta.get("namespace"), meta["name"]), options)
        meta_out: Object = {"resourceVersion": str(self.api.store.version)}
        if self.served.custom is not None:
            meta_out["continue"] = ""
        return respond(self._joined(page, meta_out), wanted)


@contextmanager
def warned(write: Write) -> Iterator[None]:
    """Refusals carry the warnings that came before them."""
    try:
        yield
    except ApiError as error:
        error.warnings = write.warnings
        raise


def _bare(obj: Object) -> bytes:
    return orjson.dumps({key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}})


def parse_patch(raw: bytes, media: str) -> Any:
    """A patch's body; raises 400 in the words of each patch type."""
    try:
        if media == "application/apply-patch+yaml":
            return decode.parse_yaml(raw)
        value = decode.parse_json(raw)
    except decode.DecodeError as error:
        prefix = "" if "strategic" in media else "error decoding patch: "
        if media == "application/apply-patch+yaml":
            prefix = "error decoding YAML: "
        raise bad_request(f"{prefix}{error}") from error
    if media != "application/json-patch+json" and not isinstance(value, dict):
        prefix = "" if "strategic" in media else "error decoding patch: "
        kind = decode.json_kind(value)
        raise bad_request(
            f"{prefix}json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    return value


def check_options(query: Mapping[str, str], options: str) -> None:
    """Raise 422 for options that make no sense."""
    found = []
    manager = query.get("fieldManager", "")
    if len(manager.encode()) > 128:
        found.append(Cause("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager"))
    for at, char in enumerate(manager):
        if not char.isprintable():
            text = f"invalid character U+{ord(char):04X} (at position {at})"
            quoted = orjson.dumps(manager).decode()
            found.append(Cause("FieldValueInvalid", f"Invalid value: {quoted}: {text}", "fieldManager"))
    if query.get("dryRun", "") not in {"", "All"}:
        text = f'Unsupported value: ["{query["dryRun"]}"]: supported values: "All"'
        found.append(Cause("FieldValueNotSupported", text, "dryRun"))
    if query.get("fieldValidation", "") not in {"", "Ignore", "Warn", "Strict"}:
        text = (
            f'Unsupported value: "{query["fieldValidation"]}": supported values: "", "Ignore", '
            '"Strict", "Warn"'
        )
        found.append(Cause("FieldValueNotSupported", text, "fieldValidation"))
    if found:
        raise invalid("meta.k8s.io", options, "", found)


def check_patch_options(query: Mapping[str, str], media: str) -> None:
    """Raise 422 where an apply names no manager, or another patch is forced."""
    found = []
    if media == "application/apply-patch+yaml":
        if not query.get("fieldManager"):
            found.append(
                Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            )
    elif "force" in query:
        found.append(
            Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
        )
    if found:
        raise invalid("meta.k8s.io", "PatchOptions", "", found)
