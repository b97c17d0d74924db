"""`plan`: what a policy can tell with the traffic that it gets, before there is a rollout."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from analysis.holds import Hold
from analysis.metric import Proportion, Rate
from analysis.planning import POWER, Forecast, forecast
from analysis.policy import InvalidPolicy, Policy
from analysis.reading import DEFAULT_INTERVAL
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.base import parse_share
from rollout.api.errors import InvalidSpec
from rollout.api.parsing import parse
from rollout.api.rollout import KIND, Rollout
from rollout.cli.checking import documents_of, files_in
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.traffic import PrometheusOption, StableOption, Traffic, WindowOption, a_window, counted
from rollout.git.documents import Malformed
from rollout.lint import Document, is_kind, named, plane_of, templates_of
from rollout.measure.ahead import asked_of, holds_of, kind_of
from rollout.measure.loads import uneven
from rollout.measure.policy import policy_of
from rollout.measure.versions import any_version, versions
from rollout.plan.observed import Plane
from rollout.show import outlook
from rollout.workloads import runs, thresholds
from rollout.workloads.runs import Templates


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


@dataclass(frozen=True, slots=True)
class Planned:
    """One Rollout of PATH, and what it will ask of the judge."""

    path: str
    rollout: Rollout
    run: AnalysisRunSpec
    """What it asks, of any version unless one was named."""
    policy: Policy
    holds: tuple[Hold, ...]
    look: timedelta
    """The shortest time between two looks that a metric asks for."""
    templates: Templates
    """Of its analyses, threshold metrics included."""
    plane: Plane
    """The data plane, as far as the manifests tell it."""

    @property
    def name(self) -> str:
        """Of the Rollout."""
        return self.rollout.metadata.name

    @property
    def names(self) -> tuple[str, ...]:
        """What each hold is."""
        return tuple(kind_of(self.rollout.spec, hold) for hold in self.holds)

    @property
    def shares(self) -> frozenset[str]:
        """The metrics that are shares of requests."""
        return frozenset(m.name for m in self.policy.metrics if not isinstance(m.kind, Rate))


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


def rollouts_in(
    path: Path, stable: str | None = None, namespace: str = "default", *, foreseen: bool = True
) -> list[Planned]:
    """Every Rollout of a file or folder, with what its templates make of it; `stable` is a version's hash,
    `namespace` for manifests that name none. foreseen: whether it is for a forecast, which leaves out what it
    can't foretell and says so.

    Raises:
        Failure: USAGE where there is none; NO where one, or a template that it names, is not valid.
    """
    documents: list[Document] = []
    for file in files_in([path]):
        try:
            documents += documents_of(file)
        except Malformed as wrong:
            raise Failure(f"{file}:{wrong.position.line}: {wrong.message}") from wrong
    known = [document for document in documents if named(document.body)]
    rollouts = [document for document in known if is_kind(document.body, KIND.name)]
    if not rollouts:
        raise Failure(f"{path}: no Rollout in it", ExitCode.USAGE)
    found = [_planned(document, known, stable, namespace) for document in rollouts]
    if foreseen:
        _tell_what_is_left_out(found)
    return found


def _planned(document: Document, known: Sequence[Document], stable: str | None, namespace: str) -> Planned:
    try:
        rollout = parse(KIND, document.body)
        templates, broken, _ = templates_of(document, rollout, known)
        plane = plane_of(document, rollout, known)
        problems = runs.problems(rollout.spec, templates, broken, plane)
        if problems:
            raise InvalidSpec(problems)
        foreseen = {key: thresholds.without(template) for key, template in templates.items()}
        run = asked_of(rollout.spec, foreseen, plane, versions(rollout, stable, namespace))
        asked = [metric.interval for metric in run.compared if metric.interval is not None]
        look = min(asked, default=DEFAULT_INTERVAL)
        policy, holds = policy_of(run), holds_of(rollout.spec, run)
        return Planned(document.path, rollout, any_version(run), policy, holds, look, templates, plane)
    except InvalidSpec as invalid:
        raise Failure(f"{document.path}:{document.line}: {invalid.problems[0]}") from invalid
    except InvalidPolicy as invalid:
        raise Failure(f"{document.path}:{document.line}: {invalid}") from invalid


def _tell_what_is_left_out(found: Sequence[Planned]) -> None:
    """No count of requests foretells what an expression will say."""
    for each in found:
        left_out = sorted({name for template in each.templates.values() for name in thresholds.of(template)})
        if left_out:
            told = f"threshold metrics are left out, only compare is foreseen: {', '.join(left_out)}"
            sys.stderr.write(f"note: {each.name}: {told}\n")


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
