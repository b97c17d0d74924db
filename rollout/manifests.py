"""What to install beside the CRDs: the text of `deploy/`, which an installed package carries with it."""

from collections.abc import Iterable
from importlib.resources import files

import yaml

KUSTOMIZATION = "kustomization.yaml"
SECRETS_BINDING = "rollout-secrets"
"""The RoleBinding, in a namespace that an admin chose, by which its Secrets may be read."""


def rendered(image: str | None = None) -> str:
    """All manifests of the base in the order they are applied; `image` replaces the operator's."""
    text = _folder("base")
    return text.replace(f"image: {_image(text)}", f"image: {image}") if image else text


def secrets_in(namespaces: Iterable[str]) -> str:
    """The Role and the RoleBinding that let the operator read the Secrets of each of `namespaces`."""
    named = f"name: {SECRETS_BINDING}\n  labels:"
    tenant = _folder("tenant")
    return "---\n".join(
        tenant.replace(named, f"name: {SECRETS_BINDING}\n  namespace: {namespace}\n  labels:")
        for namespace in dict.fromkeys(namespaces)
    )


def tenant(namespace: str, account: str) -> str:
    """A ServiceAccount that GitSources of a namespace are applied as, and the right to act as it."""
    text = _folder("account").replace("namespace: shop", f"namespace: {namespace}")
    return text.replace("deployer", account)


def _folder(name: str) -> str:
    """The files of a kustomization, in its order."""
    folder = files("rollout") / "deploy" / name
    listed = yaml.safe_load((folder / KUSTOMIZATION).read_text())["resources"]
    return "---\n".join((folder / file).read_text() for file in listed)


def _image(text: str) -> str:
    """The operator's image as the base names it."""
    deployment = next(body for body in yaml.safe_load_all(text) if body["kind"] == "Deployment")
    named: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return named
