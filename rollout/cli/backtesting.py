"""`backtest`: a policy on traffic that was recorded, by the code that judges and decides in production."""

import asyncio
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from analysis.evidence import to_datetime
from analysis.sources import QueryRefusedError, SelectorError, Source, SourceDownError
from analysis.sources.prometheus import PrometheusSource
from analysis.sources.recorded import RecordedSource, RecordError, from_lines, to_lines
from rollout.api.base import parse_duration
from rollout.cli import drawing
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.planned import rollouts_in
from rollout.cli.planning import FormOption, PathArgument, write
from rollout.cli.plotting import draw_replay
from rollout.cli.progress import shares
from rollout.cli.replaying import Arms
from rollout.replay import fetching, playing, story
from rollout.replay.cluster import Cluster
from rollout.replay.playing import Turn
from rollout.show import replayed
from rollout.show.replayed import End, Replayed

Url = Annotated[
    str | None,
    typer.Option("--prometheus", metavar="URL", help="The Prometheus to ask.", show_default=False),
]
RecordFile = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="Samples, as --save writes them.", show_default=False),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="When the canary begins: 2026-03-01T12:00:00Z, or 2h for two hours ago. "
        "Default: where the record has both versions.",
        show_default=False,
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="TIME", help="Where it ends. Default: now, or with the record.", show_default=False
    ),
]
CanaryOption = Annotated[
    str,
    typer.Option(
        "--canary",
        metavar="HASH|MATCHERS",
        help="Who was the canary: a pod template hash, or matchers such as 'version=\"v2\"'.",
        show_default=False,
    ),
]
StableOption = Annotated[
    str,
    typer.Option("--stable", metavar="HASH|MATCHERS", help="Who was stable, likewise.", show_default=False),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Write the samples that were read.", show_default=False),
]
Expect = Annotated[
    End | None,
    typer.Option("--expect", help="Exit 1 where it ends otherwise.", show_default=False),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw it: FILE.svg or FILE.png.", show_default=False),
]

PATIENCE = timedelta(seconds=60)
"""For one answer: a range is more than a look."""


def backtest(
    path: PathArgument,
    prometheus: Url = None,
    record: RecordFile = None,
    since: From = None,
    until: To = None,
    canary: CanaryOption = "",
    stable: StableOption = "",
    save: Save = None,
    expect: Expect = None,
    output: FormOption = None,
    plot: Plot = None,
) -> None:
    """Replay a policy on recorded traffic: what would have happened, and when."""
    drawing.checked(plot)
    range_ = _Range.asked(prometheus, record, since, until, save)
    found = rollouts_in(path, foreseen=False)
    if len(found) > 1:
        raise Failure(f"{path} has {len(found)} Rollouts: name the file of one", ExitCode.USAGE)
    arms = Arms.of(found[0], canary, stable)
    try:
        if record is not None:
            cluster, turns, end = asyncio.run(_from_record(record, arms, range_))
        else:
            cluster, turns, end = asyncio.run(_from_prometheus(prometheus or "", arms, range_, save))
    except SourceDownError as error:
        raise Failure(str(error), ExitCode.UNREACHABLE) from error
    except (QueryRefusedError, SelectorError) as error:
        raise Failure(str(error)) from error
    told = story.told(cluster, turns, end, arms.named)
    if output is None:
        _print(told)
    else:
        write([replayed.as_json(told)], output)
    if plot is not None:
        draw_replay(plot, found[0].policy, told, turns)
    if expect is not None and told.end is not expect:
        raise Failure(f"{told.name}: {expect.value} was expected, it is {told.end.value}")


@dataclass(frozen=True, slots=True)
class _Range:
    """The stretch of time that was asked for; None where the record says."""

    since: datetime | None
    until: datetime | None

    @classmethod
    def asked(
        cls,
        prometheus: str | None,
        record: Path | None,
        since: str | None,
        until: str | None,
        save: Path | None,
    ) -> "_Range":
        """Raises Failure(USAGE) for options that don't go together."""
        if (prometheus is None) == (record is None):
            raise Failure("say either --prometheus URL or --record FILE", ExitCode.USAGE)
        if prometheus is not None and since is None:
            raise Failure("--prometheus needs --from TIME: when the canary began", ExitCode.USAGE)
        if prometheus is not None and not prometheus.startswith(("http://", "https://")):
            example = "write its address, as in http://prometheus:9090"
            raise Failure(f"--prometheus {prometheus}: {example}", ExitCode.USAGE)
        if save is not None and not save.absolute().parent.is_dir():
            raise Failure(f"--save {save}: no such folder", ExitCode.USAGE)
        if save is not None and record is not None:
            raise Failure(
                "--save writes what --prometheus answers: a record is there already", ExitCode.USAGE
            )
        now = datetime.now(UTC)
        found = cls(_time(since, "--from", now), _time(until, "--to", now))
        if found.since and found.since >= (found.until or now):
            raise Failure(f"--from {since}: must lie before --to", ExitCode.USAGE)
        return found


