"""Requests that nobody served, held against what was there to serve them. Values only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from e2e_oracles import BY_CHANCE, weight_of
from e2e_witness import Object, Seen
from scipy.stats import poisson

from rollout.sandbox.shop.load import LoadReport

SERVICE = "kubernetes.io/service-name"
NOBODY = "-"
PROXY_LAG_S = 1.5
"""So much later than the API server the proxy may know of endpoints and weights.

Quiet, it takes 0.2 s; more than 1 s where six programs share each core.
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """How things stood from a time on (epoch seconds), by the API server."""

    at: float
    canary_percent: int
    canary_ready: int
    stable_ready: int
    """Ready endpoints of the two Services."""
    ready: int
    """Ready pods that are not on their way out, whatever Service they are in."""
    turn: int
    """The Rollout's counter of recorded turns."""

    @property
    def lost_share(self) -> float:
        """Of all requests, those that go where nobody is."""
        to_canary = self.canary_percent / 100
        return to_canary * (self.canary_ready == 0) + (1 - to_canary) * (self.stable_ready == 0)

    @property
    def needless(self) -> bool:
        """Whether requests go where nobody is while somebody could serve them."""
        return self.lost_share > 0 and self.ready > 0


@dataclass(frozen=True, slots=True)
class Names:
    """The objects of one application."""

    route: str
    stable: str
    canary: str
    rollout: str


def moments(seen: Mapping[str, Sequence[Seen]], names: Names) -> list[Moment]:
    """Each state that the API server showed, from the first complete one on, in order of time."""
    kinds = ("httproutes", "endpointslices", "pods", "rollouts")
    told = sorted(((each.at, kind, each) for kind in kinds for each in seen[kind]), key=lambda one: one[0])
    slices: dict[str, Object] = {}
    pods: dict[str, Seen] = {}
    route: Object | None = None
    turn = 0
    found: list[Moment] = []
    for at, kind, each in told:
        match kind:
            case "httproutes" if each.name == names.route and not each.gone:
                route = each.object
            case "endpointslices":
                slices[each.name] = {} if each.gone else each.object
            case "pods":
                pods[each.name] = each
            case "rollouts" if each.name == names.rollout:
                turn = each.status.get("turn", turn)
        if route is not None:
            canary, stable = (_endpoints(slices.values(), name) for name in (names.canary, names.stable))
            alive = sum(pod.serves for pod in pods.values())
            found.append(Moment(at, weight_of(route, names.canary), canary, stable, alive, turn))
    return found


def _endpoints(slices: Iterable[Object], service: str) -> int:
    own = [each for each in slices if each and each["metadata"]["labels"].get(SERVICE) == service]
    return sum(bool(end["conditions"].get("ready")) for each in own for end in each.get("endpoints") or ())


@dataclass(frozen=True, slots=True)
class Needless:
    """A while in which requests went where nobody was although somebody could have served them."""

    since: float
    until: float
    turns: int
    """Turns that were recorded meanwhile."""
    by_weight: bool
    """Whether it ended because the weight was moved, rather than because pods came back."""


def needless(states: Sequence[Moment]) -> list[Needless]:
    """All such whiles, but those that the return of pods ended before the proxy could know of them."""
    found: list[Needless] = []
    began: Moment | None = None
    for before, after in pairwise(states):
        if began is None and after.needless:
            began = after
        elif began is not None and not after.needless:
            moved = before.canary_percent != after.canary_percent
            if moved or after.at - began.at >= PROXY_LAG_S:
                found.append(Needless(began.at, after.at, after.turn - began.turn, moved))
            began = None
    if began is not None:
        found.append(Needless(began.at, states[-1].at, states[-1].turn - began.turn, by_weight=False))
    return found


def beyond_excuse(reports: Sequence[LoadReport], states: Sequence[Moment]) -> list[str]:
    """Where more requests were served by nobody than went where nobody was."""
    found: list[str] = []
    for before, after in pairwise(reports):
        lost = _by_nobody(after) - _by_nobody(before)
        if lost == 0:
            continue
        sent = after.sent + after.under_way - before.sent + before.under_way
        share = _most(states, before.at, after.at)
        most = poisson.isf(BY_CHANCE, share * sent) if share else 0
        if lost > most:
            found.append(f"{lost} of {sent} by nobody before {after.at:.2f}, where {most:.0f} have an excuse")
    return found


def _by_nobody(report: LoadReport) -> int:
    return sum(report.counts.get(NOBODY, {}).values())


def _most(states: Sequence[Moment], since: float, until: float) -> float:
    """The mean over an interval of the largest share that may have been lost, the proxy's lag allowed."""
    edges = sorted({since, until, *(edge for each in states for edge in (each.at, each.at + PROXY_LAG_S))})
    inside = [edge for edge in edges if since <= edge <= until]
    whole = sum((later - at) * _worst(states, at) for at, later in pairwise(inside))
    return min(1.0, whole / (until - since))


def _worst(states: Sequence[Moment], at: float) -> float:
    """The largest share that may be lost right after `at`; weights and endpoints may each lag."""
    known = list(_known(states, at))
    to_canary = max((each.canary_percent for each in known), default=0) / 100
    to_stable = 1 - min((each.canary_percent for each in known), default=0) / 100
    canary_gone = any(each.canary_ready == 0 for each in known)
    stable_gone = any(each.stable_ready == 0 for each in known)
    return min(1.0, to_canary * canary_gone + to_stable * stable_gone)


def _known(states: Sequence[Moment], at: float) -> Iterator[Moment]:
    """What the proxy may know: how things stood a lag ago, and what came since."""
    past = [each for each in states if each.at <= at - PROXY_LAG_S]
    yield from past[-1:]
    yield from (each for each in states if at - PROXY_LAG_S < each.at <= at)
