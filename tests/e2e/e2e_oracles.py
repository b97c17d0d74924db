"""What has to hold of a rollout that was watched from outside. Values only."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from e2e_witness import Object, Passed, Seen
from scipy.stats import binom

BY_CHANCE = 1e-7
"""How rarely a share may be off by chance alone, for each comparison."""
PROXY_LAG_S = 2.0
"""A lowered weight may take so long to reach the proxy's counters; a raised one may never come early."""
CARRIES_ALL = ("Promoting", "Switching", "Returning")


def allowed(rollout: Object) -> int:
    """Percent of the pair that the canary Service may carry, by the recorded stage and step."""
    status = rollout.get("status") or {}
    if status.get("stage") in CARRIES_ALL:
        return 100
    if status.get("stage") != "Stepping":
        return 0
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    passed = steps[: (status.get("currentStepIndex") or 0) + 1]
    return max((step["setWeight"] for step in passed if "setWeight" in step), default=0)


def allowed_between(rollouts: Sequence[Seen], since: float, until: float) -> int:
    """The most that was allowed at any moment of an interval."""
    begun = [each for each in rollouts if each.at <= until]
    reigning = [each for each in begun if each.at < since][-1:]
    return max(
        (allowed(each.object) for each in [*reigning, *(e for e in begun if e.at >= since)]), default=0
    )


def overruns(rollouts: Sequence[Seen], proxy: Sequence[Passed], stable: str, canary: str) -> list[str]:
    """Each interval, and each weight as a whole, in which the proxy sent more to the canary than allowed.

    A weight's whole is made of the intervals in which the canary got anything: those before a raise and after
    an end would hide an excess. (An interval holds some hundred requests: chance leaves hardly one without.)
    """
    found: list[str] = []
    whole: dict[int, tuple[int, int]] = {}
    for before, after in pairwise(proxy):
        weight = allowed_between(rollouts, before.asked - PROXY_LAG_S, after.answered)
        to_canary = after.counts.get(canary, 0) - before.counts.get(canary, 0)
        total = to_canary + after.counts.get(stable, 0) - before.counts.get(stable, 0)
        if exceeds(to_canary, total, weight):
            found.append(f"{to_canary} of {total} at {before.asked:.2f} where {weight} % is the most")
        if to_canary:
            sums = whole.get(weight, (0, 0))
            whole[weight] = (sums[0] + to_canary, sums[1] + total)
    return found + [
        f"{to_canary} of {total} in all while {weight} % was the most"
        for weight, (to_canary, total) in whole.items()
        if exceeds(to_canary, total, weight)
    ]


def exceeds(count: int, total: int, percent: float) -> bool:
    """Whether `count` of `total` is more than chance makes of a share."""
    return count > 0 and bool(binom.sf(count - 1, total, percent / 100) < BY_CHANCE)


def differs(count: int, total: int, percent: float) -> bool:
    """Whether `count` of `total` is more or less than chance makes of a share."""
    return exceeds(count, total, percent) or exceeds(total - count, total, 100 - percent)


def carried(proxy: Sequence[Passed], since: float, until: float, stable: str, canary: str) -> tuple[int, int]:
    """(requests to the canary Service, all) that the proxy passed between two moments."""
    inside = [each for each in proxy if each.asked >= since and each.answered <= until]
    if len(inside) < 2:
        return 0, 0
    moved = {
        name: inside[-1].counts.get(name, 0) - inside[0].counts.get(name, 0) for name in (stable, canary)
    }
    return moved[canary], moved[canary] + moved[stable]


def weight_of(route: Object, canary: str) -> int:
    """The canary's weight in a route, 0 to 100."""
    refs = route["spec"]["rules"][0]["backendRefs"]
    total = sum(ref["weight"] for ref in refs)
    return round(100 * sum(ref["weight"] for ref in refs if ref["name"] == canary) / total)


def changes(values: Iterable[object]) -> list[object]:
    """The values in their order, repetitions left out."""
    found: list[object] = []
    for value in values:
        if not found or found[-1] != value:
            found.append(value)
    return found
