"""Whether requests go where the routes say: what is tested (P4), and how the planner hears it. Pure."""

from datetime import datetime, timedelta

import analysis as judged
from analysis.verdict import Judgement
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.compare import Compare
from rollout.api.measures import Against
from rollout.api.status import RolloutStatus
from rollout.plan.evidence import Sent
from rollout.plan.observed import Observed

SETTLES = timedelta(seconds=10)
"""How long a proxy may serve the old weights after the new ones are read back."""
SCRAPES = 2
"""So many scrapes later each pod that serves has been found and scraped."""
_REMEDY = "look at the route and the proxy; if requests come by another way too, say routed: false"


def share_of(run: AnalysisRunSpec) -> judged.Share | None:
    """By which metric of the background analysis the canary's share is told; None where none can."""
    for metric in run.compared:
        if "@" not in metric.name and _counts_all(metric.compare):
            return judged.Share(metric.name, phi=metric.compare.noise.phi)
    return None


def _counts_all(compare: Compare) -> bool:
    """Whether it counts each request that the route splits; what new pods do at first would be missing."""
    cold = compare.histogram is not None and compare.warm_up is not None and not compare.warm_up
    return compare.routed and compare.against is Against.STABLE and (compare.proportion is not None or cold)


def weight_at(status: RolloutStatus, scraped: timedelta) -> tuple[float, datetime] | None:
    """The share that the canary is to get, and from when on it has to, by how often it is `scraped`; None
    while no weight is read back.
    """
    if status.weight_since is None:
        return None
    return status.canary.desired_weight / 100, status.weight_since + SETTLES + SCRAPES * scraped


def pods_of(observed: Observed) -> tuple[int, int] | None:
    """Available pods of canary and stable, for series that don't tell pods; None while an arm has none."""
    canary = observed.replica_set(observed.status.current_pod_hash)
    stable = observed.replica_set(observed.status.stable_rs)
    if canary is None or stable is None or not canary.available or not stable.available:
        return None
    return canary.available, stable.available


def sent(judgement: Judgement) -> tuple[Sent, str]:
    """What the requests show, and where they go instead. The text moves as little as what it tells."""
    found = judgement.route
    if found is None:
        return Sent.UNKNOWN, ""
    if found.observed is None:
        return Sent.UNVERIFIED, ""
    if not found.misrouted:
        return Sent.AS_ASKED, ""
    share = f"the canary gets about {100 * found.observed:.2g} % of the requests"
    return Sent.ELSEWHERE, f"{share}, its weight is {100 * found.weight:g} %: {_REMEDY}"
