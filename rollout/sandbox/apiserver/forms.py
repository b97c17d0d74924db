"""Objects and lists in the form that was asked for: whole, as a Table, or metadata alone."""

import orjson
from aiohttp import web

from rollout.sandbox.apiserver import reads, table
from rollout.sandbox.apiserver.negotiation import Wanted
from rollout.sandbox.apiserver.replies import respond
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served


class Forms:
    """Answers about one kind."""

    def __init__(self, served: Served, query: dict[str, str]) -> None:
        self.served = served
        self.query = query

    def one(
        self, obj: Object, wanted: Wanted, status: int = 200, warnings: list[str] | None = None
    ) -> web.Response:
        """An object."""
        if wanted.form and obj.get("kind") == self.served.kind:
            obj = self._formed(obj, wanted)
        return respond(orjson.dumps(obj), wanted, status, warnings)

    def _formed(self, obj: Object, wanted: Wanted) -> Object:
        if wanted.form == "Table":
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return table.table(self.served, [obj], meta, self.query.get("includeObject", "Metadata"))
        return table.partial(obj, wanted.version)

    def many(self, page: reads.Page, wanted: Wanted) -> web.Response:
        """A list."""
        meta: Object = {"resourceVersion": str(page.version)}
        if page.token or self.served.custom is not None:
            meta["continue"] = page.token
        if page.remaining is not None and page.token:
            meta["remainingItemCount"] = page.remaining
        if wanted.form:
            if not page.token:
                meta.pop("continue", None)
            return self._formed_list(page, meta, wanted)
        return respond(joined(self.served, page, meta), wanted)

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


def joined(served: Served, page: reads.Page, meta: Object) -> bytes:
    """A list as JSON, made of its objects' JSON."""
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


def _bare(obj: Object) -> bytes:
    return orjson.dumps({key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}})
