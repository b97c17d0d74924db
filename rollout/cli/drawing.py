"""`--plot`: evidence against its two lines, and the interval of the ratio, over time.

matplotlib draws, and is loaded only when it is asked for: it is an extra.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.course import Sight
from analysis.metric import Metric
from analysis.power import rate_at
from rollout.cli.failure import ExitCode, Failure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".png")
HARM, SAFE, RATIO, QUIET = "#c0392b", "#1e8449", "#1f4e79", "#777777"
_FLOOR, _CEILING = 0.05, 2000.0
_LEAST, _MOST = 0.25, 8.0
_FAINT = 40
"""Other rollouts that are drawn thinly: more only blacken the picture."""
_SHORTEST = 0.1
_UNITS = (("seconds", 1 / 60), ("minutes", 1.0), ("hours", 60.0))
_MANY = 180
_NARROW = 0.06
"""A step that takes less of the width than this has no room for its name."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A metric whose ratio of canary to stable is shown.

    tolerated, unacceptable: the margins as ratios to stable; None where stable has no events to be a multiple
    of.
    """

    metric: str
    tolerated: float | None = None
    unacceptable: float | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One canary: what is said above it, the looks at the rollout that is drawn, and at others behind it."""

    title: str
    subtitle: str
    sights: Sequence[Sight]
    ratios: Sequence[Ratio]
    others: Sequence[Sequence[Sight]] = ()
    ends: str = ""
    """What is said at the last look; '' says nothing."""

    @property
    def end(self) -> float:
        """Minutes that are shown."""
        return max(self.sights[-1].minutes, _SHORTEST)


def ratio_of(metric: Metric, stable: float | None) -> Ratio:
    """The margins of a metric as ratios to stable's rate."""
    if not stable:
        return Ratio(metric.name)
    margins = (rate_at(metric, margin, stable) / stable for margin in (metric.acceptable, metric.refusable))
    return Ratio(metric.name, *margins)


def checked(file: Path | None) -> None:
    """Raises Failure(USAGE) where `file` can't be drawn: another suffix, no folder, or no matplotlib."""
    if file is None:
        return
    if file.suffix not in SUFFIXES:
        raise Failure(f"--plot {file}: write {' or '.join(SUFFIXES)}", ExitCode.USAGE)
    if not file.parent.is_dir():
        raise Failure(f"--plot {file}: no such folder", ExitCode.USAGE)
    try:
        import matplotlib  # noqa: F401 -- an extra, loaded where it is needed
    except ImportError as missing:
        remedy = "install the extra `plot`: pip install 'rollout[plot]'"
        raise Failure(f"--plot needs matplotlib; {remedy}", ExitCode.USAGE) from missing


