"""`operator`, `sandbox`, `demo`: what runs until it is done or stopped."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rollout.api.errors import Stalled
from rollout.api.meta import GROUP
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.options import Context, Kubeconfig

Only = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Serve this namespace only; default: all.", show_default=False),
]
ApiGroup = Annotated[str, typer.Option("--api-group", help="Serve Rollouts of this API group.")]
Shards = Annotated[
    int | None,
    typer.Option(
        "--shards",
        min=1,
        help="Spread the Rollouts over so many shards, which several operators share.",
        show_default=False,
    ),
]
MetricsPort = Annotated[
    int | None,
    typer.Option("--metrics-port", help="For /metrics, /healthz, /readyz; 0: any free.", show_default=False),
]
LogLevel = Annotated[
    str | None, typer.Option("--log-level", help="debug, info, warning or error.", show_default=False)
]
LogFormat = Annotated[
    str | None, typer.Option("--log-format", help="json, plain or auto.", show_default=False)
]


def operator(
    namespace: Only = None,
    api_group: ApiGroup = GROUP,
    shards: Shards = None,
    metrics_port: MetricsPort = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run the controller. Every other setting is read from ROLLOUT_... in the environment."""
    if api_group != GROUP:
        raise Failure(f"--api-group {api_group} is not supported yet; use {GROUP}", ExitCode.USAGE)
    from rollout import operator as room  # here: no other command pays for this import
    from rollout import settings

    try:
        chosen = settings.read(
            namespace=namespace,
            shards=shards,
            metrics_port=metrics_port,
            log_level=log_level,
            log_format=log_format,
            context=context,
            kubeconfig=str(kubeconfig) if kubeconfig else None,
        )
    except Stalled as error:
        raise Failure(str(error), ExitCode.USAGE) from error
    try:
        room.run(chosen)
    except Stalled as error:
        raise Failure(str(error), ExitCode.UNREACHABLE) from error


Fast = Annotated[bool, typer.Option("--fast", help="Leave out the pauses for reading; the statistics stay.")]
Headless = Annotated[bool, typer.Option("--headless", help="Print plain lines.")]
Json = Annotated[
    Path | None, typer.Option("--json", help="Write what was seen to this file.", show_default=False)
]


class DemoWriteBack(StrEnum):
    """How the demo's operator writes verdicts back."""

    NOTES = "notes"
    REVERT_COMMIT = "revertCommit"


WriteBack = Annotated[
    DemoWriteBack,
    typer.Option("--write-back", help="notes, or revertCommit: it reverts in Git what it refuses."),
]


def demo(
    fast: Fast = False,
    headless: Headless = False,
    write_json: Json = None,
    write_back: WriteBack = DemoWriteBack.NOTES,
) -> None:
    """Play the whole story here: commits are promoted, rolled back and aborted, with real traffic."""
    with _missing_tools():
        from rollout.demo.run import run

        reverting = write_back is DemoWriteBack.REVERT_COMMIT
        as_told = run(fast=fast, headless=headless, write_json=write_json, reverting=reverting)
    if not as_told:
        raise Failure("the story did not end as told")


Directory = Annotated[
    Path | None,
    typer.Option("--directory", help="Where its files lie; default: a temporary one.", show_default=False),
]
WithOperator = Annotated[bool, typer.Option("--operator", help="Run the operator in it.")]
Rate = Annotated[float, typer.Option("--rate", min=0, max=5000, help="Requests a second to shop.local.")]


def sandbox(directory: Directory = None, operator: WithOperator = False, rate: Rate = 0) -> None:
    """Run the embedded cluster until Ctrl-C, and print the KUBECONFIG to use."""
    with _missing_tools(), tempfile.TemporaryDirectory(prefix="rollout-sandbox-") as temporary:
        from rollout.demo.playground import play

        home = (directory or Path(temporary)).resolve()
        asyncio.run(play(home, operator=operator, rate=rate, say=_say))


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def _missing_tools() -> Iterator[None]:
    """Name what the sandbox lacks or what failed in it, instead of a traceback."""
    try:
        from rollout.demo.failures import FORESEEN
    except ModuleNotFoundError as error:
        remedy = "pip install 'rollout[sandbox]'"
        raise Failure(f"{error.name} is missing; remedy: {remedy}", ExitCode.USAGE) from error
    try:
        yield
    except FORESEEN as error:
        raise Failure(str(error)) from error
