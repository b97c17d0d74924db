"""HTTPRoute and GRPCRoute of the Gateway API: the weights of our pair of backends, and nothing else of the
object.

Percentages are whole and are canary's share of the pair; a trace of traffic reads as 1 percent, never as 0.
The pair keeps its total as found; a total too small to split into percent becomes 100 where nothing
weighted stands beside.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem
from rollout.routers.acceptance import acceptance
from rollout.routers.pairs import LARGEST_WEIGHT, OWN_TOTAL, Pair, find


@dataclass(frozen=True, slots=True)
class RouteReading:
    """What a route says about one pair."""

    rules: tuple[str, ...]
    """The rules that hold the pair, each by its name or, where it has none, its index."""
    canary_percent: int | None
    """The largest canary share of the pair over the rules, rounded up; None where no rule holds the pair."""
    exact: bool
    """Every rule says just `canary_percent`: `render` with it changes nothing."""
    total: int | None
    """The smallest total weight of the pair over the rules; None where no rule holds it."""
    accepted: bool | None
    """By the object's status, for its generation; None where it does not say."""
    message: str = ""
    """Why it is not accepted, in the implementation's words."""


def read(route: Manifest, stable: str, canary: str, rule: str | None = None) -> RouteReading:
    """Read the pair of Services `stable` and `canary` in the rule named `rule`, or in every rule that holds
    it.
    """
    pairs = find(route, stable, canary, rule).pairs
    percent = max((pair.percent for pair in pairs), default=None)
    accepted, message = acceptance(route)
    return RouteReading(
        rules=tuple(pair.rule_name for pair in pairs),
        canary_percent=percent,
        exact=percent is not None and all(pair.says(percent) for pair in pairs),
        total=min((pair.total for pair in pairs), default=None),
        accepted=accepted,
        message=message,
    )


def render(
    route: Manifest, stable: str, canary: str, rule: str | None, canary_percent: int
) -> dict[str, Any]:
    """`route` with the pair's weights giving `canary_percent` to canary; all else equals what came in.

    Raises:
        InvalidSpec: no rule holds the pair, or its total can't be split beside other weighted backends.
            Zero percent can always be written where there is a pair.
        ValueError: `canary_percent` outside 0 to 100.
    """
    rendered: dict[str, Any] = deepcopy(dict(route))
    for pair, at, weight in _changes(route, stable, canary, rule, canary_percent):
        rendered["spec"]["rules"][pair.rule]["backendRefs"][at]["weight"] = weight
    return rendered


def patch(
    route: Manifest, stable: str, canary: str, rule: str | None, canary_percent: int
) -> tuple[dict[str, Any], ...]:
    """The same as JSON patch operations (RFC 6902) on `route` as read; empty where it says it already.

    They fail (422) on any object but the one that was read: they test its resourceVersion, and what stands
    at each place that they write.

    Raises:
        InvalidSpec, ValueError: as `render`.
    """
    changes = _changes(route, stable, canary, rule, canary_percent)
    if not changes:
        return ()
    operations = [_test("/metadata/resourceVersion", route["metadata"]["resourceVersion"])]
    for pair, at, weight in changes:
        path = f"/spec/rules/{pair.rule}/backendRefs/{at}"
        ref = route["spec"]["rules"][pair.rule]["backendRefs"][at]
        operations += [_test(f"{path}/{key}", ref[key]) for key in ("name", "weight") if key in ref]
        operations.append({"op": "add", "path": f"{path}/weight", "value": weight})
    return tuple(operations)


def compose(
    git: Manifest, live: Manifest | None, stable: str, canary: str, rule: str | None, recorded_percent: int
) -> dict[str, Any]:
    """Git's route with the split that stands: the live one, but never more for canary than was recorded.

    Where there is no live route, or none that holds the pair, it is the recorded split. The result carries
    the live resourceVersion, so that writing it fails (409) on any object but the one that was read.

    Raises:
        InvalidSpec: as `render`, about Git's route.
    """
    live_percent = read(live, stable, canary, rule).canary_percent if live else None
    percent = recorded_percent if live_percent is None else min(live_percent, recorded_percent)
    composed = render(git, stable, canary, rule, percent)
    metadata = {key: value for key, value in composed.get("metadata", {}).items() if key != "resourceVersion"}
    if live:
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
    return {**composed, "metadata": metadata}


def problems(
    route: Manifest | None, name: str, stable: str, canary: str, rule: str | None, path: str
) -> tuple[Problem, ...]:
    """What keeps the route `name`, referred to at field `path`, from carrying the pair; None is a missing
    route.
    """
    if route is None:
        return (Problem(path, f"the route {name!r} does not exist", "create it, or name another one"),)
    found = find(route, stable, canary, rule)
    missing = [Problem(path, f"route {name!r}: {message}", remedy) for message, remedy in found.amiss]
    crowded = [_crowded(pair, name, path) for pair in found.pairs if pair.beside and not pair.splittable]
    return (*missing, *crowded)


def _crowded(pair: Pair, name: str, path: str) -> Problem:
    return Problem(
        path,
        f"route {name!r}: the pair's weights in rule {pair.rule_name!r} sum to {pair.total}, which can't be "
        "split into percent beside the rule's other weighted backends",
        f"scale the rule's weights together, until the pair's sum is {OWN_TOTAL} to {LARGEST_WEIGHT}",
    )


def _changes(
    route: Manifest, stable: str, canary: str, rule: str | None, percent: int
) -> tuple[tuple[Pair, int, int], ...]:
    """(pair, position in its backendRefs, new weight) of every weight that has to change."""
    if not 0 <= percent <= 100:
        raise ValueError(f"a share of the pair is 0 to 100 percent, not {percent}")
    found = find(route, stable, canary, rule)
    name = str(route.get("metadata", {}).get("name", ""))
    crowded = [_crowded(pair, name, "spec.rules") for pair in found.pairs if pair.crowded(percent)]
    if crowded or not found.pairs:
        raise InvalidSpec(tuple(crowded) or problems(route, name, stable, canary, rule, "spec.rules"))
    return tuple(
        (pair, at, new) for pair in found.pairs for at, old, new in _arms(pair, percent) if old != new
    )


def _arms(pair: Pair, percent: int) -> tuple[tuple[int, int, int], ...]:
    stable, canary = pair.weights(percent)
    return (pair.stable_at, pair.stable, stable), (pair.canary_at, pair.canary, canary)


def _test(path: str, value: object) -> dict[str, Any]:
    return {"op": "test", "path": path, "value": value}
