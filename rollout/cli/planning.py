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
from rollout.api.base import parse_share
from rollout.api.errors import InvalidSpec
from rollout.api.parsing import parse
from rollout.api.rollout import KIND, Rollout
from rollout.cli.checking import documents_of, files_in
from rollout.cli.failure import ExitCode, Failure
from rollout.git.documents import Malformed
from rollout.lint import Document, is_kind, named, templates_of
from rollout.measure.ahead import asked_of, holds_of, kind_of
from rollout.measure.policy import policy_of
from rollout.show import outlook
from rollout.workloads import runs
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
PowerOption = Annotated[float, typer.Option("--power", help="The chance to find what is there.")]
FormOption = Annotated[Form | None, typer.Option("--output", "-o", help="json or yaml.", show_default=False)]


@dataclass(frozen=True, slots=True)
class Planned:
    """One Rollout of PATH, and what it will ask of the judge."""

    path: str
    rollout: Rollout
    policy: Policy
    holds: tuple[Hold, ...]
    look: timedelta
    """The shortest time between two looks that a metric asks for."""
    templates: Templates
    """Of its analyses."""

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
    rps: Rps,
    error_rate: ErrorRate,
    rate: RateOption = None,
    bad_rate: BadRate = None,
    power: PowerOption = POWER,
    strict: Strict = False,
    output: FormOption = None,
) -> None:
    """Say what each step can detect, how long it takes, and what a bad version costs."""
    share, given = a_share(error_rate, "--error-rate"), rates_given(rate)
    found = rollouts_in(path)
    told = [(each, _forecast(each, rps, share, given, bad_rate, power)) for each in found]
    if output is None:
        for each, foreseen in told:
            _print(each, foreseen, rps)
    else:
        write([_as_json(each, foreseen) for each, foreseen in told], output)
    short = sum(not hold.reaches_margin for _, foreseen in told for hold in foreseen.holds)
    unjudged = [each.rollout.metadata.name for each, _ in told if not each.policy.metrics]
    if strict and (short or unjudged):
        steps = f"{short} {'step' if short == 1 else 'steps'} can't reach their margin" if short else ""
        none = f"no analysis: {', '.join(unjudged)}" if unjudged else ""
        raise Failure("; ".join(filter(None, (steps, none))))


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


def rates_of(policy: Policy, error_rate: float, given: dict[str, float]) -> dict[str, float]:
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
        elif isinstance(metric.kind, Proportion):
            rates[metric.name] = error_rate
    return rates


def rollouts_in(path: Path) -> list[Planned]:
    """Every Rollout of a file or folder, with what its templates make of it.

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
    return [_planned(document, known) for document in rollouts]


def _planned(document: Document, known: Sequence[Document]) -> Planned:
    try:
        rollout = parse(KIND, document.body)
        templates, broken, _ = templates_of(document, rollout, known)
        problems = runs.problems(rollout.spec, templates, broken)
        if problems:
            raise InvalidSpec(problems)
        run = asked_of(rollout.spec, templates)
        asked = [metric.interval for metric in run.compared if metric.interval is not None]
        look = min(asked, default=DEFAULT_INTERVAL)
        return Planned(document.path, rollout, policy_of(run), holds_of(rollout.spec, run), look, templates)
    except InvalidSpec as invalid:
        raise Failure(f"{document.path}:{document.line}: {invalid.problems[0]}") from invalid
    except InvalidPolicy as invalid:
        raise Failure(f"{document.path}:{document.line}: {invalid}") from invalid


def _forecast(
    each: Planned, rps: float, error_rate: float, given: dict[str, float], bad_rate: str | None, power: float
) -> Forecast:
    rates = rates_of(each.policy, error_rate, given)
    bad = None
    if bad_rate is not None:
        name = first_proportion(each.policy)
        bad = (name, a_share(bad_rate, "--bad-rate"))
    try:
        return forecast(each.policy, each.holds, 60 * rps, rates, power=power, bad=bad)
    except ValueError as wrong:
        raise Failure(str(wrong), ExitCode.USAGE) from wrong


def first_proportion(policy: Policy) -> str:
    """The first proportion that may roll back: what a bad canary is bad by. Raises Failure(USAGE)."""
    for metric in policy.metrics:
        if isinstance(metric.kind, Proportion) and metric.role.rolls_back:
            return metric.name
    raise Failure("--bad-rate: no proportion may roll back here", ExitCode.USAGE)


def _print(each: Planned, foreseen: Forecast, rps: float) -> None:
    name = each.rollout.metadata.name
    write = sys.stdout.write
    write(f"{name}  at {rps:g} requests/s, with power {foreseen.power:g}\n")
    if not each.policy.metrics:
        sys.stderr.write(f"warning: {name}: no analysis: nothing is judged\n")
        return
    write(outlook.planned(foreseen, each.names, each.shares) + "\n")
    write("".join(f"{line}\n" for line in outlook.summary(foreseen, each.shares)))
    sys.stdout.flush()
    for line in outlook.warnings(foreseen, each.names, each.shares):
        sys.stderr.write(f"warning: {name}: {line}\n")


def _as_json(each: Planned, foreseen: Forecast) -> dict[str, Any]:
    metadata = each.rollout.metadata
    said = outlook.warnings(foreseen, each.names, each.shares)
    head = {"name": metadata.name, "namespace": metadata.namespace, "path": each.path}
    return head | outlook.as_json(foreseen, each.names) | {"warnings": list(said)}


def write(body: list[dict[str, Any]], form: Form) -> None:
    """Print what is said of each Rollout for machines."""
    if form is Form.JSON:
        sys.stdout.write(json.dumps({"rollouts": body}, indent=2) + "\n")
    else:
        sys.stdout.write(yaml.safe_dump({"rollouts": body}, sort_keys=False))
