"""A shop whose pods are scraped as its story says, judged as in production: from the template to status."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from analysis.evidence import Series, to_ms
from analysis.sources.recorded import RecordedSource
from rollout.api.analysis import parse_analysis_template
from rollout.api.rollout import parse_rollout
from rollout.api.status import CanaryStatus, MetricEvidence, RolloutStatus, Stage
from rollout.measure import Measured, Measurer
from rollout.plan.evidence import Outcome
from rollout.plan.observed import Observed, ReplicaSet, Route, Run, Service
from rollout.workloads import runs

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCRAPE = 5
LONGEST = 610
EDGES = (0.1, 0.3, 1.0, math.inf)
API = "progressive.delivery/v1alpha1"
STABLE, CANARY = "v1", "v2"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. rps: requests a second; errors: the share that fails; slow: shares of requests by bucket.

    began: seconds before NOW that its process began; up: whether a scrape at a second succeeds.
    """

    version: str
    number: int
    rps: float = 20.0
    errors: float = 0.01
    slow: tuple[float, ...] = (0.9, 0.09, 0.009, 0.001)
    memory: float = 100.0
    began: float = 3600.0
    up: Callable[[int], bool] = lambda second: True
    count: Callable[[float], float] = math.floor

    @property
    def labels(self) -> dict[str, str]:
        name = f"shop-{self.version}-{'abcdefghij'[self.number]}2345"
        return {"namespace": "shop", "pod": name, "job": "shop", "instance": name}

    def began_earlier(self, seconds: float) -> "Pod":
        return replace(self, began=self.began + seconds)

    def series(self, first: int, last: int) -> list[Series]:
        """All that is scraped of it in these seconds from NOW."""
        began = -int(self.began)
        scraped = [second for second in range(first, last, SCRAPE) if second >= began]
        well = [second for second in scraped if self.up(second)]

        def of(name: str, value: Callable[[int], float], seconds: Sequence[int], **labels: str) -> Series:
            named = {"__name__": name, **self.labels, **labels}
            samples = tuple((to_ms(NOW + timedelta(seconds=each)), value(each)) for each in seconds)
            return Series(named, samples)

        def events(share: float) -> Callable[[int], float]:
            return lambda second: float(self.count(share * self.rps * (second - began)))

        shares = [sum(self.slow[: place + 1]) for place in range(len(self.slow))]
        named = ["+Inf" if math.isinf(edge) else f"{edge:g}" for edge in EDGES]
        found = [
            of("up", lambda second: float(self.up(second)), scraped),
            of("process_start_time_seconds", lambda _: NOW.timestamp() + began, well),
            of("http_requests_total", events(1 - self.errors), well, code="200"),
            of("http_requests_total", events(self.errors), well, code="500"),
            of("memory_bytes", lambda second: self.memory * (1 + 0.01 * math.sin(second)), well),
            *(
                of("seconds_bucket", events(share), well, le=le)
                for le, share in zip(named, shares, strict=True)
            ),
        ]
        return [one for one in found if one.samples]


def pods(version: str, number: int, **about: Any) -> list[Pod]:
    return [Pod(version, each, **about) for each in range(number)]


def even(weight: int = 50, canary: Mapping[str, Any] | None = None, stable: int = 4) -> list[Pod]:
    """80 requests a second, of which the canary's two pods get their weight."""
    share = weight / 100
    return [
        *pods(STABLE, stable, rps=80 * (1 - share) / stable),
        *pods(CANARY, 2, **{"rps": 80 * share / 2, "began": 120.0} | dict(canary or {})),
    ]


def metric(name: str, **compare: Any) -> dict[str, Any]:
    return {"name": name, "compare": compare}


ERRORS = metric(
    "errors", proportion={"bad": 'http_requests_total{code="500"}', "total": "http_requests_total"}
)
LATENCY = metric("latency", histogram={"buckets": "seconds_bucket", "slo": ["300ms"]})


def manifest(analysis: Mapping[str, Any] | None = None, weight: int = 50) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Rollout",
        "metadata": {"name": "shop", "namespace": "shop", "uid": "uid"},
        "spec": {
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {"containers": [{"name": "app", "image": "shop"}]},
            },
            "strategy": {
                "canary": {
                    "stableService": "stable",
                    "canaryService": "canary",
                    "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
                    "analysis": {"templates": [{"templateName": "signals"}], **(analysis or {})},
                    "steps": [{"setWeight": weight}, {"judge": {}}],
                }
            },
        },
    }


