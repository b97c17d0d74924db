"""The operator as the demo runs it: its own process, its own rights, its end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rollout.api.crd import all_crds
from rollout.demo import operator_process
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.processes import Child


@pytest_asyncio.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A cluster without pods, with the rights of `deploy/` but none of our kinds."""
    async with Sandbox("none", folder=tmp_path) as running:
        await running.load(operator_process.rights())
        yield running


async def says(operator: Child, words: str) -> None:
    """Wait until its log holds the words."""
    async with asyncio.timeout(60):
        while words not in operator.tail(10_000):
            assert operator.running, operator.tail()
            await asyncio.sleep(0.1)  # polling a file, bounded by the timeout above


async def test_it_waits_for_its_kinds_and_then_begins(sandbox: Sandbox, tmp_path: Path) -> None:
    operator = await operator_process.start(sandbox, tmp_path)
    await says(operator, "does not serve Rollout")
    await sandbox.load(all_crds().values())
    await says(operator, "watching all namespaces")
    await operator.stop(20)
    assert operator.process.returncode == 0, operator.tail()


async def test_it_ends_when_told_though_its_kinds_never_came(sandbox: Sandbox, tmp_path: Path) -> None:
    operator = await operator_process.start(sandbox, tmp_path)
    await says(operator, "does not serve Rollout")
    await operator.stop(20)
    assert operator.process.returncode == 0, operator.tail()


@pytest.mark.parametrize("kind", ["Deployment", "Service", "CustomResourceDefinition"])
def test_the_rights_are_rights_only(kind: str) -> None:
    assert kind not in {body["kind"] for body in operator_process.rights()}
