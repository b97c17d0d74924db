"""One request to a resource: what it asks for, and what is answered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from rollout.sandbox.apiserver import (
    deletes,
    negotiation,
    parsing,
    protobuf,
    reads,
    subresources,
    watches,
    watching,
    webhooks,
)
from rollout.sandbox.apiserver.bodies import unrecognized
from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.errors import ApiError, bad_request, method_not_allowed, path_not_found
from rollout.sandbox.apiserver.forms import Forms, joined
from rollout.sandbox.apiserver.negotiation import Wanted
from rollout.sandbox.apiserver.options import check_options, check_patch_options, parse_patch
from rollout.sandbox.apiserver.paths import Named
from rollout.sandbox.apiserver.replies import respond
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Caller, Served, Write
from rollout.sandbox.apiserver.target import Target

TRUE = {"1", "true", "True", "TRUE"}
LIMIT = 3 * 1024 * 1024


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
        self.forms = Forms(served, query)

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
        with self.api.lock:
            page = reads.list_page(self.api.store, selection, self.query)
        return self.forms.many(page, wanted)

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
        return self.forms.one(obj, wanted)

    async def _watch(self, selection: reads.Selection, wanted: Wanted) -> web.StreamResponse:
        try:
            with self.api.lock:
                watch = watches.open_watch(self.api.store, selection, self.query)
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
                return parsing.parse_yaml(raw), orjson.dumps(parsing.parse_yaml(raw))
            return parsing.parse_json(raw), raw
        except parsing.DecodeError as error:
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
        subresources.built(self.target)
        body, raw = await self._body()
        write = self._write(raw, "CreateOptions")
        if not self.target.subresource:
            await self._admit(
                body,
                write,
                lambda body, write: self.api.create(self.served, self.named.namespace, body, write),
            )
        with self.api.lock, warned(write):
            if self.target.subresource:
                obj = subresources.create(self.api, self.target, body, write)
            else:
                obj = self.api.create(self.served, self.named.namespace, body, write)
        return self.forms.one(obj, wanted, 201, write.warnings)

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
        await self._admit(
            body, write, lambda body, write: subresources.update(self.api, self.target, body, write)
        )
        with self.api.lock, warned(write):
            obj = subresources.update(self.api, self.target, body, write)
        return self.forms.one(obj, wanted, 200, write.warnings)

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
        await self._admit(
            body, write, lambda body, write: subresources.patch(self.api, self.target, body, media, write)[0]
        )
        with self.api.lock, warned(write):
            obj, created = subresources.patch(self.api, self.target, body, media, write)
        return self.forms.one(obj, wanted, 201 if created else 200, write.warnings)

    async def _admit(self, body: Any, write: Write, attempt: Callable[[Any, Write], Object]) -> None:
        """Ask the webhooks that want to be asked; a write that fails without them is not theirs."""
        hooks = webhooks.interested(self.api.store, self.target)
        if not hooks:
            return
        tried = replace(write, dry_run=True, warnings=[])
        with self.api.lock:
            try:
                obj = deepcopy(attempt(deepcopy(body), tried))
            except ApiError:
                return
            stored = self.api.store.get(self.served.storage, self.target.key) if self.target.name else None
            old = deepcopy(self.served.outward(stored.obj)) if stored is not None else None
        with warned(write):
            await webhooks.consult(self.api.store, hooks, webhooks.Change(self.target, write, obj, old))

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
        return self.forms.one(obj, wanted)

    def _delete_body(self, raw: bytes, media: str) -> Any:
        if not raw.strip():
            return None
        try:
            if media == "application/vnd.kubernetes.protobuf":
                return protobuf.decode(raw)
            return parsing.parse_yaml(raw) if media == "application/yaml" else parsing.parse_json(raw)
        except parsing.DecodeError as error:
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
        return respond(joined(self.served, page, meta_out), wanted)


@contextmanager
def warned(write: Write) -> Iterator[None]:
    """Refusals carry the warnings that came before them."""
    try:
        yield
    except ApiError as error:
        error.warnings = write.warnings
        raise
