"""How much a status may hold, whatever goes in; what the planner decides by is never cut.

Texts for people are cut first, then shorter and shorter until the whole fits, then evidence goes. Cutting
what is cut already changes nothing, so a status that was cut is no news.
"""

from datetime import datetime, timedelta
from typing import Any, TypeVar

from rollout.api.analysisrun import AnalysisRunStatus
from rollout.api.base import Model
from rollout.api.status import (
    EVIDENCE_LIMIT,
    HISTORY_LIMIT,
    MESSAGE_LIMIT_BYTES,
    PROMOTED_LIMIT,
    REFUSED_LIMIT,
    CanaryStatus,
    Condition,
    ConditionType,
    HistoryEntry,
    MetricEvidence,
    RefusedAttempt,
    RolloutStatus,
    RunStatus,
    SourceStatus,
    TakenIntent,
)

STATUS_LIMIT_BYTES = 64 * 1024
RUN_STATUS_LIMIT_BYTES = 256 * 1024
NAME_LIMIT_BYTES = 256
"""For names, of which Kubernetes allows 253 characters."""
SELECTOR_LIMIT_BYTES = 8 * 1024
REDUCED_FOR = timedelta(minutes=5)
"""A status that the server refused whole is tried whole again after so long."""
_TIGHTER = (512, 256, 128, 64, 0)
_BRIEF = 200
M = TypeVar("M", bound=Model)


def short(text: str, limit: int = MESSAGE_LIMIT_BYTES) -> str:
    """`text`, cut to at most `limit` bytes of UTF-8; a cut shows as an ellipsis where there is room."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit:
        return encoded.decode()
    ellipsis = "…" if limit >= 16 else ""
    return encoded[: limit - len(ellipsis.encode())].decode(errors="ignore") + ellipsis


def size(value: Model) -> int:
    """Bytes of its JSON."""
    return len(value.model_dump_json(by_alias=True, exclude_none=True).encode())


def capped(status: RolloutStatus) -> RolloutStatus:
    """The status with at most 64 kB: its texts cut as far as that needs, evidence left out at last."""
    status = _bounded(status, MESSAGE_LIMIT_BYTES)
    for limit in _TIGHTER:
        if size(status) <= STATUS_LIMIT_BYTES:
            return status
        status = _bounded(status, limit)
    return status if size(status) <= STATUS_LIMIT_BYTES else minimal(status)


def minimal(status: RolloutStatus) -> RolloutStatus:
    """What the planner's memory needs, and the last verdict, of which Git may not have heard yet."""
    kept = _bounded(status, 0)
    return kept.model_copy(
        update={
            "message": short(status.message, _BRIEF),
            "verdict_reason": short(status.verdict_reason, _BRIEF),
            "conditions": (),
            "evidence": (),
            "history": tuple(_entry(each, _BRIEF) for each in status.history[-1:]),
            "source": _with(kept.source, path=_BRIEF, subject=0) if kept.source else None,
        }
    )


def reduced(status: RolloutStatus, now: datetime) -> RolloutStatus:
    """The minimal form, marked: the server refused the whole."""
    return minimal(status).model_copy(update={"reduced_since": now})


def least(status: RolloutStatus) -> dict[str, Any]:
    """As `manifest`, without what has its default value."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def fitting(status: RolloutStatus, now: datetime) -> RolloutStatus:
    """The status as the server takes it: whole, or for some minutes minimal where it refused that."""
    since = status.reduced_since
    if since is not None and now - since < REDUCED_FOR:
        return minimal(status)
    return capped(status.model_copy(update={"reduced_since": None}))


def capped_run(status: AnalysisRunStatus) -> AnalysisRunStatus:
    """An AnalysisRun's status with at most 256 kB; the checkpoint is never cut, and pictures go last."""
    for limit in (MESSAGE_LIMIT_BYTES, *_TIGHTER):
        status = status.model_copy(
            update={
                "message": short(status.message),
                "evidence": _evidence(status.evidence, limit),
            }
        )
        if size(status) <= RUN_STATUS_LIMIT_BYTES:
            return status
    last = tuple(
        each.model_copy(update={"measurements": each.measurements[-1:]}) for each in status.metric_results
    )
    return status.model_copy(update={"evidence": (), "course": {}, "metric_results": last})


def _bounded(status: RolloutStatus, limit: int) -> RolloutStatus:
    """Every list at its length, every text for people at `limit` bytes at most."""
    said = limit or _TIGHTER[-2]
    return status.model_copy(
        update={
            "message": short(status.message),
            "verdict_reason": short(status.verdict_reason),
            "exception": short(status.exception, NAME_LIMIT_BYTES),
            "conditions": _conditions(status, said),
            "intent": _intent(status.intent) if status.intent else None,
            "canary": _canary(status.canary, said),
            "evidence": _evidence(status.evidence, limit),
            "history": tuple(_entry(each, limit) for each in status.history[-HISTORY_LIMIT:]),
            "refused": tuple(_refusal(each, limit) for each in status.refused[-REFUSED_LIMIT:]),
            "promoted": status.promoted[-PROMOTED_LIMIT - 1 :],
            "source": _source(status.source) if status.source else None,
            # A selector that is cut would select something else.
            "selector": status.selector if len(status.selector.encode()) <= SELECTOR_LIMIT_BYTES else "",
        }
    )


def _conditions(status: RolloutStatus, limit: int) -> tuple[Condition, ...]:
    last = {each.type: each for each in status.conditions[-2 * len(ConditionType) :]}
    return tuple(_with(each, reason=NAME_LIMIT_BYTES, message=limit) for each in last.values())


def _intent(intent: TakenIntent) -> TakenIntent:
    return _with(intent, reason=MESSAGE_LIMIT_BYTES, by=NAME_LIMIT_BYTES)


def _canary(canary: CanaryStatus, limit: int) -> CanaryStatus:
    def brief(run: RunStatus | None) -> RunStatus | None:
        return _with(run, message=limit) if run else None

    return canary.model_copy(
        update={
            "current_step_analysis_run_status": brief(canary.current_step_analysis_run_status),
            "current_background_analysis_run_status": brief(canary.current_background_analysis_run_status),
        }
    )


def _evidence(evidence: tuple[MetricEvidence, ...], limit: int) -> tuple[MetricEvidence, ...]:
    names = {"metric": NAME_LIMIT_BYTES, "tolerate": NAME_LIMIT_BYTES, "unacceptable": NAME_LIMIT_BYTES}
    return tuple(_with(each, **names, reason=limit, query=limit) for each in evidence[:EVIDENCE_LIMIT])


def _entry(entry: HistoryEntry, limit: int) -> HistoryEntry:
    return _with(entry, reason=limit, version=limit, git_source=NAME_LIMIT_BYTES, commit=NAME_LIMIT_BYTES)


def _refusal(refusal: RefusedAttempt, limit: int) -> RefusedAttempt:
    return _with(refusal, reason=limit)


def _source(source: SourceStatus) -> SourceStatus:
    short_ones = dict.fromkeys(("git_source", "commit", "branch", "revision", "subject"), NAME_LIMIT_BYTES)
    return _with(source, **short_ones, path=MESSAGE_LIMIT_BYTES)


def _with(value: M, **limits: int) -> M:
    """`value` with these texts cut to so many bytes; itself where none is longer."""
    cut = {name: short(getattr(value, name), limit) for name, limit in limits.items()}
    changed = {name: text for name, text in cut.items() if text != getattr(value, name)}
    return value.model_copy(update=changed) if changed else value
