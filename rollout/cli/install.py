"""`crds`, `manifests`, `version`: what to install, and which version this is."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from rollout import __version__
from rollout.api.crd import rendered
from rollout.cli.failure import ExitCode, Failure
from rollout.manifests import rendered as rendered_base
from rollout.manifests import secrets_in as rendered_secrets
from rollout.manifests import tenant as rendered_tenant
from rollout.manifests import with_admission

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

_ACCOUNT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

WriteTo = Annotated[
    Path | None,
    typer.Option("--write", help="Write one file a kind into this folder instead.", show_default=False),
]

Image = Annotated[
    str | None, typer.Option("--image", help="The operator's image in your registry.", show_default=False)
]

SecretsIn = Annotated[
    list[str] | None,
    typer.Option(
        "--secrets-in",
        metavar="NAMESPACE",
        help="Print only what lets the operator read the Secrets of this namespace; may be given again.",
        show_default=False,
    ),
]


Tenant = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAMESPACE",
        help="Print only what lets GitSources of this namespace act as a ServiceAccount of its own.",
        show_default=False,
    ),
]

Account = Annotated[
    str, typer.Option("--service-account", metavar="NAME", help="With --tenant: the account's name.")
]


Admission = Annotated[
    bool, typer.Option("--admission", help="With the webhook that says what is wrong as it is applied.")
]

CaBundle = Annotated[
    Path | None,
    typer.Option(
        "--ca-bundle",
        help="With --admission: who signed its certificate, as PEM; default: cert-manager tells.",
        show_default=False,
    ),
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


def manifests(
    image: Image = None,
    secrets_in: SecretsIn = None,
    tenant: Tenant = None,
    service_account: Account = "deployer",
    admission: Admission = False,
    ca_bundle: CaBundle = None,
) -> None:
    """Print the operator's own manifests (namespace, roles, Deployment); the CRDs are `rollout crds`."""
    for option, names in (("--secrets-in", secrets_in), ("--tenant", [tenant] if tenant else None)):
        if wrong := [name for name in names or () if not _NAMESPACE.fullmatch(name)]:
            raise Failure(f"{option} {wrong[0]!r}: that is no name of a namespace", ExitCode.USAGE)
    if not _ACCOUNT.fullmatch(service_account):
        raise Failure(f"--service-account {service_account!r}: that is no name of one", ExitCode.USAGE)
    if tenant:
        sys.stdout.write(rendered_tenant(tenant, service_account))
        return
    if ca_bundle is not None and not admission:
        raise Failure("--ca-bundle goes with --admission", ExitCode.USAGE)
    if admission and not secrets_in:
        sys.stdout.write(with_admission(image, _authority(ca_bundle) if ca_bundle else None))
        return
    sys.stdout.write(rendered_secrets(secrets_in) if secrets_in else rendered_base(image))


def _authority(file: Path) -> bytes:
    try:
        text = file.read_bytes()
    except OSError as error:
        raise Failure(f"can't read {file}: {error.strerror}", ExitCode.USAGE) from error
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise Failure(f"--ca-bundle {file}: that holds no certificate (PEM)", ExitCode.USAGE)
    return text


def version() -> None:
    """Print the version."""
    sys.stdout.write(f"rollout {__version__}\n")
