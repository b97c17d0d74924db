"""One stage for all tests of a worker: to make it takes longer than a schedule."""

import logging
from collections.abc import Iterator

import pytest

from .schedule import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    logging.disable(logging.CRITICAL)
    yield Stage()
    logging.disable(logging.NOTSET)
