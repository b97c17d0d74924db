"""What unequal load will keep the judge from, as a plan foresees it, and what would mend it. Pure."""

from collections.abc import Iterator, Sequence

from analysis.holds import Hold
from analysis.load import ALIKE, sensitive
from analysis.policy import Policy
from rollout.api.rollout import RolloutSpec
from rollout.plan import replicas


def uneven(policy: Policy, spec: RolloutSpec, holds: Sequence[Hold], names: Sequence[str]) -> tuple[str, ...]:
    """A sentence for each hold in which latency or saturation may not roll back alone; `names` of a plan."""
    return tuple(_told(policy, spec, holds, names))


def _told(policy: Policy, spec: RolloutSpec, holds: Sequence[Hold], names: Sequence[str]) -> Iterator[str]:
    armed = {m.name for m in policy.metrics if sensitive(m) and m.role.rolls_back}
    for hold, name in zip(holds, names, strict=True):
        idle = ", ".join(sorted({each.partition("@")[0] for each in armed & hold.measured}))
        found = ratio(hold.weight, *hold.pods)
        if not idle or alike(found):
            continue
        said = f"a canary pod gets {found:.2g} times the requests of a stable pod"
        where = f"step {hold.step} ({name} at {100 * hold.weight:g} %)"
        yield f"{where}: {said}: {idle} may not roll back alone ({_remedy(spec, hold)})"


def ratio(weight: float, canary: int, stable: int) -> float:
    """The load of a canary pod by that of a stable pod, at a weight from 0 to 1."""
    return (weight / canary) / ((1 - weight) / stable) if weight < 1 else float("inf")


def alike(found: float) -> bool:
    """Whether pods under such a ratio of loads can be compared."""
    return ALIKE[0] <= found <= ALIKE[1]


def _remedy(spec: RolloutSpec, hold: Hold) -> str:
    """The nearest weight with which loads are alike, and the pods with which they are at this one."""
    wanted = round(100 * hold.weight)
    least = spec.strategy.canary.min_pods_per_replica_set
    stable = hold.pods[1]
    good = [
        weight
        for weight in range(1, 100)
        if alike(ratio(weight / 100, replicas.canary(weight, stable, least), stable))
    ]
    nearest = min(good, key=lambda weight: abs(weight - wanted), default=None)
    pods = round(stable * hold.weight / (1 - hold.weight)) if hold.weight < 1 else 0
    offers = [f"at {nearest} % they are alike"] if nearest is not None else []
    if pods >= 1 and alike(ratio(hold.weight, pods, stable)):
        offers.append(f"with {pods} canary pods they would be")
    return ", ".join(offers) or "more stable pods would make them alike"
