"""One metric's evidence as a line: both arms, the interval of their ratio, and how far each proof is."""

from rich.text import Text

from rollout.api.status import ArmSamples, Counted, MetricEvidence
from rollout.show.quantities import bar, count, percent

_WORDS = {
    "Worse": ("worse", "bold red"),
    "NotWorse": ("not worse", "bold green"),
    "Undecided": ("undecided", ""),
    "NoData": ("no data", "yellow"),
    "Error": ("error", "bold yellow"),
}
"""What the judge may say of a metric, in words and in colour."""
_UNTOLD = ("NoData", "Error")
"""Verdicts whose reason the numbers do not tell."""


def rate(arm: ArmSamples | None, *, counts: bool = False, counted: Counted = Counted.SHARE) -> str:
    """What one arm showed: `1.1 % (41 of 3,720)`, `0.5/h (41 in 82 pod-hours)`, `1.2e+08`; or `no data`."""
    if arm is None or arm.total <= 0:
        return "no data"
    value = arm.bad / arm.total
    match counted:
        case Counted.MEAN:
            return f"{value:.4g}"
        case Counted.RATE:
            shown, out_of = f"{value:.2g}/h", f"{count(arm.bad)} in {arm.total:.2g} pod-hours"
        case _:
            shown, out_of = percent(value), f"{count(arm.bad)} of {count(arm.total)}"
    return f"{shown} ({out_of})" if counts else shown


def ratio(evidence: MetricEvidence) -> str:
    """The interval of canary over stable: `0.8 to 1.4`."""
    if not evidence.ratio_low and evidence.ratio_high is None:
        return ""
    low = f"{evidence.ratio_low or 0:.2g}"
    return f"{low} to {evidence.ratio_high:.2g}" if evidence.ratio_high is not None else f"over {low}"


_STANDS = {
    "Successful": "bold green",
    "Failed": "bold red",
    "Inconclusive": "bold yellow",
    "Error": "bold yellow",
}
"""How a metric that is held against conditions stands."""


def _held(evidence: MetricEvidence, name_width: int) -> Text:
    """Measurements against conditions: how they stand, and how many there were."""
    text = Text(evidence.metric.ljust(name_width), "bold")
    text.append(f"  {evidence.verdict.lower()}", _STANDS.get(evidence.verdict, "default"))
    text.append(f": {evidence.reason}", "not bold")
    return text


def _loads(evidence: MetricEvidence) -> str:
    """Of the pods: ` (2.1 against 9.8 requests/s a pod)`."""
    canary = evidence.canary.per_pod if evidence.canary else None
    stable = evidence.stable.per_pod if evidence.stable else None
    if canary is None or stable is None:
        return ""
    shown = (f"{each:,.0f}" if each >= 10 else f"{each:.2g}" for each in (canary, stable))
    return f" ({' against '.join(shown)} requests/s a pod)"


def line(evidence: MetricEvidence, name_width: int = 0, *, narrow: bool = False) -> Text:
    """The whole line, without indentation; `narrow` breaks it before the two proofs."""
    if evidence.counted is Counted.MEASUREMENTS:
        return _held(evidence, name_width)
    shown = ratio(evidence)
    text = Text()
    text.append(evidence.metric.ljust(name_width), "bold")
    canary = rate(evidence.canary, counts=True, counted=evidence.counted)
    text.append(f"  canary {canary}   stable {rate(evidence.stable, counted=evidence.counted)}")
    text.append(f"   ratio {shown}" if shown else "")
    text.append("\n" + " " * (name_width + 4) + "worse " if narrow else "   worse ")
    text.append(bar(evidence.worse_progress), "red")
    text.append("   fine ")
    text.append(bar(evidence.fine_progress), "green")
    if evidence.unequal_load:
        text.append(f"   unequal load{_loads(evidence)}", "yellow")
    words, style = _WORDS.get(evidence.verdict, (evidence.verdict, ""))
    text.append(f"   {words}", style)
    if evidence.reason and evidence.verdict in _UNTOLD:
        text.append(f": {evidence.reason}", "dim")
    return text


def stated(evidence: tuple[MetricEvidence, ...], promise: str) -> str:
    """The error rate that is promised; metrics that are held against conditions state none."""
    held = [each.counted is Counted.MEASUREMENTS for each in evidence]
    if not any(held):
        return promise
    return "by conditions and limits" if all(held) else f"{promise}, of what is compared"


def lines(evidence: tuple[MetricEvidence, ...], *, narrow: bool = False) -> list[Text]:
    """One line a metric (two where `narrow`), their names in one column."""
    width = max((len(each.metric) for each in evidence), default=0)
    return [line(each, width, narrow=narrow) for each in evidence]
