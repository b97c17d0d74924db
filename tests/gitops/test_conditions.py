"""A GitSource's status: what is said, and that nothing is said twice."""

from datetime import UTC, datetime, timedelta

import pytest

from rollout.api.sourcestatus import GitSourceStatus, InventoryEntry
from rollout.git.revision import Revision
from rollout.gitops.conditions import (
    REQUESTED_AT,
    Outcome,
    after,
    begun,
    has_gaps,
    is_unfinished,
    requested_at,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
FIRST = Revision("main", "a" * 40, "first", "dev", NOW)
SECOND = Revision("main", "b" * 40, "second", "dev", NOW)
LIVE = {"metadata": {"name": "shop", "namespace": "shop", "generation": 2}}


def ready(status: GitSourceStatus) -> tuple[str, str, str]:
    found = next(each for each in status.conditions if each.type == "Ready")
    return found.status, found.reason, found.message


def test_an_applied_revision_is_said_once() -> None:
    status = after(GitSourceStatus(), Outcome.applied(FIRST, ("Service shop/web",)), LIVE, NOW)
    assert status.last_applied_revision == f"main@sha1:{'a' * 40}"
    assert ready(status) == ("True", "Applied", "main@aaaaaaa: changed Service shop/web")
    assert after(status, Outcome.unchanged(FIRST), LIVE, LATER) == status


def test_a_revision_that_is_being_applied_is_unfinished_until_its_outcome_and_forgets_no_object() -> None:
    good = after(GitSourceStatus(), Outcome.applied(FIRST, ()), LIVE, NOW)
    coming = (InventoryEntry(api_version="v1", kind="ConfigMap", namespace="shop", name="new"),)
    busy = begun(good, SECOND, coming, LATER)
    assert ready(busy) == ("False", "Applying", "main@bbbbbbb is being applied")
    assert is_unfinished(busy)
    assert (busy.last_applied_revision, busy.last_attempted_revision) == (str(FIRST), str(SECOND))
    assert (busy.inventory, busy.history) == (coming, good.history)
    assert busy.last_handled_reconcile_at == good.last_handled_reconcile_at
    assert not is_unfinished(after(busy, Outcome.applied(SECOND, ()), LIVE, LATER))


def test_a_refused_revision_leaves_the_last_good_one_and_is_said_once() -> None:
    good = after(GitSourceStatus(), Outcome.applied(FIRST, ()), LIVE, NOW)
    refusal = Outcome.refused("MalformedManifest", "web.yaml:3:7: no", SECOND)
    bad = after(good, refusal, LIVE, LATER)
    assert bad.last_applied_revision == str(FIRST)
    assert bad.last_attempted_revision == str(SECOND)
    assert ready(bad) == ("False", "MalformedManifest", "web.yaml:3:7: no")
    assert [entry.result for entry in bad.history] == ["MalformedManifest", "Applied"]
    assert after(bad, refusal, LIVE, LATER + timedelta(minutes=1)) == bad


def test_a_revision_with_gaps_stands_and_is_tried_again_at_each_poll() -> None:
    good = after(GitSourceStatus(), Outcome.applied(FIRST, ()), LIVE, NOW)
    gaps = Outcome.with_gaps(SECOND, "web.yaml:3:7: no")
    status = after(good, gaps, LIVE, LATER)
    assert status.last_applied_revision == str(SECOND)
    assert ready(status) == ("False", "ObjectsSkipped", "main@bbbbbbb is applied but for web.yaml:3:7: no")
    assert (has_gaps(status, SECOND), has_gaps(status, FIRST)) == (True, False)
    assert after(status, gaps, LIVE, LATER + timedelta(minutes=1)) == status
    mended = after(status, Outcome.applied(SECOND, ()), LIVE, LATER)
    assert not has_gaps(mended, SECOND)


def test_a_failed_fetch_keeps_what_is_applied_and_the_next_poll_clears_it() -> None:
    good = after(GitSourceStatus(), Outcome.applied(FIRST, ()), LIVE, NOW)
    failed = after(good, Outcome.failed_fetch("GitOperationFailed", "no route", stalls=False), LIVE, LATER)
    assert (failed.last_applied_revision, ready(failed)[0]) == (str(FIRST), "False")
    again = after(failed, Outcome.unchanged(FIRST), LIVE, LATER)
    assert ready(again) == ("True", "Applied", "main@aaaaaaa is applied")


@pytest.mark.parametrize(
    ("outcome", "handled"),
    [
        pytest.param(Outcome.unchanged(FIRST), "now!", id="a poll handles the request"),
        pytest.param(Outcome.failed_fetch("X", "", stalls=False), "", id="a failed fetch does not"),
    ],
)
def test_requested_at(outcome: Outcome, handled: str) -> None:
    live = {"metadata": {**LIVE["metadata"], "annotations": {REQUESTED_AT[0]: "now!"}}}
    assert after(GitSourceStatus(), outcome, live, NOW).last_handled_reconcile_at == handled


@pytest.mark.parametrize(
    ("annotations", "requested"),
    [
        pytest.param({}, "", id="nobody asked"),
        pytest.param({"progressive.delivery/requestedAt": "1"}, "1", id="by our key"),
        pytest.param({"reconcile.fluxcd.io/requestedAt": "2"}, "2", id="by the key that Flux's tools write"),
        pytest.param(dict.fromkeys(REQUESTED_AT, "3"), "3 3", id="either of the two asks anew"),
    ],
)
def test_a_turn_is_asked_for_by_hand(annotations: dict[str, str], requested: str) -> None:
    assert requested_at({"metadata": {"annotations": annotations}}) == requested
