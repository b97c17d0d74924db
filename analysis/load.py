"""How many requests a pod of each arm gets: what is under another load is slower, or fuller, for no fault.

At a small weight of few pods a canary pod gets a fraction of a stable pod's requests, at a large one a
multiple. Errors hardly mind; latency and saturation do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from analysis.evidence import Pair
from analysis.metric import Histogram, Mean, Metric, Slo

ALIKE: Final = (0.5, 2.0)  # a canary pod's load by a stable pod's
SLACK: Final = 1.1  # what chance may add: at half of the traffic a canary's pods get just twice as much
ENOUGH: Final = 20.0  # requests of an arm, below which chance alone may make loads differ


@dataclass(frozen=True, slots=True)
class Load:
    """Requests and the time that pods had for them, in pod-seconds, by arm in the present step.

    alike, unlike: the canary's requests over the rollout while the loads were and were not alike.
    """

    canary: float = 0.0
    canary_pods: float = 0.0
    stable: float = 0.0
    stable_pods: float = 0.0
    alike: float = 0.0
    unlike: float = 0.0

    def anew(self) -> Load:
        """In a step that begins."""
        return Load(alike=self.alike, unlike=self.unlike)

    def updated(self, pair: Pair, pods: tuple[int, int], seconds: float) -> Load:
        """With an interval of so many seconds, in which so many pods of canary and stable were there."""
        held = replace(
            self,
            canary=self.canary + pair.canary.total,
            canary_pods=self.canary_pods + pods[0] * seconds,
            stable=self.stable + pair.stable.total,
            stable_pods=self.stable_pods + pods[1] * seconds,
        )
        requests = pair.canary.total
        if held.outside:
            return replace(held, unlike=self.unlike + requests)
        return replace(held, alike=self.alike + requests)

    @property
    def per_pod(self) -> tuple[float, float] | None:
        """Requests a second of a canary pod and of a stable one, in this step; None before any is known."""
        if self.canary_pods <= 0 or self.stable_pods <= 0:
            return None
        return self.canary / self.canary_pods, self.stable / self.stable_pods

    @property
    def ratio(self) -> float | None:
        """A canary pod's load by a stable pod's in this step; None while too few requests tell."""
        rates = self.per_pod
        if rates is None or max(self.canary, self.stable) < ENOUGH:
            return None
        return rates[0] / rates[1] if rates[1] > 0 else math.inf

    @property
    def outside(self) -> bool:
        """Whether the loads of this step are not alike."""
        return self.ratio is not None and not ALIKE[0] / SLACK <= self.ratio <= ALIKE[1] * SLACK

    @property
    def unequal(self) -> bool:
        """Whether they are not, or were not for most of what is held against the canary."""
        return self.outside or self.unlike > self.alike


NO_LOAD: Final = Load()


def sensitive(metric: Metric) -> bool:
    """Whether a metric depends on load: latency and saturation do."""
    return isinstance(metric.kind, Histogram | Slo | Mean)
