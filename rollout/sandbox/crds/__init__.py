"""The CustomResourceDefinitions of the Gateway API's standard channel, as far as Traefik and routers go."""

from importlib import resources
from typing import Any

import yaml


def gateway_definitions() -> list[dict[str, Any]]:
    """GatewayClass, Gateway, HTTPRoute, GRPCRoute, TLSRoute, ReferenceGrant and BackendTLSPolicy, by name."""
    files = sorted(file.name for file in resources.files(__name__).iterdir() if file.name.endswith(".yaml"))
    return [_read(name) for name in files]


def _read(name: str) -> dict[str, Any]:
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    definition: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return definition
