"""What the operator shows of itself: metrics, health and logs. It only tells; nothing here is read by a
decision.
"""

import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rollout import __version__
from rollout.api.status import Phase, RolloutStatus, Verdict

_ROLLOUT = ["namespace", "name"]
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The operator's metrics; their labels are bounded by what lives in the cluster."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._info = self._gauge("rollout_info", "The running version.", ["version"])
        self._info.labels(__version__).set(1)
        self._leading = self._gauge("rollout_leading", "1 where the shard is ours.", ["shard"])
        self._desired = self._gauge("rollout_desired_weight", "Percent that the canary may carry.", _ROLLOUT)
        self._observed = self._gauge(
            "rollout_observed_weight", "Percent that the canary carries, read back.", _ROLLOUT
        )
        self._step = self._gauge("rollout_step", "Index of the current step.", _ROLLOUT)
        self._phase = self._gauge("rollout_phase", "1 for the phase that it is in.", [*_ROLLOUT, "phase"])
        self._samples = self._gauge(
            "rollout_samples", "Events that the judge has counted.", [*_ROLLOUT, "metric", "arm"]
        )
        self._interval = self._gauge(
            "rollout_ratio",
            "Interval of the canary's rate over the stable's.",
            [*_ROLLOUT, "metric", "bound"],
        )
        self._verdicts = self._counter("rollout_verdicts", "How attempts ended.", [*_ROLLOUT, "verdict"])
        self._turns = self._counter("rollout_turns", "Turns.", ["kind", "outcome"])
        self._turn_seconds = self._histogram("rollout_turn_seconds", "Length of a turn.", ["kind"])
        self._turn_lag = self._histogram("rollout_turn_lag_seconds", "From due to begun.", ["kind"])
        self._reaction = self._histogram(
            "rollout_reaction_seconds", "From a decision to roll back to weight zero.", []
        )
        self._requests = self._counter("rollout_api_requests", "Calls to the API server.", ["verb", "code"])
        self._request_seconds = self._histogram("rollout_api_request_seconds", "Length of a call.", ["verb"])
        self._git_at = self._gauge(
            "rollout_git_fetched_timestamp_seconds", "Last fetch that succeeded.", _ROLLOUT
        )
        self._git_errors = self._counter("rollout_git_errors", "Polls that failed.", _ROLLOUT)
        self._drift = self._counter("rollout_git_drift", "Objects that were not as Git says.", _ROLLOUT)

    def leading(self, shard: int, *, ours: bool) -> None:
        """Whether a shard is ours."""
        self._leading.labels(str(shard)).set(ours)

    def status(self, namespace: str, name: str, status: RolloutStatus) -> None:
        """Show a status that was recorded."""
        ours = (namespace, name)
        self._desired.labels(*ours).set(status.canary.desired_weight)
        if status.canary.weights:
            self._observed.labels(*ours).set(status.canary.weights.canary.weight)
        self._step.labels(*ours).set(status.current_step_index or 0)
        for phase in Phase:
            self._phase.labels(*ours, phase.value).set(phase is status.phase)
        for each in status.evidence:
            for arm, samples in (("canary", each.canary), ("stable", each.stable)):
                if samples:
                    self._samples.labels(*ours, each.metric, arm).set(samples.total)
            for bound, ratio in (("low", each.ratio_low), ("high", each.ratio_high)):
                if ratio is not None:
                    self._interval.labels(*ours, each.metric, bound).set(ratio)

    def verdict(self, namespace: str, name: str, verdict: Verdict) -> None:
        """Count an attempt that ended."""
        self._verdicts.labels(namespace, name, verdict.value).inc()

    def turn(self, kind: str, outcome: str, seconds: float) -> None:
        """Count a turn; `outcome` is one of a few words: done, retry, stalled, failed."""
        self._turns.labels(kind, outcome).inc()
        self._turn_seconds.labels(kind).observe(seconds)

    def turn_lag(self, kind: str, seconds: float) -> None:
        """How long a turn waited from when it was due until it began."""
        self._turn_lag.labels(kind).observe(max(seconds, 0.0))

    def reaction(self, seconds: float) -> None:
        """How long it took from a decision to roll back until weight zero was read back."""
        self._reaction.observe(seconds)

    def request(self, verb: str, _resource: str, status: int, seconds: float) -> None:
        """Count a call to the API server; a watch's length says nothing and is left out."""
        self._requests.labels(verb, str(status)).inc()
        if verb != "watch":
            self._request_seconds.labels(verb).observe(seconds)

    def drift(self, namespace: str, name: str) -> None:
        """An object that a GitSource applied was changed by somebody else."""
        self._drift.labels(namespace, name).inc()

    def git(self, namespace: str, name: str, fetched_at: datetime | None) -> None:
        """A GitSource was polled: when it succeeded, or None."""
        if fetched_at is None:
            self._git_errors.labels(namespace, name).inc()
        else:
            self._git_at.labels(namespace, name).set(fetched_at.timestamp())

    def forget(self, namespace: str, name: str) -> None:
        """Drop every series of a Rollout or GitSource that is gone."""
        gone = {"namespace": namespace, "name": name}
        for each in (self._desired, self._observed, self._step, self._phase, self._samples, self._interval):
            each.remove_by_labels(gone)
        for counted in (self._verdicts, self._git_errors, self._git_at, self._drift):
            counted.remove_by_labels(gone)

    def text(self) -> bytes:
        """All metrics as Prometheus scrapes them."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, says: str, labels: list[str]) -> Gauge:
        return Gauge(name, says, labels, registry=self.registry)

    def _counter(self, name: str, says: str, labels: list[str]) -> Counter:
        return Counter(name, says, labels, registry=self.registry)

    def _histogram(self, name: str, says: str, labels: list[str]) -> Histogram:
        return Histogram(name, says, labels, registry=self.registry, buckets=_SECONDS)


Check = Callable[[], str]
"""Empty when all is well, else what is not."""


@asynccontextmanager
async def serving(metrics: Metrics, alive: Check, ready: Check, host: str, port: int) -> AsyncIterator[int]:
    """Serve /metrics, /healthz and /readyz; gives the port, which is a free one where `port` is 0."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/metrics", show)
    application.router.add_get("/healthz", _probe(alive))
    application.router.add_get("/readyz", _probe(ready))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _probe(check: Check) -> Callable[[web.Request], Any]:
    async def answer(_request: web.Request) -> web.Response:
        complaint = check()
        return web.Response(text=complaint or "ok", status=503 if complaint else 200)

    return answer


class Line(logging.Formatter):
    """One line a record: as JSON, or for a terminal. What `extra={"fields": {...}}` brings stands beside
    the message.
    """

    def __init__(self, form: Literal["json", "plain"]) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """Render."""
        when = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, Any] = getattr(record, "fields", {})
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        if self._form == "json":
            told = {"time": when.isoformat(timespec="milliseconds"), "level": record.levelname.lower()}
            return json.dumps(told | {"logger": record.name, "message": message} | fields, default=str)
        tail = "".join(f" {key}={value}" for key, value in fields.items())
        return f"{when:%H:%M:%S} {record.levelname:<7} {message}{tail}"


def log_to_stderr(form: Literal["json", "plain"], level: str) -> None:
    """Send all logs to stderr, one line each; other libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line(form))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("rollout").setLevel(level.upper())
