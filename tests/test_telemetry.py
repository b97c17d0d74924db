"""What the operator shows of itself, as Prometheus, a kubelet and a person see it."""

import json
import logging
from datetime import UTC, datetime

import aiohttp
import pytest

from rollout.api.status import (
    ArmSamples,
    ArmWeight,
    CanaryStatus,
    MetricEvidence,
    Phase,
    RolloutStatus,
    Verdict,
    Weights,
)
from rollout.telemetry import Line, Metrics, serving

STATUS = RolloutStatus(
    phase=Phase.PROGRESSING,
    current_step_index=3,
    canary=CanaryStatus(
        desired_weight=25, weights=Weights(canary=ArmWeight(weight=24), stable=ArmWeight(weight=76))
    ),
    evidence=(
        MetricEvidence(
            metric="errors",
            verdict="undecided",
            canary=ArmSamples(bad=4, total=3720),
            stable=ArmSamples(bad=9, total=11160),
            ratio_low=0.8,
            ratio_high=1.4,
        ),
    ),
)


def samples(metrics: Metrics) -> set[str]:
    return {line for line in metrics.text().decode().splitlines() if not line.startswith("#")}


def test_a_recorded_status_is_shown_with_both_weights_and_the_phase() -> None:
    metrics = Metrics()
    metrics.status("shop", "checkout", STATUS)
    ours = 'name="checkout",namespace="shop"'
    assert {
        f"rollout_desired_weight{{{ours}}} 25.0",
        f"rollout_observed_weight{{{ours}}} 24.0",
        f"rollout_step{{{ours}}} 3.0",
        f'rollout_phase{{{ours},phase="Progressing"}} 1.0',
        f'rollout_phase{{{ours},phase="Healthy"}} 0.0',
        f'rollout_samples{{arm="canary",metric="errors",{ours}}} 3720.0',
        f'rollout_ratio{{bound="high",metric="errors",{ours}}} 1.4',
    } <= samples(metrics)


def test_a_rollout_that_is_gone_leaves_no_series_and_its_neighbour_keeps_them() -> None:
    metrics = Metrics()
    for name in ("checkout", "basket"):
        metrics.status("shop", name, STATUS)
        metrics.verdict("shop", name, Verdict.PROMOTED)
        metrics.git("shop", name, None)
    before = {line for line in samples(metrics) if "basket" in line}
    metrics.forget("shop", "checkout")
    left = samples(metrics)
    assert not [line for line in left if "checkout" in line]
    assert before
    assert before <= left


def test_calls_are_counted_by_verb_and_code_and_a_watch_has_no_length() -> None:
    metrics = Metrics()
    metrics.request("get", "pods", 200, 0.01)
    metrics.request("watch", "pods", 410, 300.0)
    told = samples(metrics)
    assert 'rollout_api_requests_total{code="200",verb="get"} 1.0' in told
    assert 'rollout_api_requests_total{code="410",verb="watch"} 1.0' in told
    assert not [line for line in told if "request_seconds" in line and "watch" in line]


async def test_probes_say_what_is_not_well_and_metrics_are_served_beside_them() -> None:
    complaints = ["the queue stands still"]
    metrics = Metrics()
    async with (
        serving(metrics, lambda: complaints[0], lambda: "", "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        async with session.get("/healthz") as sick:
            assert (sick.status, await sick.text()) == (503, "the queue stands still")
        complaints[0] = ""
        for path in ("/healthz", "/readyz"):
            async with session.get(path) as well:
                assert (well.status, await well.text()) == (200, "ok")
        async with session.get("/metrics") as shown:
            assert "text/plain" in shown.headers["Content-Type"]
            assert "rollout_info" in await shown.text()


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "rollout.reconcile", "levelname": "INFO", "msg": message})
    made.created = datetime(2026, 11, 21, 4, 30, tzinfo=UTC).timestamp()
    made.__dict__["fields"] = fields
    return made


def test_a_json_line_holds_the_decision_and_its_fields() -> None:
    line = Line("json").format(record("weight 5 to 25", namespace="shop", step=2))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-11-21T04:30:00.000+00:00",
        "level": "info",
        "logger": "rollout.reconcile",
        "message": "weight 5 to 25",
        "namespace": "shop",
        "step": 2,
    }


def test_a_plain_line_reads_like_a_sentence() -> None:
    line = Line("plain").format(record("weight 5 to 25", step=2))
    assert line == "04:30:00 INFO    weight 5 to 25 step=2"


@pytest.mark.parametrize("form", ["json", "plain"])
def test_a_traceback_is_kept(form: str) -> None:
    try:
        raise ValueError("bad")
    except ValueError as error:
        failed = record("turn failed")
        failed.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: bad" in Line(form).format(failed)  # type: ignore[arg-type]  # a parametrised literal
