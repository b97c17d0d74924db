"""Between a threshold metric's state and what an AnalysisRun's status says of it. Pure."""

from datetime import timedelta

from analysis.threshold import Limits, Measurement, Phase, State, Tally
from rollout.api.measurements import MeasurementPhase, MeasurementRecord, MetricResult, TallyRecord
from rollout.api.threshold import Threshold

QUERY = "ResolvedPrometheusQuery"
QUERY_LIMIT = 1024


def limits_of(metric: Threshold) -> Limits:
    """The limits of a metric whose placeholders are filled in; Argo Rollouts' where it names none."""
    default = Limits()
    interval = _span(metric.interval)
    count = _number(metric.count, 0) or (1 if interval is None else None)
    return Limits(
        count=count,
        interval=interval,
        initial_delay=_span(metric.initial_delay) or default.initial_delay,
        failure=_number(metric.failure_limit, default.failure),
        inconclusive=_number(metric.inconclusive_limit, default.inconclusive),
        consecutive_error=_number(metric.consecutive_error_limit, default.consecutive_error),
        consecutive_success=_number(metric.consecutive_success_limit, default.consecutive_success),
    )


def _span(value: timedelta | str | None) -> timedelta | None:
    assert not isinstance(value, str), "the metrics of a run have their placeholders filled in"
    return value


def _number(value: int | str | None, default: int) -> int:
    assert not isinstance(value, str), "the metrics of a run have their placeholders filled in"
    return default if value is None else value


def result_of(metric: Threshold, state: State, *, dry_run: bool) -> MetricResult:
    """As the status holds it."""
    return MetricResult(
        name=metric.name,
        phase=MeasurementPhase(state.phase.value),
        message=state.message,
        count=state.total.count,
        successful=state.total.successful,
        failed=state.total.failed,
        inconclusive=state.total.inconclusive,
        error=state.total.error,
        consecutive_error=state.consecutive_error,
        consecutive_success=state.consecutive_success,
        measurements=tuple(_record(each) for each in state.measurements),
        dry_run=dry_run,
        metadata={QUERY: metric.provider.prometheus.query[:QUERY_LIMIT]},
        step=state.step,
        step_since=state.step_since,
        round_since=state.since,
        in_step=_counts(state.in_step),
        in_round=_counts(state.in_round),
    )


def state_of(result: MetricResult) -> State:
    """As it stood when the status was written."""
    return State(
        step=result.step,
        since=result.round_since,
        step_since=result.step_since,
        phase=Phase(result.phase.value),
        message=result.message,
        in_round=_tally(result.in_round),
        in_step=_tally(result.in_step),
        total=Tally(result.successful, result.failed, result.inconclusive, result.error),
        consecutive_error=result.consecutive_error,
        consecutive_success=result.consecutive_success,
        measurements=tuple(_measurement(each) for each in result.measurements),
    )


def _record(each: Measurement) -> MeasurementRecord:
    return MeasurementRecord(
        phase=MeasurementPhase(each.phase.value),
        started_at=each.started_at,
        finished_at=each.finished_at,
        value=each.value,
        message=each.message,
        refused=each.refused,
    )


def _measurement(each: MeasurementRecord) -> Measurement:
    return Measurement(
        Phase(each.phase.value), each.started_at, each.finished_at, each.value, each.message, each.refused
    )


def _counts(tally: Tally) -> TallyRecord:
    return TallyRecord(
        successful=tally.successful, failed=tally.failed, inconclusive=tally.inconclusive, error=tally.error
    )


def _tally(record: TallyRecord) -> Tally:
    return Tally(record.successful, record.failed, record.inconclusive, record.error)
