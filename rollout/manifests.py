"""What to install beside the CRDs: the text of `deploy/`, which an installed package carries with it."""

import base64
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import yaml

KUSTOMIZATION = "kustomization.yaml"
SECRETS_BINDING = "rollout-secrets"
"""The RoleBinding, in a namespace that an admin chose, by which its Secrets may be read."""


def rendered(image: str | None = None) -> str:
    """All manifests of the base in the order they are applied; `image` replaces the operator's."""
    text = _folder("base")
    return text.replace(f"image: {_image(text)}", f"image: {image}") if image else text


def with_admission(image: str | None = None, authority: bytes | None = None) -> str:
    """The base, asked about manifests that are applied; `authority` is the PEM of who signed its certificate,
    None where cert-manager says it.
    """
    overlay = files("rollout") / "deploy" / "overlays" / "admission"
    listed = yaml.safe_load((overlay / KUSTOMIZATION).read_text())["resources"]
    own = "---\n".join((overlay / file).read_text() for file in listed if not file.startswith(".."))
    bodies = [*yaml.safe_load_all(rendered(image)), *yaml.safe_load_all(own)]
    deployment = next(body for body in bodies if body["kind"] == "Deployment")
    for operation in yaml.safe_load((overlay / "deployment.patch.yaml").read_text()):
        _append(deployment, operation)
    if authority is not None:
        webhook = next(body for body in bodies if body["kind"] == "ValidatingWebhookConfiguration")
        del webhook["metadata"]["annotations"]
        webhook["webhooks"][0]["clientConfig"]["caBundle"] = base64.b64encode(authority).decode()
    return yaml.safe_dump_all(bodies, sort_keys=False, width=120)


def _append(body: dict[str, Any], operation: Mapping[str, Any]) -> None:
    """Do an operation of a JSON patch that appends to a list, which is all that ours do."""
    *way, last = operation["path"].strip("/").split("/")
    assert (operation["op"], last) == ("add", "-"), operation
    at: Any = body
    for key in way:
        at = at[int(key)] if isinstance(at, list) else at[key]
    at.append(operation["value"])


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