def _time(text: str | None, option: str, now: datetime) -> datetime | None:
    """A time with its zone, or so long ago; raises BadParameter."""
    if text is None:
        return None
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        wanted = "write 2026-03-01T12:00:00Z, or 2h for two hours ago"
        raise typer.BadParameter(f"{text!r}: {wanted}", param_hint=option) from error
    if at.tzinfo is None:
        raise typer.BadParameter(f"{text!r}: its zone is missing, write {text}Z for UTC", param_hint=option)
    return at.astimezone(UTC)


async def _from_record(file: Path, arms: Arms, range_: _Range) -> tuple[Cluster, list[Turn], datetime]:
    source = _read(file)
    span = source.span
    if span is None:
        raise Failure(f"{file}: no sample in it")
    until = range_.until or to_datetime(span[1])
    run = arms.cluster(to_datetime(span[0])).asks()
    if run.thresholds:
        names = ", ".join(each.name for each in run.thresholds)
        raise Failure(
            f"{names}: asked by expressions, of which a record of samples knows nothing: "
            "replay it with --prometheus URL",
            ExitCode.USAGE,
        )
    seen = await fetching.both_seen(source, run, to_datetime(span[0]), until)
    since = range_.since or seen
    if since is None:
        raise Failure(f"{file}: {arms.missing(source.series)}")
    if since >= until:
        raise Failure(f"{file}: it ends at {until.isoformat()}, before {since.isoformat()}", ExitCode.USAGE)
    cluster = arms.cluster(since)
    return cluster, await _played(cluster, source, until), until


def _read(file: Path) -> RecordedSource:
    try:
        with file.open(encoding="utf-8") as lines:
            return RecordedSource(from_lines(lines))
    except RecordError as error:
        raise Failure(f"{file}:{error.line}: {error}") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file}: no text in UTF-8: a record is JSON lines") from error
    except OSError as error:
        raise Failure(f"can't read {file}: {error.strerror}", ExitCode.USAGE) from error


async def _from_prometheus(
    url: str, arms: Arms, range_: _Range, save: Path | None
) -> tuple[Cluster, list[Turn], datetime]:
    assert range_.since is not None, "asked for with --prometheus"
    until = range_.until or datetime.now(UTC)
    cluster = arms.cluster(range_.since)
    wanted = fetching.asked(cluster.asks()).every
    with closing(PrometheusSource(url, deadline=PATIENCE)) as server, shares() as bar:
        task = bar.add_task(f"{cluster.name}: reading", total=len(wanted))
        source = fetching.ReadAhead(server, range_.since, until, lambda share: bar.advance(task, share))
        await source.read(wanted)
        bar.remove_task(task)
        if save is not None:
            _write(save, source)
        return cluster, await _played(cluster, source, until), until


def _write(file: Path, source: fetching.ReadAhead) -> None:
    try:
        with file.open("w", encoding="utf-8") as out:
            out.writelines(to_lines(source.series))
    except OSError as error:
        raise Failure(f"can't write {file}: {error.strerror}", ExitCode.USAGE) from error


async def _played(cluster: Cluster, source: Source, until: datetime) -> list[Turn]:
    turns: list[Turn] = []
    with shares() as bar:
        task = bar.add_task(f"{cluster.name}: replaying", total=1.0)
        async for turn in playing.turns(cluster, source, until):
            turns.append(turn)
            bar.update(task, completed=(turn.at - cluster.began) / (until - cluster.began))
    return turns


def _print(told: Replayed) -> None:
    sys.stdout.write(replayed.heading(told) + "\n")
    sys.stdout.write(replayed.table(told) + "\n")
    sys.stdout.write("".join(f"{line}\n" for line in replayed.verdict(told)))
    sys.stdout.flush()
    for line in replayed.warnings(told):
        sys.stderr.write(f"warning: {told.name}: {line}\n")
