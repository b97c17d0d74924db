"""Options that several commands take, spelled as kubectl spells them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
