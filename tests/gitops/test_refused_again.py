"""A commit that stands already is refused once its source is edited: that is no success at the next poll."""

from datetime import UTC, datetime

import pytest

from rollout.api.gitsource import GitSource, parse_git_source
from rollout.api.sourcestatus import GitSourceStatus
from rollout.git.revision import Revision
from rollout.gitops.conditions import Outcome, after, is_applied

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REVISION = Revision.told("main@sha1:" + "a" * 40)


def live(generation: int) -> dict[str, object]:
    metadata = {
        "name": "shop",
        "namespace": "shop",
        "generation": generation,
        "uid": "1",
        "resourceVersion": "1",
    }
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "GitSource",
        "metadata": metadata,
        "spec": {"url": "https://git.example.com/shop.git"},
    }


def source(generation: int) -> GitSource:
    return parse_git_source(live(generation))


def told(*outcomes: tuple[int, Outcome]) -> GitSourceStatus:
    status = GitSourceStatus()
    for generation, outcome in outcomes:
        status = after(status, outcome, live(generation), NOW)
    return status


APPLIED = Outcome.applied(REVISION, ())
REFUSED = Outcome.refused("InvalidKubeConfig", "it would run a program", REVISION)
AWAY = Outcome.failed_fetch("GitOperationFailed", "gone", stalls=False)


@pytest.mark.parametrize(
    ("status", "generation", "done"),
    [
        pytest.param(told((1, APPLIED)), 1, True, id="applied: a poll has nothing to do"),
        pytest.param(told((1, APPLIED), (1, AWAY)), 1, True, id="Git was away since: neither"),
        pytest.param(told((1, APPLIED)), 2, False, id="the source was edited: it is applied again"),
        pytest.param(told((1, APPLIED), (2, REFUSED)), 2, False, id="and refused: it is tried again"),
        pytest.param(
            told((1, APPLIED), (2, REFUSED), (2, AWAY)), 2, False, id="refused, and Git was away: too"
        ),
        pytest.param(told((1, APPLIED), (2, REFUSED), (2, APPLIED)), 2, True, id="mended: nothing to do"),
    ],
)
def test_a_poll_knows_whether_its_commit_stands(status: GitSourceStatus, generation: int, done: bool) -> None:
    assert is_applied(source(generation), live(generation), status, REVISION) is done
