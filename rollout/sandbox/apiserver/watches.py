"""Opening a watch: what came before, then what comes."""

import asyncio
from dataclasses import dataclass

from rollout.sandbox.apiserver.reads import Selection, check_match, parse_version
from rollout.sandbox.apiserver.store import Change, Store, Watcher


@dataclass(slots=True)
class Watch:
    """An open watch: changes that came before, then those of the watcher."""

    selection: Selection
    watcher: Watcher
    initial: list[Change]
    version: int
    initial_end: bool = False


def open_watch(store: Store, selection: Selection, query: dict[str, str]) -> Watch:
    """Begin a watch from `resourceVersion`: absent or 0 gives the present objects first. Raises 410, 422."""
    check_match(query, watch=True)
    storage = selection.served.storage
    version = parse_version(query.get("resourceVersion", ""))
    initial = query.get("sendInitialEvents") == "true"
    store.check_future(version)
    watcher = Watcher(selection.change, asyncio.get_running_loop())
    changes: list[Change] = []
    if initial or (not version and query.get("sendInitialEvents") is None):
        held = store.list(storage, selection.namespace)
        changes = [Change("ADDED", stored) for stored in held if selection.holds(stored.obj)]
    elif version:
        changes = [change for event in store.since(storage, version) if (change := selection.change(event))]
    store.subscribe(storage, watcher)
    return Watch(selection, watcher, changes, store.version, initial_end=initial)
