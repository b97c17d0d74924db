"""Whether the CRDs that are served hold all that this build writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from rollout.api.crd import all_crds
from rollout.kube.client import Kube
from rollout.kube.kinds import CUSTOM_RESOURCE_DEFINITIONS
from rollout.kube.login import login
from rollout.operator.definitions import Definitions, missing_fields
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.apiserver.server import ApiServer

CRD = all_crds()["rollouts.yaml"]


@asynccontextmanager
async def served(server: ApiServer, directory: Path) -> AsyncIterator[Kube]:
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig(None))
    async with Kube(await login(str(kubeconfig))) as kube:
        yield kube


def status_of(crd: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return found


def old(*path: str) -> dict[str, Any]:
    """A CRD that does not know a field yet."""
    crd = deepcopy(CRD)
    *above, name = path
    node = status_of(crd)
    for step in above:
        node = node["items"] if step == "[]" else node["properties"][step]
    del node["properties"][name]
    return crd


def without_a_schema() -> dict[str, Any]:
    crd = deepcopy(CRD)
    crd["spec"]["versions"][0]["schema"] = {
        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    }
    return crd


def newer() -> dict[str, Any]:
    crd = deepcopy(CRD)
    status_of(crd)["properties"]["invented"] = {"type": "string"}
    return crd


def of_another_version() -> dict[str, Any]:
    crd = deepcopy(CRD)
    crd["spec"]["versions"][0]["name"] = "v1alpha0"
    return crd


@pytest.mark.parametrize(
    ("served", "lacks"),
    [
        pytest.param(CRD, (), id="the same"),
        pytest.param(newer(), (), id="a newer one knows more"),
        pytest.param(old("turn"), ("status.turn",), id="a field"),
        pytest.param(old("intent", "state"), ("status.intent.state",), id="a field of a field"),
        pytest.param(old("history", "[]", "verdict"), ("status.history[].verdict",), id="a field of an item"),
        pytest.param(of_another_version(), ("status",), id="our version is not served"),
        pytest.param(without_a_schema(), (), id="whatever is written is kept"),
    ],
)
def test_what_an_old_crd_lacks(served: dict[str, Any], lacks: tuple[str, ...]) -> None:
    assert missing_fields(CRD, served) == lacks


async def test_an_old_crd_is_refused_by_name_until_it_is_replaced(tmp_path: Path) -> None:
    async with ApiServer() as server, served(server, tmp_path) as kube:
        for crd in all_crds().values():
            stored = old("turn") if crd == CRD else crd
            await kube.create(CUSTOM_RESOURCE_DEFINITIONS, stored)
        definitions = Definitions(kube)
        assert definitions.refusal, "nobody leads before they were looked at"
        await definitions.look()
        assert definitions.refusal == (
            "CRDOutdated: rollouts.progressive.delivery lacks status.turn; apply the CRDs of this version: "
            "rollout crds | kubectl apply --server-side -f -"
        )
        await kube.apply(CUSTOM_RESOURCE_DEFINITIONS, CRD, manager="somebody")
        await definitions.look()
        assert definitions.refusal == ""


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        pytest.param(ApiError(403, "Forbidden", "no"), "", id="no right to look: go on"),
        pytest.param(ApiError(503, "Busy", "no"), "the CRDs were not read yet", id="no answer: wait"),
    ],
)
async def test_crds_that_can_not_be_read(tmp_path: Path, error: ApiError, refusal: str) -> None:
    async def fault(_: Request) -> Fault:
        return Fault(error=error)

    async with ApiServer() as server, served(server, tmp_path) as kube:
        server.fault = fault
        definitions = Definitions(kube)
        await definitions.look()
        assert definitions.refusal == refusal
