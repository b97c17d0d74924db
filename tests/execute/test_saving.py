"""A checkpoint is saved whole, without its words, or not at all: on the embedded API server."""

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rollout.api.crd import all_crds
from rollout.api.errors import Stalled
from rollout.execute.saving import save
from rollout.kube.client import Kube
from rollout.kube.kinds import ANALYSIS_RUNS
from rollout.kube.login import login
from rollout.sandbox import manifests
from rollout.sandbox.apiserver.server import ApiServer

STATUS = {
    "phase": "Running",
    "evidence": [{"metric": "errors", "verdict": "worse"}],
    "checkpoint": {"metrics": {"errors": {"looks": 3}}},
}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        yield running


@pytest_asyncio.fixture
async def kube(server: ApiServer, tmp_path: Path) -> AsyncIterator[Kube]:
    (tmp_path / "kubeconfig").write_text(server.kubeconfig())
    async with Kube(await login(str(tmp_path / "kubeconfig"))) as client:
        yield client


async def running(server: ApiServer, kube: Kube, change: Any) -> dict[str, Any]:
    """A run with a status to be written, where the CRD's status has been changed."""
    definition = copy.deepcopy(all_crds()["analysisruns.yaml"])
    change(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"])
    await manifests.apply(server.client(), [definition])
    body = {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {},
    }
    return {**await kube.create(ANALYSIS_RUNS, body), "status": STATUS}


async def test_what_the_crd_knows_is_kept(server: ApiServer, kube: Kube) -> None:
    run = await running(server, kube, lambda status: None)
    written = await save(kube, run)
    assert written["status"]["checkpoint"] == STATUS["checkpoint"]
    assert [each["verdict"] for each in written["status"]["evidence"]] == ["worse"]


async def test_words_are_left_out_where_the_whole_is_refused(server: ApiServer, kube: Kube) -> None:
    def no_evidence(status: dict[str, Any]) -> None:
        status["properties"]["evidence"]["maxItems"] = 0

    written = await save(kube, await running(server, kube, no_evidence))
    assert "evidence" not in written["status"]
    assert written["status"]["checkpoint"] == STATUS["checkpoint"]


async def test_a_checkpoint_that_the_crd_drops_was_not_saved(server: ApiServer, kube: Kube) -> None:
    run = await running(server, kube, lambda status: status["properties"].pop("checkpoint"))
    with pytest.raises(Stalled, match="apply `rollout crds`") as stalled:
        await save(kube, run)
    assert stalled.value.reason == "CRDOutdated"
