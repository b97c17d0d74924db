"""Options that several commands take, spelled as kubectl spells them."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rollout.api.base import parse_duration


class Output(StrEnum):
    """How something is listed."""

    JSON = "json"
    YAML = "yaml"
    WIDE = "wide"


Name = Annotated[str, typer.Argument(help="Name of the Rollout.", show_default=False)]
Reason = Annotated[str, typer.Argument(help="Why; it is recorded in status and history.")]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="Namespace; default: that of the kubeconfig's context.", show_default=False
    ),
]
Context = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig.", show_default=False)
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Path of the kubeconfig; default: $KUBECONFIG.", show_default=False),
]
OutputOption = Annotated[
    Output | None, typer.Option("--output", "-o", help="json, yaml or wide.", show_default=False)
]


def a_duration(text: str, option: str) -> timedelta:
    """90s, 10m, 1h30m; raises BadParameter with the option's name."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}", param_hint=option) from error
