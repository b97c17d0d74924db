"""`rollout get NAME`: everything about one Rollout in a screenful."""

from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from rollout.api.status import ConditionType, HistoryEntry, Phase, Verdict
from rollout.show import evidence
from rollout.show.quantities import length
from rollout.show.sight import SHORT_COMMIT, Arm, Sight, tag

HISTORY_SHOWN = 3
WIDE = 120
"""Columns that a metric's evidence needs on one line."""
_LABEL_WIDTH = 10
PHASE_STYLES = {
    Phase.HEALTHY: "bold green",
    Phase.PROGRESSING: "bold cyan",
    Phase.PAUSED: "bold yellow",
    Phase.DEGRADED: "bold red",
}
VERDICT_WORDS = {
    Verdict.UNDECIDED: "undecided",
    Verdict.PROMOTED: "promoted",
    Verdict.ROLLED_BACK: "rolled back",
    Verdict.ABORTED: "aborted",
    Verdict.SUPERSEDED: "superseded",
    Verdict.INCONCLUSIVE: "promoted without proof",
    Verdict.FAST_ROLLED_BACK: "rolled back to a known version",
}


def tree(seen: Sight, now: datetime, *, width: int = WIDE) -> Text:
    """The whole picture, for a terminal of so many columns."""
    return Text("\n").join(_lines(seen, now, narrow=width < WIDE))


def _lines(seen: Sight, now: datetime, *, narrow: bool) -> Iterator[Text]:
    status = seen.status
    yield head(seen)
    if status.message and seen.under_way:
        yield _labelled("Says", status.message)
    if seen.git:
        yield _labelled("Git", _git(seen))
    if seen.stable:
        yield _labelled("Stable", _arm(seen.stable))
    if seen.canary:
        yield _labelled("Canary" if seen.stable else "First", _canary(seen, seen.canary))
    yield from _judge(seen, narrow=narrow)
    if status.intent:
        asked = status.intent
        outcome = f": {asked.outcome}" if asked.outcome else ""
        yield _labelled(
            "Intent",
            f'{asked.action} "{asked.reason}" by {asked.by} {length(now - asked.set_at)} ago{outcome}',
        )
    if status.history:
        shown = sorted(status.history, key=lambda entry: entry.at, reverse=True)[:HISTORY_SHOWN]
        for label, entry in zip(("History", "", ""), shown, strict=False):
            yield _labelled(label, _entry(entry, now))


def head(seen: Sight) -> Text:
    """The first line: name, namespace, phase, and the step or why."""
    phase = seen.status.phase
    text = Text(f"{seen.name}  {seen.namespace}  ", "bold")
    text.append(phase or "not seen by an operator yet", PHASE_STYLES.get(phase, "") if phase else "yellow")
    if seen.under_way:
        text.append(f"  step {seen.position}: {seen.step}" if seen.steps else f"  {seen.step}")
    elif seen.status.message:
        text.append(f"  {seen.status.message}")
    return text


def _labelled(label: str, content: str | Text) -> Text:
    return Text.assemble((label.ljust(_LABEL_WIDTH), "dim"), content)


def _git(seen: Sight) -> str:
    source = seen.status.source
    assert source is not None
    subject = f' "{source.subject}"' if source.subject else ""
    where = (
        f"GitSource {source.git_source}, {source.path}" if source.path else f"GitSource {source.git_source}"
    )
    return f"{seen.git}{subject} ({where})"


def _arm(arm: Arm) -> str:
    ready = f"{arm.ready}/{arm.wanted} ready" if arm.ready is not None else ""
    weight = f"{arm.weight:>3} %" if arm.weight is not None else ""
    return "  ".join(part for part in (arm.version, arm.hash, ready, weight) if part)


def _canary(seen: Sight, arm: Arm) -> str:
    desired = seen.status.canary.desired_weight
    asked = f", {desired} % asked for" if arm.weight is not None and arm.weight != desired else ""
    refused = ", refused" if seen.condition(ConditionType.ROLLED_BACK) else ""
    return _arm(arm) + asked + refused


def _judge(seen: Sight, *, narrow: bool) -> Iterator[Text]:
    if not seen.under_way and not seen.condition(ConditionType.ROLLED_BACK):
        return
    if seen.false_rollback:
        share = seen.false_rollback.removesuffix("%")
        blind = "; no metric data now" if seen.condition(ConditionType.ANALYSIS_BLIND) else ""
        promise = f"false rollback at most {share} % over the whole rollout"
        told = evidence.stated(seen.status.evidence, promise)
        yield _labelled("Judge", f"{told}{blind}")
    for each in evidence.lines(seen.status.evidence, narrow=narrow):
        yield Text("  ") + each


def _entry(entry: HistoryEntry, now: datetime) -> str:
    version = tag(entry.version.split(",")) if entry.version else entry.hash
    reason = f": {entry.reason}" if entry.reason and entry.verdict is not Verdict.PROMOTED else ""
    commit = f" ({entry.commit[:SHORT_COMMIT]})" if entry.commit else ""
    return f"{version} {VERDICT_WORDS[entry.verdict]} {length(now - entry.at)} ago{reason}{commit}"
