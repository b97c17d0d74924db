"""Where in a Gateway API route our pair of backends stands, and how its weights are split.

The pair is the stable and the canary Service in one rule's `backendRefs`. Its total stays as found, so that
other weighted backends of the rule keep their share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.api.base import Manifest

OWN_TOTAL = 100
"""The total of a pair that had none worth keeping."""
LARGEST_WEIGHT = 1_000_000
"""The Gateway API's limit for one weight."""
DEFAULT_WEIGHT = 1
"""What an absent weight means, by the Gateway API."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair in one rule."""

    rule: int
    """Index of the rule."""
    rule_name: str
    """Its name or, where it has none, its index."""
    stable_at: int
    canary_at: int
    stable: int
    """Weights as found."""
    canary: int
    beside: int
    """The weight of the rule's other backends."""

    @property
    def total(self) -> int:
        """Weight of the pair."""
        return self.stable + self.canary

    @property
    def splittable(self) -> bool:
        """Whether a percent of the total is at least one unit of weight, and the total fits one weight."""
        return OWN_TOTAL <= self.total <= LARGEST_WEIGHT

    @property
    def percent(self) -> int:
        """Canary's share of the pair in percent, rounded up: no trace reads as 0."""
        return -(-100 * self.canary // self.total) if self.total else 0

    def says(self, percent: int) -> bool:
        """Whether the weights are already what `weights(percent)` would write."""
        return self.weights(percent) == (self.stable, self.canary)

    def crowded(self, percent: int) -> bool:
        """Whether `percent` can't be written without changing the share of the backends beside."""
        return self.beside > 0 and percent > 0 and not self._represents(percent)

    def weights(self, percent: int) -> tuple[int, int]:
        """(stable, canary), canary's share being `percent` or, where a unit of weight is too coarse, just
        below it.
        """
        if self.beside and percent == 0:
            return min(self.total, LARGEST_WEIGHT), 0
        total = self.total if self._represents(percent) else OWN_TOTAL
        canary = total * percent // 100
        return total - canary, canary

    def _represents(self, percent: int) -> bool:
        exactly = 0 < self.total <= LARGEST_WEIGHT and self.total * percent % 100 == 0
        return self.splittable or exactly


@dataclass(frozen=True, slots=True)
class Found:
    """The pairs of a route, and what is amiss with finding them: (message, remedy) each."""

    pairs: tuple[Pair, ...]
    amiss: tuple[tuple[str, str], ...] = ()


def find(route: Manifest, stable: str, canary: str, rule: str | None) -> Found:
    """The pair in the rule named `rule`, or in every rule that holds it."""
    rules = [
        (index, each)
        for index, each in enumerate(route.get("spec", {}).get("rules") or ())
        if not rule or each.get("name") == rule
    ]
    if not rules:
        what = "it has no rules" if not rule else f"it has no rule named {rule!r}"
        return Found((), ((what, f"add a rule with both {stable!r} and {canary!r} as backendRefs"),))
    namespace = str(route.get("metadata", {}).get("namespace", ""))
    each_found = [_in_rule(index, each, namespace, stable, canary) for index, each in rules]
    pairs = tuple(pair for found in each_found for pair in found.pairs)
    amiss = tuple(reason for found in each_found for reason in found.amiss)
    if pairs or amiss:
        return Found(pairs, amiss)
    where = "none of its rules holds" if not rule else f"rule {rule!r} does not hold"
    what = f"{where} both {stable!r} and {canary!r}"
    return Found((), ((what, "add both as backendRefs of one rule"),))


def _in_rule(index: int, rule: Mapping[str, Any], namespace: str, stable: str, canary: str) -> Found:
    refs = rule.get("backendRefs") or ()
    stable_at, canary_at = _positions(refs, namespace, stable), _positions(refs, namespace, canary)
    name = str(rule.get("name") or index)
    if len(stable_at) > 1 or len(canary_at) > 1:
        return Found((), ((f"rule {name!r} names one of our Services twice", "name each once in a rule"),))
    if not stable_at or not canary_at:
        return Found(())
    weights = [_weight(ref) for ref in refs]
    ours = weights[stable_at[0]], weights[canary_at[0]]
    return Found((Pair(index, name, stable_at[0], canary_at[0], *ours, beside=sum(weights) - sum(ours)),))


def _positions(refs: Sequence[Mapping[str, Any]], namespace: str, service: str) -> list[int]:
    """Where `refs` names the Service of that name in the route's own namespace."""
    return [
        index
        for index, ref in enumerate(refs)
        if ref.get("name") == service
        and (ref.get("group") or "") == ""
        and (ref.get("kind") or "Service") == "Service"
        and (ref.get("namespace") or namespace) == namespace
    ]


def _weight(ref: Mapping[str, Any]) -> int:
    weight = ref.get("weight")
    return DEFAULT_WEIGHT if weight is None else int(weight)
