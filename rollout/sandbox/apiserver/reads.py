"""Get, list and watch: selection, pages and versions."""

from dataclasses import dataclass

import orjson

from rollout.sandbox.apiserver import selectors
from rollout.sandbox.apiserver.continuation import make_token, parse_token
from rollout.sandbox.apiserver.errors import ApiError, Cause, bad_request, gone, invalid
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served
from rollout.sandbox.apiserver.store import Change, Event, Store, Stored


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource: a namespace (None: all), labels and fields."""

    served: Served
    namespace: str | None
    labels: tuple[selectors.Requirement, ...] = ()
    fields: tuple[selectors.FieldTerm, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether only the namespace selects."""
        return not self.labels and not self.fields

    def holds(self, obj: Object) -> bool:
        """Whether an object is selected; its namespace is not looked at."""
        return selectors.match_labels(self.labels, obj) and selectors.match_fields(
            self.fields, obj, self.read
        )

    def read(self, obj: Object, path: str) -> str:
        """A selectable field's text."""
        return selectors.read_path(self.served.outward(obj), path)

    def change(self, event: Event) -> Change | None:
        """What a watcher of this selection sees of an event."""
        if self.namespace is not None and event.key[0] != self.namespace:
            return None
        if self.everything:
            kind = "DELETED" if event.deleted else "ADDED" if event.before is None else "MODIFIED"
            return Change(kind, event.after)
        before = event.before is not None and self.holds(event.before.obj)
        after = not event.deleted and self.holds(event.after.obj)
        if after:
            return Change("MODIFIED" if before else "ADDED", event.after)
        if not before:
            return None
        assert event.before is not None
        if event.deleted:
            return Change("DELETED", event.after)
        return Change("DELETED", _as_of(event.before, event.version))


def _as_of(stored: Stored, version: int) -> Stored:
    """An object that left the selection: its last selected state, with the version it left at."""
    meta = {**stored.obj["metadata"], "resourceVersion": str(version)}
    return Stored({**stored.obj, "metadata": meta}, version)


def select(served: Served, namespace: str | None, labels: str, fields: str) -> Selection:
    """Parse selectors; raises 400."""
    try:
        requirements = selectors.parse_labels(labels)
        terms = selectors.parse_fields(fields)
    except selectors.SelectorError as error:
        raise bad_request(str(error)) from error
    for term in terms:
        _check_field(served, term.field)
    return Selection(served, namespace, requirements, terms)


def _check_field(served: Served, path: str) -> None:
    known = {"metadata.name", "metadata.namespace", *served.strategy.fields}
    if served.custom is not None:
        known |= set(served.custom.selectable)
    if path not in known:
        raise bad_request(
            f"field label not supported: {path}" if served.custom else unknown_field(served, path)
        )


def unknown_field(served: Served, path: str) -> str:
    """The message for a field that a kind can't be selected by."""
    if served.strategy.fields:
        return f"field label not supported: {path}"
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


@dataclass(frozen=True, slots=True)
class Page:
    """What a list answers: the objects, the version, and where to go on."""

    items: list[Stored]
    version: int
    token: str = ""
    remaining: int | None = None


def parse_version(text: str) -> int:
    """A resourceVersion; raises 422 where it is no number."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        quoted = orjson.dumps(text).decode()
        why = f"strconv.ParseUint: parsing {quoted}: invalid syntax"
        raise ApiError(500, "", f"resourceVersion: Invalid value: {quoted}: {why}")
    return int(text)


def check_match(query: dict[str, str], *, watch: bool) -> None:
    """Raise 422 where resourceVersionMatch or sendInitialEvents don't agree with the rest."""
    match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents")
    found = []

    def forbid(field: str, text: str) -> None:
        found.append(Cause("FieldValueForbidden", f"Forbidden: {text}", field))

    if watch:
        if initial is not None and match != "NotOlderThan":
            forbid(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
        if match and initial is None:
            forbid(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
    else:
        if initial is not None:
            forbid("sendInitialEvents", "sendInitialEvents is forbidden for list")
        if match and query.get("continue"):
            forbid("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
        elif match and not version:
            forbid(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        elif match and match not in {"Exact", "NotOlderThan"}:
            text = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
            found.append(Cause("FieldValueNotSupported", text, "resourceVersionMatch"))
        elif match == "Exact" and version == "0":
            forbid(
                "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            )
    if found:
        raise invalid("meta.k8s.io", "ListOptions", "", found)


def list_page(store: Store, selection: Selection, query: dict[str, str]) -> Page:
    """A list, or a page of one. Pages are of the version they began with only as long as nothing was
    deleted."""
    check_match(query, watch=False)
    version, after = _list_version(query), ""
    limit = parse_count(query, "limit")
    if token := query.get("continue"):
        if query.get("resourceVersion", "") not in {"", "0"}:
            raise bad_request("specifying resource version is not allowed when using continue")
        version, after = parse_token(token)
        if version < max(store.first, store.dropped.get(selection.served.storage, 0)):
            raise _continue_too_old(store, after)
        items = as_of(store, selection, version)
    else:
        store.check_future(version)
        exact = query.get("resourceVersionMatch") == "Exact" or (
            limit and "resourceVersionMatch" not in query
        )
        if exact and version and version < store.version:
            items = _exact(store, selection, version)
        else:
            version = store.version
            items = [
                s for s in store.list(selection.served.storage, selection.namespace) if selection.holds(s.obj)
            ]
    if after:
        items = [s for s in items if _key(s) > after]
    if limit <= 0 or len(items) <= limit:
        return Page(items, version)
    rest = len(items) - limit
    token = make_token(version, _key(items[limit - 1]))
    return Page(items[:limit], version, token, rest if selection.everything else None)


def parse_count(query: dict[str, str], name: str) -> int:
    """A number of the query; raises 400."""
    text = query.get(name) or "0"
    try:
        return int(text)
    except ValueError as error:
        quoted = orjson.dumps(text).decode()
        raise bad_request(f"strconv.ParseInt: parsing {quoted}: invalid syntax") from error


def _list_version(query: dict[str, str]) -> int:
    try:
        return parse_version(query.get("resourceVersion", ""))
    except ApiError as error:
        raise bad_request(f"invalid resource version: {error.message}") from error


def _exact(store: Store, selection: Selection, version: int) -> list[Stored]:
    try:
        return as_of(store, selection, version)
    except ApiError as error:
        raise gone("The resourceVersion for the provided list is too old.") from error


def _continue_too_old(store: Store, after: str) -> ApiError:
    """410 with a token that goes on from the present state."""
    error = gone(
        "The provided continue parameter is too old to display a consistent list result. You "
        "can start a new list "
        "without the continue parameter, or use the continue token in this response to "
        "retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - "
        "objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    error.continue_token = make_token(store.version, after)
    return error


def _key(stored: Stored) -> str:
    meta = stored.obj["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def as_of(store: Store, selection: Selection, version: int) -> list[Stored]:
    """The selected objects as they were at a version; raises 410 where that is no longer known."""
    storage = selection.served.storage
    held = {
        (s.obj["metadata"].get("namespace", ""), s.obj["metadata"]["name"]): s
        for s in store.list(storage, None)
    }
    for event in reversed(list(store.since(storage, version))):
        if event.before is None:
            held.pop(event.key, None)
        else:
            held[event.key] = event.before
    kept = [held[key] for key in sorted(held) if selection.namespace in {None, key[0]}]
    return [stored for stored in kept if selection.holds(stored.obj)]
