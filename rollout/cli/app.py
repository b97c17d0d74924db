"""All commands, and what stands before them."""

from typing import Annotated

import typer

from rollout.cli import (
    asking,
    backtesting,
    checking,
    differing,
    install,
    planning,
    remembering,
    seeing,
    simulating,
    sourcing,
    start,
)
from rollout.cli.failure import Group

app = typer.Typer(
    name="rollout",
    cls=Group,
    help="Progressive delivery for Kubernetes: traffic in steps, judged by evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("get", rich_help_panel="See")(seeing.get)
app.command("list", rich_help_panel="See")(seeing.list_)
app.command("status", rich_help_panel="See")(seeing.status)
for intent in (asking.abort, asking.promote, asking.pause, asking.resume, asking.retry):
    app.command(rich_help_panel="Ask")(intent)
app.command("history", rich_help_panel="See")(remembering.history)
app.command("diff", rich_help_panel="Git")(differing.diff)
app.add_typer(sourcing.app, name="source", rich_help_panel="Git")
app.command("demo", rich_help_panel="Run")(start.demo)
app.command("sandbox", rich_help_panel="Run")(start.sandbox)
app.command("operator", rich_help_panel="Run")(start.operator)
app.command("plan", rich_help_panel="Judge")(planning.plan)
app.command("simulate", rich_help_panel="Judge")(simulating.simulate)
app.command("backtest", rich_help_panel="Judge")(backtesting.backtest)
app.command("lint", rich_help_panel="Install")(checking.check)
app.command("crds", rich_help_panel="Install")(install.crds)
app.command("manifests", rich_help_panel="Install")(install.manifests)
app.command("version", rich_help_panel="Install")(install.version)


def _print_version(asked: bool) -> None:
    if asked:
        install.version()
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Progressive delivery for Kubernetes: traffic in steps, judged by evidence."""


def main() -> None:
    """Run the command line."""
    app()
