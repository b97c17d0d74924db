"""The whole line on real parts: kubectl, git, Traefik, Prometheus; operator and pods as processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_stage import Shop, Stage

from rollout.sandbox.cluster import Sandbox

LOG_TAIL = 6000


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A sandbox with the operator installed and running, for the stories of one module."""
    home = tmp_path_factory.mktemp("stage")
    (home / "sandbox").mkdir()
    with Sandbox(folder=home / "sandbox") as sandbox:
        stage = Stage(sandbox, home)
        stage.install()
        yield stage
        stage.stop_operator()


@pytest.fixture
def shop(stage: Stage, tmp_path: Path) -> Iterator[Shop]:
    """A namespace with a repository, users and a witness; what was seen is printed where its story fails."""
    stage.ensure_operator()
    shop = Shop(stage, tmp_path)
    try:
        yield shop
    finally:
        print(shop.story())
        print(stage.operator.tail(LOG_TAIL))
        shop.close()
