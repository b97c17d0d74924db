"""`plan`: what a policy can tell with the traffic that it gets, before there is a rollout."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from analysis.metric import Proportion
from analysis.planning import POWER, Forecast, forecast
from analysis.policy import Policy
from rollout.api.base import parse_share
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.planned import Planned, rollouts_in
from rollout.cli.traffic import PrometheusOption, StableOption, Traffic, WindowOption, a_window, counted
from rollout.measure.loads import uneven
from rollout.show import outlook


class Form(StrEnum):
    """How it is told to machines."""

    JSON = "json"
    YAML = "yaml"


PathArgument = Annotated[
    Path, typer.Argument(help="A file or folder with Rollouts and their templates.", show_default=False)
]
Rps = Annotated[
    float, typer.Option("--rps", help="Requests a second to both versions together.", show_default=False)
]
ErrorRate = Annotated[
    str,
    typer.Option(
        "--error-rate", help="Stable's share of bad events in proportions: 1% or 0.01.", show_default=False
    ),
]
RateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rate",
        metavar="METRIC=RATE",
        help="Stable's share (1%), or its events a pod-hour, of one metric; may be given again.",
        show_default=False,
    ),
]
BadRate = Annotated[
    str | None,
    typer.Option(
        "--bad-rate",
        help="A bad canary's share in the first proportion; default: `unacceptable`.",
        show_default=False,
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 for a step that can't reach its margin.")]
MaybeRps = Annotated[
    float | None,
    typer.Option("--rps", help="Requests a second to both versions together.", show_default=False),
]
MaybeErrorRate = Annotated[
    str | None,
    typer.Option(
        "--error-rate", help="Stable's share of bad events in proportions: 1% or 0.01.", show_default=False
    ),
]
PowerOption = Annotated[float, typer.Option("--power", help="The chance to find what is there.")]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace of manifests that name none.")
]
FormOption = Annotated[Form | None, typer.Option("--output", "-o", help="json or yaml.", show_default=False)]


def plan(
    path: PathArgument,
    rps: MaybeRps = None,
    error_rate: MaybeErrorRate = None,
    rate: RateOption = None,
    prometheus: PrometheusOption = None,
    window: WindowOption = "1h",
    stable: StableOption = None,
    namespace: NamespaceOption = "default",
    bad_rate: BadRate = None,
    power: PowerOption = POWER,
    strict: Strict = False,
    output: FormOption = None,
) -> None:
    """Say what each step can detect, how long it takes, and what a bad version costs."""
    share, given = a_share(error_rate, "--error-rate") if error_rate else None, rates_given(rate)
    if prometheus is None and (rps is None or share is None):
        raise typer.BadParameter("say --rps and --error-rate, or --prometheus URL to take them from there")
    found = rollouts_in(path, stable, namespace)
    if rps is not None and not 0 < rps < float("inf"):
        raise Failure(f"--rps must be above 0, not {rps:g}", ExitCode.USAGE)
    said = [Traffic(60 * (rps or 0.0), rates_of(each.policy, share, given)) for each in found]
    if prometheus is not None:
        lasts = a_window(window)
        asked = counted(prometheus, [(each.run, each.policy) for each in found], lasts)
        said = [told.with_counted(seen, lasts) for told, seen in zip(said, asked, strict=True)]
    known = [(each, traffic) for each, traffic in zip(found, said, strict=True) if traffic.requests]
    told = [(each, traffic, _forecast(each, traffic, bad_rate, power)) for each, traffic in known]
    if output is None:
        for one in told:
            _print(*one)
    else:
        write([_as_json(*one) for one in told], output)
    _end(told, strict=strict, unknown=[one for one in zip(found, said, strict=True) if not one[1].requests])


def _end(
    told: Sequence[tuple[Planned, Traffic, Forecast]],
    *,
    strict: bool,
    unknown: Sequence[tuple[Planned, Traffic]],
) -> None:
    """Raises Failure where the answer is no."""
    short = sum(not hold.reaches_margin for _, _, foreseen in told for hold in foreseen.holds)
    unjudged = [each.name for each, _, _ in told if not each.policy.metrics]
    faults = [f"{each.name}: {traffic.nothing}" for each, traffic in unknown]
    if strict and short:
        faults.append(f"{short} {'step' if short == 1 else 'steps'} can't reach their margin")
    if strict and unjudged:
        faults.append(f"no analysis: {', '.join(unjudged)}")
    if faults:
        raise Failure("; ".join(faults))


def a_share(text: str, option: str) -> float:
    """A share below 1 from `1%` or `0.01`; raises BadParameter."""
    try:
        value = parse_share(text) if text.endswith("%") else float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: write 1% or 0.01", param_hint=option) from error
    if not 0 <= value < 1:
        raise typer.BadParameter(f"{text!r}: must be at least 0% and below 100%", param_hint=option)
    return value


def rates_given(texts: Sequence[str] | None) -> dict[str, float]:
    """Rates by metric from METRIC=RATE; raises BadParameter."""
    given: dict[str, float] = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        try:
            given[name] = parse_share(value) if value.endswith("%") else float(value)
        except ValueError as error:
            raise typer.BadParameter(
                f"{text!r}: write METRIC=1% or METRIC=0.5", param_hint="--rate"
            ) from error
    return given


def rates_of(policy: Policy, error_rate: float | None, given: dict[str, float]) -> dict[str, float]:
    """Stable's rate of each metric that one is known of; raises BadParameter for a name that is not there."""
    names = {metric.name.partition("@")[0] for metric in policy.metrics}
    unknown = sorted(given.keys() - names)
    if unknown:
        known = ", ".join(sorted(names)) or "none"
        raise typer.BadParameter(f"no metric {unknown[0]!r}; there are: {known}", param_hint="--rate")
    rates = {}
    for metric in policy.metrics:
        base = metric.name.partition("@")[0]
        if base in given:
            rates[metric.name] = given[base]
        elif isinstance(metric.kind, Proportion) and error_rate is not None:
            rates[metric.name] = error_rate
    return rates


