"""What routes tell of the data plane that serves them: who took them, and where they name our pair."""

from collections.abc import Iterable

from rollout.api.base import Manifest
from rollout.plan.observed import Backend, Plane
from rollout.routers.acceptance import controllers
from rollout.routers.pairs import find


def read_plane(routes: Iterable[tuple[Manifest, str | None]], stable: str, canary: str) -> Plane:
    """By the routes, each with the name of the rule that is ours, or None for every one that has the pair."""
    given = tuple(routes)
    names = {name for route, _ in given for name in controllers(route)}
    backends = [each for route, rule in given for each in _backends(route, rule, stable, canary)]
    return Plane(tuple(sorted(names)), tuple(dict.fromkeys(backends)))


def _backends(route: Manifest, rule: str | None, stable: str, canary: str) -> Iterable[Backend]:
    name = str(route.get("metadata", {}).get("name", ""))
    for pair in find(route, stable, canary, rule).pairs:
        refs = route["spec"]["rules"][pair.rule]["backendRefs"]
        yield Backend(
            name, pair.rule, pair.stable_at, pair.canary_at, any(ref.get("filters") for ref in refs)
        )
