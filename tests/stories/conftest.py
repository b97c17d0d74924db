"""One embedded cluster and one operator a worker; each story has a namespace of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from crew import Crew
from stage import Shop, install

from rollout.sandbox.cluster import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(pods="scripted") as running:
        asyncio.run(install(running))
        yield running


@pytest.fixture(scope="session")
def operator(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    crew = Crew.of(sandbox, Path(tmp_path_factory.mktemp("operator")))
    crew.start()
    yield crew
    crew.stop()


@pytest_asyncio.fixture
async def shop(sandbox: Sandbox, operator: Crew) -> AsyncIterator[Shop]:
    """An empty namespace that the operator looks at."""
    shop = await Shop.open(sandbox)
    yield shop
    sandbox.server.fault = None