@dataclass(slots=True)
class Judged:
    """The shop under judgement: it looks each `SCRAPE` seconds at what its pods showed."""

    metrics: Sequence[Mapping[str, Any]]
    pods: Sequence[Pod]
    weight: int = 50
    analysis: Mapping[str, Any] | None = None
    history: int = 600
    """Seconds of samples before NOW."""
    seconds: int = 0
    run: dict[str, Any] = field(default_factory=dict)
    measurer: Measurer = field(init=False)
    source: RecordedSource = field(init=False)

    def __post_init__(self) -> None:
        self.source = self.recorded()
        self.run = self.run or self.rendered()
        self.restart()

    def restart(self) -> None:
        """Another operator, which knows what was written."""
        self.measurer = Measurer(lambda address: self.source, timedelta(0))

    def recorded(self, also: Mapping[str, Mapping[str, str]] | None = None) -> RecordedSource:
        """What was scraped; `also` names series that are like `memory_bytes` but for these labels."""
        every = [one for pod in self.pods for one in pod.series(-self.history, LONGEST)]
        alike = [one for one in every if one.labels["__name__"] == "memory_bytes"]
        more = [
            Series({**one.labels, "__name__": name, **labels}, one.samples)
            for name, labels in (also or {}).items()
            for one in alike
        ]
        return RecordedSource([*every, *more])

    def rendered(self) -> dict[str, Any]:
        body = {
            "apiVersion": API,
            "kind": "AnalysisTemplate",
            "metadata": {"name": "signals", "namespace": "shop"},
            "spec": {"metrics": list(self.metrics)},
        }
        template = parse_analysis_template(body).spec
        rollout = manifest(self.analysis, self.weight)
        found = runs.render(
            rollout,
            parse_rollout(rollout).spec,
            {("signals", False): template},
            name="run",
            role="background",
            attempt="a",
            canary=ReplicaSet("shop-v2", CANARY, "2", "1", 2, NOW, 2),
            stable=ReplicaSet("shop-v1", STABLE, "1", "1", 1, NOW, 4),
        )
        found["metadata"] |= {"uid": "run", "resourceVersion": "1"}
        return found

    @property
    def observed(self) -> Observed:
        """In the step that judges, its weight read back since NOW."""
        rollout = manifest(self.analysis, self.weight)
        return Observed(
            namespace="shop",
            name="shop",
            uid="uid",
            generation=1,
            resource_version="1",
            status=RolloutStatus(
                stage=Stage.STEPPING,
                attempt="a",
                stable_rs=STABLE,
                current_pod_hash=CANARY,
                current_step_index=1,
                rollout_since=NOW - timedelta(seconds=130),
                step_effect_since=NOW,
                weight_since=NOW,
                canary=CanaryStatus(desired_weight=self.weight),
            ),
            spec=parse_rollout(rollout).spec,
            stable_service=Service("stable", "1", STABLE, ((STABLE, 4),), settled=True),
            canary_service=Service("canary", "1", CANARY, ((CANARY, 2),), settled=True),
            routes=(Route("HTTPRoute", "shop", "0", "1", self.weight),),
            runs=(Run("run", "run", "1", "Running", attempt="a", role="background"),),
        )

    async def look(self, seconds: int = SCRAPE) -> Measured:
        """One look, so many seconds later."""
        self.seconds += seconds
        return await self.measurer.measure(self.observed, self.run, NOW + timedelta(seconds=self.seconds))

    async def until(self, *outcomes: Outcome, within: int = 600) -> Measured:
        """Looks until one of the outcomes, or as long as there is time; the last look."""
        measured = await self.look()
        while measured.evidence.outcome not in outcomes and self.seconds < within:
            measured = await self.look()
        return measured

    async def written(self) -> None:
        """The checkpoint is written, and another operator takes over."""
        measured = await self.look()
        assert measured.unsaved is not None
        self.run = dict(measured.unsaved.run)
        self.restart()


def evidence(measured: Measured, name: str) -> MetricEvidence:
    return next(each for each in measured.evidence.metrics if each.metric == name)
