"""The traffic that a plan is made for: as it is told, or as Prometheus counted it lately."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

import typer

from analysis.policy import Policy
from analysis.sources import SourceDownError
from analysis.sources.prometheus import PrometheusSource
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.options import a_duration
from rollout.measure.recent import Lately, lately

PATIENCE = timedelta(seconds=60)
"""For one answer: a window is more than a look."""

PrometheusOption = Annotated[
    str | None,
    typer.Option(
        "--prometheus",
        metavar="URL",
        help="Take traffic and rates from what this Prometheus counted lately of the stable version.",
        show_default=False,
    ),
]
WindowOption = Annotated[str, typer.Option("--window", help="How far back that goes.")]
StableOption = Annotated[
    str | None,
    typer.Option(
        "--stable",
        metavar="HASH",
        help="The stable version's pod template hash; default: all versions that ran.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Traffic:
    """requests: a minute, to both versions together. rates: stable's by metric. unknown: why one is not
    known. window: of the time that it was counted in; None where it was told.
    """

    requests: float
    rates: Mapping[str, float]
    unknown: Mapping[str, str] = field(default_factory=dict)
    window: timedelta | None = None

    def with_counted(self, seen: Lately, window: timedelta) -> Self:
        """What was counted in `window`, where nothing was told."""
        unknown = {name: why for name, why in seen.unknown.items() if name not in self.rates}
        rates = {**seen.rates, **self.rates}
        return replace(
            self, requests=self.requests or seen.requests or 0.0, rates=rates, unknown=unknown, window=window
        )

    @property
    def nothing(self) -> str:
        """Why there are no requests to plan for."""
        why = "; ".join(f"{name}: {reason}" for name, reason in self.unknown.items())
        remedy = "say --rps, another --window or --stable HASH"
        return f"no requests of the stable version are known ({why or 'nothing counts requests'}): {remedy}"


def a_window(text: str) -> timedelta:
    """A duration above 0; raises BadParameter."""
    window = a_duration(text, "--window")
    if window < timedelta(seconds=1):
        raise typer.BadParameter(f"{text!r}: must be 1s or longer", param_hint="--window")
    return window


def counted(
    url: str, asked: Sequence[tuple[AnalysisRunSpec, Policy]], window: timedelta
) -> tuple[Lately, ...]:
    """What the Prometheus at `url` counted for each run in the `window` up to now.

    Raises:
        Failure: UNREACHABLE where it gives no answer.
    """
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r}: write http://HOST:PORT", param_hint="--prometheus")

    async def ask() -> tuple[Lately, ...]:
        with closing(PrometheusSource(url, deadline=PATIENCE)) as source:
            now = datetime.now(UTC)
            return tuple([await lately(lambda _: source, run, policy, now, window) for run, policy in asked])

    try:
        return asyncio.run(ask())
    except SourceDownError as down:
        raise Failure(str(down), ExitCode.UNREACHABLE) from down
