"""What to install beside the CRDs: the text of `deploy/base`, which an installed package carries with it."""

from importlib.resources import files

import yaml

KUSTOMIZATION = "kustomization.yaml"


def rendered(image: str | None = None) -> str:
    """All manifests of the base in the order they are applied; `image` replaces the operator's."""
    base = files("rollout") / "deploy"
    listed = yaml.safe_load((base / KUSTOMIZATION).read_text())["resources"]
    text = "---\n".join((base / name).read_text() for name in listed)
    return text.replace(f"image: {_image(text)}", f"image: {image}") if image else text


def _image(text: str) -> str:
    """The operator's image as the base names it."""
    deployment = next(body for body in yaml.safe_load_all(text) if body["kind"] == "Deployment")
    named: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return named
