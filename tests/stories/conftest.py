"""One embedded cluster and one operator a worker; each story has a namespace of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from crew import Crew
from prometheus_fake import FakePrometheus
from stage import Shop, install, prometheus

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.resource import NAMESPACES
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


@pytest.fixture(scope="session")
def metrics(sandbox: Sandbox) -> Iterator[FakePrometheus]:
    fake = prometheus(sandbox)
    sandbox.submit(fake.start()).result()
    yield fake
    sandbox.submit(fake.stop()).result()


@pytest_asyncio.fixture
async def shop(sandbox: Sandbox, metrics: FakePrometheus, operator: Crew) -> AsyncIterator[Shop]:
    """An empty namespace that the operator looks at; it goes afterwards: what polls would never rest."""
    shop = replace(await Shop.open(sandbox, metrics), operator_health=lambda: operator.health)
    yield shop
    sandbox.server.fault = None
    with suppress(ApiError):
        await sandbox.client.delete(NAMESPACES, None, shop.namespace)


@pytest.fixture(scope="module")
def lonely() -> Iterator[Sandbox]:
    """A cluster of its own for one module: no other operator works there, and its CRDs may be changed."""
    with Sandbox(pods="scripted") as running:
        asyncio.run(install(running))
        yield running


@pytest.fixture(scope="module")
def judge(lonely: Sandbox) -> Iterator[FakePrometheus]:
    fake = prometheus(lonely)
    lonely.submit(fake.start()).result()
    yield fake
    lonely.submit(fake.stop()).result()


@pytest.fixture(scope="module")
def lone_operator(lonely: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    crew = Crew.of(lonely, Path(tmp_path_factory.mktemp("operator")))
    crew.start()
    yield
    crew.stop()
