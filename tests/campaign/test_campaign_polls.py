"""Many GitSources polled again and again hold no more in the end than in the beginning."""

from dataclasses import replace
from pathlib import Path

import pytest

from .polls import Run, Sample, polled

SOURCES, ROUNDS = 20, 30
STEADY = [Sample(each, 13, 0, 13, 140 << 20) for each in range(ROUNDS)]


async def test_git_29_many_sources_and_a_remote_that_hangs_leave_descriptors_children_and_memory_as_they_were(
    tmp_path: Path,
) -> None:
    run = await polled(tmp_path, SOURCES, ROUNDS, seed=1, tell=lambda _: None)
    assert run.samples[-1].polls == SOURCES * ROUNDS
    assert run.broken() == []


@pytest.mark.parametrize(
    ("field", "each"),
    [
        pytest.param("descriptors", 1, id="a descriptor a round"),
        pytest.param("children", 1, id="a process a round"),
        pytest.param("threads", 1, id="a thread a round"),
        pytest.param("rss_bytes", 2 << 20, id="two megabytes a round"),
    ],
)
def test_what_grows_with_each_round_is_found(field: str, each: int) -> None:
    grown = [replace(was, **{field: getattr(was, field) + nth * each}) for nth, was in enumerate(STEADY)]
    assert Run(SOURCES, 1, STEADY, hung=1).broken() == []
    assert len(Run(SOURCES, 1, grown, hung=1).broken()) == 1


def test_who_stands_still_is_found_too() -> None:
    assert Run(SOURCES, 1, STEADY, hung=0, left=2, missed=["s001"]).broken() == [
        "s001 was not applied",
        "the hanging remote was never given up",
        "2 processes are left",
    ]
