"""`rollout plan`: what a policy can tell with the traffic that it gets, as a table and in sentences."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from analysis.planning import End, Forecast, Outlook, Reach, Spread
from rollout.show.quantities import count
from rollout.show.table import columns

HEADINGS = (
    "STEP",
    "WEIGHT",
    "TO CANARY",
    "METRIC",
    "FINDS",
    "RATIO",
    "FINDS BAD IN",
    "PASSES GOOD IN",
    "LIMIT",
)
_NONE = "-"


def minutes(value: float) -> str:
    """`40 s`, `3.3 min`, `58 min`, `5.2 h`, `12 d`, or `never`."""
    if math.isinf(value):
        return "never"
    for size, unit, until in ((1 / 60, "s", 1.5), (1.0, "min", 120.0), (60.0, "h", 2880.0)):
        if value < until:
            number = value / size
            return f"{number:.0f} {unit}" if number >= 10 or unit == "s" else f"{number:.1f} {unit}"
    return f"{value / 1440:,.0f} d"


def rate(value: float, *, share: bool) -> str:
    """`1.75 %` of a share, `0.5/h` of events a pod-hour."""
    return f"{100 * value:.3g} %" if share else f"{value:.3g}/h"


def planned(forecast: Forecast, names: Sequence[str], shares: frozenset[str]) -> str:
    """The table; `names` says what each hold is, `shares` which metrics are shares of requests."""
    rows = [
        row
        for outlook, name in zip(forecast.holds, names, strict=True)
        for row in _rows(outlook, name, shares)
    ]
    return columns([HEADINGS, *rows])


def _rows(outlook: Outlook, name: str, shares: frozenset[str]) -> Iterator[tuple[str, ...]]:
    hold = outlook.hold
    head = (f"{hold.step} {name}", _weight(outlook), f"{count(outlook.canary_requests)}/min")
    if not outlook.reaches:
        yield (*head, _NONE, _NONE, _NONE, _NONE, _NONE, minutes(outlook.budget))
        return
    for place, reach in enumerate(outlook.reaches):
        share = reach.metric in shares
        yield (
            *(head if place == 0 else ('"',) * len(head)),
            metric_name(reach),
            _NONE if reach.detectable is None else f"{rate(reach.detectable, share=share)} or worse",
            _NONE if reach.ratio is None else f"x {reach.ratio:.2g}",
            _NONE if reach.detects is None else minutes(reach.detects),
            _NONE if reach.passes is None else minutes(reach.passes),
            minutes(outlook.budget),
        )


def _weight(outlook: Outlook) -> str:
    return f"{100 * outlook.hold.weight:g} %"


def metric_name(reach: Reach) -> str:
    """`errors`, `latency > 0.3 s`; without the step that an inline metric belongs to."""
    name = reach.metric.partition("@")[0]
    return name if reach.edge is None else f"{name} > {reach.edge:g} s"


def warnings(forecast: Forecast, names: Sequence[str], shares: frozenset[str]) -> tuple[str, ...]:
    """What the steps can't do in their time, a line each, and what would mend it."""
    found: list[str] = []
    for outlook, name in zip(forecast.holds, names, strict=True):
        found += shortfall(outlook, name, shares)
        if outlook.unplanned:
            missing = ", ".join(dict.fromkeys(each.partition("@")[0] for each in outlook.unplanned))
            where = _where(outlook, name)
            found.append(f"{where}: not planned: {missing} (say by --rate METRIC=RATE how often it happens)")
    return tuple(found)


def shortfall(outlook: Outlook, name: str, shares: frozenset[str]) -> Iterator[str]:
    """What a step, a `name`, can't do in its time, and what would mend it; nothing where all can be done."""
    short = [*_good(outlook), *_bad(outlook, shares)]
    if short:
        yield f"{_where(outlook, name)} has {minutes(outlook.budget)}: {'; '.join(short)} ({_MEND})"


def _where(outlook: Outlook, name: str) -> str:
    return f"step {outlook.hold.step} ({name} at {_weight(outlook)})"


