"""The whole line on real parts: kubectl, git, Traefik, Prometheus; operator and pods as processes."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import cast

import pytest
from e2e_playing import CAMPAIGN, LOG_TAIL, OUTCOMES, Story, playing, table
from e2e_stage import Shop, Stage

from rollout.sandbox.cluster import Sandbox


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


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Story, Future[None]]]:
    """The stories of a module that were asked for, `AT_ONCE` of them side by side, each at `RATE`."""
    asked: list[Story] = [
        cast("Story", item.callspec.params["story"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module
    ]
    home, told = tmp_path_factory.mktemp("shops"), request.module
    with playing(stage, home, asked, rate=told.RATE, at_once=told.AT_ONCE) as futures:
        yield futures


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show and keep what became of the campaign's stories."""
    if CAMPAIGN and OUTCOMES:
        terminalreporter.write_line(table(OUTCOMES))
        Path(CAMPAIGN).parent.mkdir(parents=True, exist_ok=True)
        Path(CAMPAIGN).write_text(json.dumps([asdict(each) for each in OUTCOMES], indent=1))