def draw(
    file: Path, heading: str, alpha: float, beta: float, columns: Sequence[Column], since: str = "of evidence"
) -> None:
    """Draw a column for each canary; `since` says what its clock counts.

    Raises:
        Failure: the file can't be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "rollout", "svg.fonttype": "none", "font.size": 10}):
        rows = max(len(column.ratios) for column in columns)
        width = 6.4 if len(columns) > 1 else 8.0
        figure = Figure(figsize=(width * len(columns), 4.4 + 3.0 * rows), layout="constrained")
        figure.suptitle(heading, fontsize=13, fontweight="bold")
        heights = (1.25, *(1.0,) * rows)
        grid = figure.subplots(1 + rows, len(columns), squeeze=False, sharex="col", height_ratios=heights)
        for place, column in enumerate(columns):
            _evidence(grid[0][place], alpha, beta, column)
            for row, ratio in enumerate(column.ratios, start=1):
                _ratio(grid[row][place], column, ratio)
            _clock(grid[-1][place], column.end, since)
        handles = [h for axes in (grid[0][0], grid[1][0]) for h in axes.get_legend_handles_labels()[0]]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=3 if len(columns) > 1 else 2, frameon=False
        )
        try:
            metadata = {"Date": None} if file.suffix == ".svg" else None
            figure.savefig(file, dpi=110, metadata=metadata)
        except OSError as error:
            raise Failure(f"can't write {file}: {error.strerror}") from error


def _evidence(axes: Axes, alpha: float, beta: float, column: Column) -> None:
    axes.set_title(column.title, fontweight="bold", loc="left", pad=36)
    axes.text(0, 1.02, column.subtitle, transform=axes.transAxes, va="bottom", color=QUIET)
    times, values = _harm(column.sights)
    axes.plot(times, values, color=HARM, linewidth=2.4, label="evidence that it is worse", zorder=3)
    for place, other in enumerate(column.others[:_FAINT]):
        times, values = _harm(other)
        label = "the same in other rollouts" if place == 0 else None
        axes.plot(times, values, color=HARM, alpha=0.2, linewidth=0.8, label=label)
    for place, part in enumerate(_by_step(column.sights)):
        label = "evidence that it is not worse, anew in each step" if place == 0 else None
        proof = [(s.minutes, s.log_e_safe) for s in part if s.log_e_safe is not None]
        axes.plot(
            [at for at, _ in proof], [_worth(e) for _, e in proof], color=SAFE, linewidth=2.4, label=label
        )
    _threshold(axes, 1 / alpha, f"{1 / alpha:g}: roll back", HARM)
    _threshold(axes, 1 / beta, f"{1 / beta:g}: the step may pass", SAFE)
    axes.axhline(1, color=QUIET, linewidth=0.8)
    axes.set_yscale("log")
    axes.set_ylim(_FLOOR, _CEILING)
    axes.set_yticks([0.1, 1, 10, 100, 1000], ["÷ 10", "none", "× 10", "× 100", "× 1000"])
    axes.minorticks_off()
    axes.set_ylabel("evidence, as odds won")
    _steps(axes, column, named=True)
    if column.ends:
        _last_word(axes, alpha, column)


def _last_word(axes: Axes, alpha: float, column: Column) -> None:
    """How it ended, at the end of the evidence that decided, or would have."""
    last = column.sights[-1]
    harmful = last.log_e_safe is None or last.log_e_harm >= -math.log(alpha)
    log_e, color = (last.log_e_harm, HARM) if harmful else (last.log_e_safe or 0.0, SAFE)
    at = (last.minutes, min(max(_worth(log_e), _FLOOR), _CEILING))
    axes.plot(*at, marker="o", markersize=7, color=color, clip_on=False, zorder=5)
    axes.annotate(
        column.ends,
        at,
        xytext=(-8, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontweight="bold",
        zorder=5,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
    )


def _ratio(axes: Axes, column: Column, ratio: Ratio) -> None:
    seen = [(s.minutes, *s.ratio[ratio.metric]) for s in column.sights if ratio.metric in s.ratio]
    times = [at for at, *_ in seen]
    lows = [max(low, _LEAST / 2) for *_, low, _ in seen]
    highs = [min(high, _MOST * 2) for *_, high in seen]
    axes.fill_between(
        times,
        lows,
        highs,
        color=RATIO,
        alpha=0.18,
        linewidth=0,
        label="95 % interval, for all looks together",
    )
    drawn = [(at, estimate) for at, estimate, *_ in seen if estimate]
    axes.plot(
        [at for at, _ in drawn],
        [value for _, value in drawn],
        color=RATIO,
        linewidth=2,
        label="estimate of the ratio",
    )
    _threshold(axes, 1.0, "like stable", QUIET, above=False)
    if ratio.tolerated is not None:
        _threshold(axes, ratio.tolerated, f"tolerated: × {ratio.tolerated:.3g}", SAFE)
    if ratio.unacceptable is not None:
        _threshold(axes, ratio.unacceptable, f"unacceptable: × {ratio.unacceptable:.3g}", HARM)
    axes.set_yscale("log", base=2)
    axes.set_ylim(_LEAST, _MOST)
    ticks = [0.25, 0.5, 1, 2, 4, 8]
    axes.set_yticks(ticks, [f"× {tick:g}" for tick in ticks])
    axes.set_ylabel(f"{ratio.metric.partition('@')[0]}: canary by stable")
    _steps(axes, column, named=False)


def _threshold(axes: Axes, value: float, text: str, color: str, *, above: bool = True) -> None:
    axes.axhline(value, color=color, linestyle="--", linewidth=1.2)
    axes.annotate(
        text,
        (0, value),
        xycoords=("axes fraction", "data"),
        xytext=(4, 2 if above else -2),
        textcoords="offset points",
        ha="left",
        va="bottom" if above else "top",
        color=color,
        fontsize=9,
        zorder=4,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
    )


def _steps(axes: Axes, column: Column, *, named: bool) -> None:
    """Where each step begins, and its weight where there is room."""
    end = column.end
    axes.set_xlim(0, end)
    parts = _by_step(column.sights)
    starts = [0.0, *(part[-1].minutes for part in parts)]
    for (begin, until), part in zip(pairwise(starts), parts, strict=True):
        if begin > 0:
            axes.axvline(begin, color=QUIET, linewidth=0.8, linestyle=":")
        if named and until - begin > _NARROW * end:
            middle = (begin + until) / 2
            axes.text(
                middle, _CEILING * 0.8, f"at {100 * part[0].weight:g} %", ha="center", va="top", color=QUIET
            )


def _clock(axes: Axes, end: float, since: str) -> None:
    """Times in the unit of which there are some, but not hundreds."""
    from matplotlib.ticker import MaxNLocator

    unit, size = next(each for each in _UNITS if end < _MANY * each[1] or each is _UNITS[-1])
    ticks = [tick for tick in MaxNLocator(8).tick_values(0, end / size) if 0 <= tick * size <= end]
    axes.set_xticks([tick * size for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.set_xlabel(f"{unit} {since}")


def _by_step(sights: Sequence[Sight]) -> list[list[Sight]]:
    parts: list[list[Sight]] = []
    for sight in sights:
        if not parts or parts[-1][0].step != sight.step:
            parts.append([])
        parts[-1].append(sight)
    return parts


def _harm(sights: Sequence[Sight]) -> tuple[list[float], list[float]]:
    return [0.0, *(s.minutes for s in sights)], [1.0, *(_worth(s.log_e_harm) for s in sights)]


def _worth(log_e: float) -> float:
    """An e-value within what is drawn."""
    return min(max(math.exp(min(log_e, 50.0)), _FLOOR / 2), _CEILING * 2)
