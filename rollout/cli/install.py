"""`crds`, `manifests`, `version`: what to install, and which version this is."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rollout import __version__
from rollout.api.crd import rendered
from rollout.cli.failure import Failure
from rollout.manifests import rendered as rendered_base

WriteTo = Annotated[
    Path | None,
    typer.Option("--write", help="Write one file a kind into this folder instead.", show_default=False),
]

Image = Annotated[
    str | None, typer.Option("--image", help="The operator's image in your registry.", show_default=False)
]


def crds(write: WriteTo = None) -> None:
    """Print the CustomResourceDefinitions; pipe them to `kubectl apply --server-side -f -`."""
    files = rendered()
    if write is None:
        sys.stdout.write("---\n".join(files.values()))
        return
    try:
        write.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (write / name).write_text(text)
    except OSError as error:
        raise Failure(f"can't write {error.filename}: {error.strerror}") from error
    sys.stdout.write("".join(f"{write / name}\n" for name in files))


def manifests(image: Image = None) -> None:
    """Print the operator's own manifests (namespace, roles, Deployment); the CRDs are `rollout crds`."""
    sys.stdout.write(rendered_base(image))


def version() -> None:
    """Print the version."""
    sys.stdout.write(f"rollout {__version__}\n")
