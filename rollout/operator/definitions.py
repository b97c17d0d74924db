"""Whether the CRDs that are served hold all that this build writes to a status.

A field that the CRD does not know is dropped without a word: what was decided would be forgotten. So nobody
leads with an old CRD.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from rollout.api.crd import all_crds
from rollout.api.errors import Retry, Stalled
from rollout.kube import kinds
from rollout.kube.client import Kube

log = logging.getLogger(__name__)

AGAIN_S = 5.0
"""Between looks while they are outdated."""
EVERY_S = 60.0
"""Between looks while all is well: the next leader has to know when it takes over."""
SHOWN = 3
"""Fields that a message names."""

Schema = Mapping[str, Any]
_KEEPS_ALL = "x-kubernetes-preserve-unknown-fields"


class Definitions:
    """The CRDs as they are served."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._wanted = tuple(all_crds().values())
        self.refusal = "the CRDs were not read yet"
        """Why nobody may lead with them; empty where all is well."""

    async def run(self) -> None:
        """Look at them until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(AGAIN_S if self.refusal else EVERY_S)

    async def look(self) -> None:
        """Read and compare them; what can't be read leaves it as it was."""
        try:
            refusal = await self._outdated()
        except Retry as error:
            log.info("could not read the CRDs: %s", error)
        except Stalled as error:
            # Without the right to look, an old one is noticed when a status comes back without its fields.
            log.warning("the CRDs are not compared with this build: %s", error)
            self.refusal = ""
        else:
            if refusal != self.refusal and refusal:
                log.warning(refusal)
            self.refusal = refusal

    async def _outdated(self) -> str:
        for wanted in self._wanted:
            name = wanted["metadata"]["name"]
            served = await self._kube.find(kinds.CUSTOM_RESOURCE_DEFINITIONS, None, name)
            lacks = missing_fields(wanted, served) if served else ("status",)
            if lacks:
                named = ", ".join(lacks[:SHOWN]) + (
                    f" and {len(lacks) - SHOWN} more" if lacks[SHOWN:] else ""
                )
                return (
                    f"CRDOutdated: {name} lacks {named}; apply the CRDs of this version: "
                    "rollout crds | kubectl apply --server-side -f -"
                )
        return ""


def missing_fields(wanted: Schema, served: Schema) -> tuple[str, ...]:
    """Paths in the status that `wanted` declares and `served` would drop, for each version of `wanted`."""
    found: list[str] = []
    there = {version["name"]: version for version in served["spec"]["versions"] if version.get("served")}
    for version in wanted["spec"]["versions"]:
        status = _status(version)
        if status:
            found += _missing(status, _status(there.get(version["name"], {})), "status")
    return tuple(found)


def _status(version: Schema) -> Schema:
    schema: Schema = version.get("schema", {}).get("openAPIV3Schema", {})
    kept: Schema = schema if schema.get(_KEEPS_ALL) else {}
    status: Schema = schema.get("properties", {}).get("status", kept)
    return status


def _missing(wanted: Schema, served: Schema, path: str) -> Iterator[str]:
    if not served:
        yield path
        return
    if served.get(_KEEPS_ALL):
        return
    for name, child in wanted.get("properties", {}).items():
        yield from _missing(child, served.get("properties", {}).get(name, {}), f"{path}.{name}")
    for within, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(wanted.get(within), Mapping):
            yield from _missing(wanted[within], served.get(within) or {}, path + mark)
