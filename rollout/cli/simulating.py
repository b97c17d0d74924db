"""`simulate`: whole rollouts of a policy in seeded worlds, judged by the code that judges real ones."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import Progress

from analysis.metric import Proportion
from analysis.power import rate_at
from analysis.simulation import Course, World, courses, simulable, summary, typical
from rollout.cli import drawing
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.planned import Planned, rollouts_in
from rollout.cli.planning import (
    BadRate,
    ErrorRate,
    FormOption,
    PathArgument,
    RateOption,
    Rps,
    a_share,
    rates_given,
    rates_of,
    write,
)
from rollout.cli.progress import counting
from rollout.show import outlook, simulated
from rollout.show.outlook import minutes
from rollout.show.simulated import Told

RUNS = 200
SEED = 1

Runs = Annotated[int, typer.Option("--runs", min=1, max=100_000, help="How many rollouts of each canary.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same rollouts.")]

Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw it: FILE.svg or FILE.png.", show_default=False),
]


@dataclass(frozen=True, slots=True)
class Case:
    """A canary to try. rates: where it differs from stable."""

    name: str
    rates: dict[str, float]
    fine: bool = False
    bad: bool = False


def simulate(
    path: PathArgument,
    rps: Rps,
    error_rate: ErrorRate,
    rate: RateOption = None,
    bad_rate: BadRate = None,
    runs: Runs = RUNS,
    seed: Seed = SEED,
    output: FormOption = None,
    plot: Plot = None,
) -> None:
    """Play rollouts of a good, a tolerable and a bad version, and say how often each ended how."""
    drawing.checked(plot)
    if not 0 < rps < float("inf"):
        raise typer.BadParameter(f"{rps:g}: must be above 0", param_hint="--rps")
    share, given = a_share(error_rate, "--error-rate"), rates_given(rate)
    bad = None if bad_rate is None else a_share(bad_rate, "--bad-rate")
    found = rollouts_in(path)
    tried = [(each, rates_of(each.policy, share, given)) for each in found]
    cases = [_cases(each, rates, bad) for each, rates in tried]
    if plot is not None and len(found) > 1:
        raise Failure(f"--plot draws one Rollout, {path} has {len(found)}", ExitCode.USAGE)
    body: list[dict[str, Any]] = []
    with counting() as progress:
        for (each, rates), some in zip(tried, cases, strict=True):
            played = {
                case.name: _played(
                    each, World(60 * rps, rates, case.rates, each.look), case, runs, seed, progress
                )
                for case in some
            }
            told = [Told(c.name, c.rates, summary(played[c.name]), c.fine, c.bad) for c in some]
            if output is None:
                _print(each, rates, told, rps, runs, seed)
            body.append(_as_json(each, told, seed))
            if plot is not None:
                _draw(plot, each, rates, some, played, rps)
    if output is not None:
        write(body, output)


def _cases(each: Planned, rates: dict[str, float], bad_rate: float | None) -> list[Case]:
    """Like stable; as bad as is tolerated everywhere; and bad by one metric."""
    name = each.rollout.metadata.name
    armed = [m for m in each.policy.metrics if m.name in rates and m.role.rolls_back and simulable(m)]
    if not armed or not each.holds:
        raise Failure(f"{name}: nothing to simulate: no metric with a rate may roll back", ExitCode.USAGE)
    proportions = [m for m in armed if isinstance(m.kind, Proportion)]
    if bad_rate is not None and not proportions:
        raise Failure("--bad-rate: no proportion may roll back here", ExitCode.USAGE)
    worst = (proportions or armed)[0]
    bad = bad_rate if bad_rate is not None else rate_at(worst, worst.refusable, rates[worst.name])
    tolerated = {m.name: rate_at(m, m.acceptable, rates[m.name]) for m in armed}
    unacceptable = bad >= rate_at(worst, worst.refusable, rates[worst.name])
    told_rate = outlook.rate(bad, share=worst.name in each.shares)
    return [
        Case("like stable", {}, fine=True),
        Case("as tolerated", tolerated, fine=True),
        Case(f"{worst.name.partition('@')[0]} {told_rate}", {worst.name: bad}, bad=unacceptable),
    ]


def _played(
    each: Planned, world: World, case: Case, runs: int, seed: int, progress: Progress
) -> list[Course]:
    task = progress.add_task(f"{each.rollout.metadata.name}: {case.name}", total=runs)
    played = []
    for course in courses(each.policy, each.holds, world, runs, np.random.default_rng(seed)):
        played.append(course)
        progress.advance(task)
    progress.remove_task(task)
    return played


def _draw(
    file: Path,
    each: Planned,
    rates: dict[str, float],
    cases: Sequence[Case],
    played: dict[str, list[Course]],
    rps: float,
) -> None:
    """The good canary and the bad one, each by the rollout of median length of its most frequent end."""
    worst = each.policy.metric(next(iter(cases[-1].rates)))
    stable = rates[worst.name]
    ratio = drawing.ratio_of(worst, stable)
    columns = []
    for case in (cases[0], cases[-1]):
        some = played[case.name]
        seen = summary(some).ends
        end = max(seen, key=lambda each: seen[each].count)
        course = typical(some, end)
        assert course is not None, "an end that is most frequent was seen"
        ends = ", ".join(f"{share.count} {name.value}" for name, share in seen.items() if share.count)
        subtitle = f"{len(some)} rollouts: {ends}\nbold: one, {end.value} after {minutes(course.minutes)}"
        title = f"A canary {case.name}" if case is cases[0] else f"A canary with {case.name}"
        others = [each.sights for each in some]
        columns.append(drawing.Column(title, subtitle, course.sights, [ratio], others))
    heading = f"{each.rollout.metadata.name} at {rps:g} requests/s"
    drawing.draw(file, heading, each.policy.alpha, each.policy.beta, columns)


def _print(
    each: Planned,
    rates: dict[str, float],
    told: Sequence[Told],
    rps: float,
    runs: int,
    seed: int,
) -> None:
    name = each.rollout.metadata.name
    sys.stdout.write(f"{name}  at {rps:g} requests/s, {runs} rollouts of each canary, seed {seed}\n")
    sys.stdout.write(simulated.simulated(told) + "\n")
    sys.stdout.write("".join(f"{line}\n" for line in simulated.verdicts(each.policy, told)))
    sys.stdout.flush()
    for metric in each.policy.metrics:
        if metric.name not in rates or not simulable(metric):
            base = metric.name.partition("@")[0]
            sys.stderr.write(
                f"warning: {name}: not simulated: {metric.name}, taken as passed (--rate {base}=RATE)\n"
            )


def _as_json(each: Planned, told: Sequence[Told], seed: int) -> dict[str, Any]:
    metadata = each.rollout.metadata
    return {
        "name": metadata.name,
        "namespace": metadata.namespace,
        "path": each.path,
        "seed": seed,
        "falseRollback": each.policy.alpha,
        "falsePromotion": each.policy.beta,
        "canaries": simulated.as_json(told),
    }