def _forecast(each: Planned, traffic: Traffic, bad_rate: str | None, power: float) -> Forecast:
    bad = None
    if bad_rate is not None:
        bad = (first_proportion(each.policy), a_share(bad_rate, "--bad-rate"))
    try:
        return forecast(each.policy, each.holds, traffic.requests, traffic.rates, power=power, bad=bad)
    except ValueError as wrong:
        raise Failure(str(wrong), ExitCode.USAGE) from wrong


def first_proportion(policy: Policy) -> str:
    """The first proportion that may roll back: what a bad canary is bad by. Raises Failure(USAGE)."""
    for metric in policy.metrics:
        if isinstance(metric.kind, Proportion) and metric.role.rolls_back:
            return metric.name
    raise Failure("--bad-rate: no proportion may roll back here", ExitCode.USAGE)


def _print(each: Planned, traffic: Traffic, foreseen: Forecast) -> None:
    write = sys.stdout.write
    since = (
        ""
        if traffic.window is None
        else f" (the last {outlook.minutes(traffic.window.total_seconds() / 60)})"
    )
    write(f"{each.name}  at {traffic.requests / 60:g} requests/s{since}, with power {foreseen.power:g}\n")
    if not each.policy.metrics:
        sys.stderr.write(f"warning: {each.name}: no analysis: nothing is judged\n")
        return
    write(outlook.planned(foreseen, each.names, each.shares) + "\n")
    write("".join(f"{line}\n" for line in outlook.summary(foreseen, each.shares)))
    sys.stdout.flush()
    for line in _warnings(each, traffic, foreseen):
        sys.stderr.write(f"warning: {each.name}: {line}\n")


def _warnings(each: Planned, traffic: Traffic, foreseen: Forecast) -> tuple[str, ...]:
    unknown = (f"{name}: {why}" for name, why in traffic.unknown.items())
    loads = uneven(each.policy, each.rollout.spec, each.holds, each.names)
    return (*unknown, *outlook.warnings(foreseen, each.names, each.shares), *loads)


def _as_json(each: Planned, traffic: Traffic, foreseen: Forecast) -> dict[str, Any]:
    metadata = each.rollout.metadata
    said = _warnings(each, traffic, foreseen)
    head = {
        "name": metadata.name,
        "namespace": metadata.namespace,
        "path": each.path,
        "requestsPerSecond": traffic.requests / 60,
        "stableRates": dict(traffic.rates),
    }
    return head | outlook.as_json(foreseen, each.names) | {"warnings": list(said)}


def write(body: list[dict[str, Any]], form: Form) -> None:
    """Print what is said of each Rollout for machines."""
    if form is Form.JSON:
        sys.stdout.write(json.dumps({"rollouts": body}, indent=2) + "\n")
    else:
        sys.stdout.write(yaml.safe_dump({"rollouts": body}, sort_keys=False))
