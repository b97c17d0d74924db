"""`get`, `list`, `status`: what there is to see, once or as it changes."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from rollout.api.status import Phase
from rollout.cli import drawing
from rollout.cli.cluster import Cluster, Object, connected
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.options import Context, Kubeconfig, Name, Namespace, Output, OutputOption, a_duration
from rollout.cli.plotting import draw_run
from rollout.cli.writing import write
from rollout.show.sight import Sight, sight, status_of
from rollout.show.table import table
from rollout.show.tree import WIDE, head, tree

REFRESH_SECONDS = 1.0
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Rollouts of all namespaces.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow it until Ctrl-C.")]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="Draw its evidence: FILE.svg or FILE.png.", show_default=False
    ),
]
RunName = Annotated[
    str | None,
    typer.Option(
        "--run", help="With --plot: of this AnalysisRun. Default: the last one.", show_default=False
    ),
]
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait, 90s or 10m; 0s: for ever.")]


def get(
    name: Name,
    namespace: Namespace = None,
    watch: Watch = False,
    output: OutputOption = None,
    plot: Plot = None,
    run: RunName = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show one Rollout: versions, weights, step, evidence, history."""
    drawing.checked(plot)
    if watch and plot is not None:
        raise Failure("--plot draws what there is now: leave out --watch", ExitCode.USAGE)

    async def shown() -> None:
        async with connected(kubeconfig, context, namespace) as cluster:
            if plot is not None:
                await _draw(cluster, name, run, plot)
            if output in (Output.JSON, Output.YAML):
                write(await cluster.rollout(name), output)
            elif watch:
                await _follow(cluster, name)
            else:
                console = _console()
                width = console.width if console.is_terminal else WIDE
                seen = await _seen(cluster, name)
                console.print(tree(seen, datetime.now(UTC), width=width), soft_wrap=True)

    asyncio.run(shown())


def list_(
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    output: OutputOption = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the Rollouts of a namespace, a line each."""

    async def listed() -> None:
        async with connected(kubeconfig, context, namespace) as cluster:
            found = await cluster.rollouts(everywhere=everywhere)
            if output in (Output.JSON, Output.YAML):
                write({"apiVersion": "v1", "kind": "List", "items": found}, output)
            else:
                _print_table(found, cluster, everywhere=everywhere, wide=output is Output.WIDE)

    asyncio.run(listed())


def status(
    name: Name,
    namespace: Namespace = None,
    timeout: Timeout = "0s",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Wait until a Rollout is Healthy (exit code 0) or Degraded (exit code 1)."""
    limit = a_duration(timeout, "--timeout").total_seconds()

    async def waited() -> None:
        async with connected(kubeconfig, context, namespace) as cluster:
            try:
                async with asyncio.timeout(limit or None):
                    end = await _ended(cluster, name)
            except TimeoutError:
                raise Failure(f"{name} is neither Healthy nor Degraded after {timeout}") from None
            if end.status.phase is Phase.DEGRADED:
                raise Failure(f"{name} is Degraded: {end.status.message}")

    asyncio.run(waited())


async def _draw(cluster: Cluster, name: str, run: str | None, file: Path) -> None:
    """The evidence of the run that is named, else of the last one that judged this Rollout."""
    known = status_of(await cluster.rollout(name)).canary.current_background_analysis_run_status
    chosen = run or (known.name if known else "")
    if not chosen:
        raise Failure(f"--plot {file}: {name} was not judged yet")
    draw_run(file, name, await cluster.analysis_run(chosen))


async def _seen(cluster: Cluster, name: str) -> Sight:
    return sight(await cluster.rollout(name), await cluster.replica_sets())


async def _follow(cluster: Cluster, name: str) -> None:
    """Show it anew each second on a terminal; elsewhere print it when something changed."""
    console = _console()
    if not console.is_terminal:
        await _follow_lines(cluster, name, console)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            seen = tree(await _seen(cluster, name), datetime.now(UTC), width=console.width)
            live.update(seen, refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


async def _follow_lines(cluster: Cluster, name: str, console: Console) -> None:
    began, shown = datetime.now(UTC), ""
    while True:
        seen = await _seen(cluster, name)
        said = tree(seen, began).plain  # as of one moment, so that a passing second is no change
        if said != shown:
            console.print(tree(seen, datetime.now(UTC)), "", sep="\n", soft_wrap=True)
            shown = said
        await asyncio.sleep(REFRESH_SECONDS)


async def _ended(cluster: Cluster, name: str) -> Sight:
    """Wait for an end that speaks of the present spec, and print each change on the way."""
    shown = ""
    while True:
        found = await cluster.rollout(name)
        seen = sight(found)
        line = head(seen).plain
        if line != shown:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            shown = line
        current = seen.status.observed_generation >= found["metadata"].get("generation", 0)
        if current and seen.status.phase in (Phase.HEALTHY, Phase.DEGRADED):
            return seen
        await asyncio.sleep(REFRESH_SECONDS)


def _print_table(found: Sequence[Object], cluster: Cluster, *, everywhere: bool, wide: bool) -> None:
    if not found:
        where = "any namespace" if everywhere else f"namespace {cluster.namespace}"
        sys.stderr.write(f"No Rollouts found in {where}.\n")
        return
    seen = [sight(each) for each in found]
    sys.stdout.write(table(seen, datetime.now(UTC), namespaces=everywhere, wide=wide) + "\n")


def _console() -> Console:
    return Console(highlight=False)