_MEND = "raise maxDuration, the weight or `unacceptable`"


def _good(outlook: Outlook) -> Iterator[str]:
    """The metric by which a good canary is proved last, if too late."""
    late = max(outlook.late_passes, key=lambda each: each.passes or 0.0, default=None)
    if late is not None and late.passes is not None:
        yield f"to prove a good canary takes {_or_ever(late.passes)} by {metric_name(late)}"


def _bad(outlook: Outlook, shares: frozenset[str]) -> Iterator[str]:
    """The metric by which an unacceptable canary is proved worse last, if too late."""
    late = max(outlook.late_detections, key=lambda each: each.detects or 0.0, default=None)
    if late is not None and late.detects is not None:
        bad = rate(late.unacceptable, share=late.metric in shares)
        yield f"to prove one at {bad} worse takes {_or_ever(late.detects)} by {metric_name(late)}"


def _or_ever(value: float) -> str:
    return "for ever" if math.isinf(value) else minutes(value)


_ENDS = {
    End.FOUND: "is proved worse after",
    End.HELD: "is held as inconclusive after",
    End.THROUGH: "is through after",
}


def summary(forecast: Forecast, shares: frozenset[str]) -> tuple[str, ...]:
    """What to expect of a good rollout and of a bad one."""
    said = [
        f"A good rollout takes {_about(forecast.good_minutes)}, besides starting pods and moving traffic."
    ]
    late = [outlook.hold.step for outlook in forecast.holds if outlook.late_passes]
    if late:
        said.append(f"It may be held as inconclusive at step {', '.join(late)}.")
    if forecast.bad is not None and forecast.end and forecast.failed and forecast.bad_minutes:
        metric, worse = forecast.bad
        name, unit = metric.partition("@")[0], "requests" if metric in shares else "events"
        low, high = _number(forecast.failed.low), _number(forecast.failed.high)
        end = f"{_ENDS[forecast.end]} {_about(forecast.bad_minutes)}"
        harm = f"{_number(forecast.failed.expected)} {unit} ({low} to {high})"
        said.append(f"A canary at {rate(worse, share=metric in shares)} {name} {end};")
        said.append(f"it fails about {harm} more than stable would.")
    return tuple(said)


def _about(spread: Spread) -> str:
    low, high = minutes(spread.low), minutes(spread.high)
    return f"about {minutes(spread.expected)}" + (f" ({low} to {high})" if low != high else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def as_json(forecast: Forecast, names: Sequence[str]) -> dict[str, Any]:
    """The forecast for machines; times in minutes, null where it is never."""
    bad = forecast.bad and {
        "metric": forecast.bad[0],
        "rate": forecast.bad[1],
        "end": forecast.end and forecast.end.value,
        "minutes": _spread(forecast.bad_minutes),
        "failed": _spread(forecast.failed),
    }
    return {
        "power": forecast.power,
        "goodMinutes": _spread(forecast.good_minutes),
        "bad": bad or None,
        "steps": [
            {
                "index": int(outlook.hold.step),
                "kind": name,
                "weight": outlook.hold.weight,
                "canaryRequestsPerMinute": outlook.canary_requests,
                "minutes": outlook.budget,
                "reachesMargin": outlook.reaches_margin,
                "notPlanned": list(outlook.unplanned),
                "metrics": [_reach(reach) for reach in outlook.reaches],
            }
            for outlook, name in zip(forecast.holds, names, strict=True)
        ],
    }


def _reach(reach: Reach) -> dict[str, Any]:
    return {
        "metric": reach.metric,
        "edge": reach.edge,
        "stable": reach.stable_rate,
        "unacceptable": reach.unacceptable,
        "detectable": reach.detectable,
        "detectableRatio": reach.ratio,
        "minutesToDetectUnacceptable": _finite(reach.detects),
        "minutesToPassGood": _finite(reach.passes),
    }


def _spread(spread: Spread | None) -> dict[str, float | None] | None:
    if spread is None:
        return None
    return {key: _finite(getattr(spread, key)) for key in ("expected", "low", "high")}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
