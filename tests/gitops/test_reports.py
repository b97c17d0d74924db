"""What commits are told by statuses: once each, the last that is known, and never in a loop."""

from datetime import UTC, datetime
from typing import Any

import pytest
from test_verdicts import A, B, C, entry, rollout

from rollout.git.revision import Revision
from rollout.gitops.conditions import Outcome
from rollout.gitops.reports import MOST, Report, Reports, of_revision, of_rollout

SOURCE = {"gitSource": "web", "commit": B}


def under_way(*history: dict[str, Any], step: str = "1/8", weight: int = 5) -> dict[str, Any]:
    body = rollout(*history)
    body["status"] |= {
        "stage": "Stepping",
        "step": step,
        "canary": {"desiredWeight": weight},
        "source": SOURCE,
    }
    return body


def told(reports: tuple[Report, ...]) -> list[tuple[str, str, str]]:
    return [(each.status.commit[:1], each.status.state, each.status.description) for each in reports]


def test_what_ended_is_told_and_what_is_under_way_is_pending() -> None:
    body = under_way(entry("Promoted", A), step="3/8", weight=25)
    assert told(of_rollout(body)) == [
        ("a", "success", "shop:v2 is promoted"),
        ("b", "pending", "step 3/8: 25 %"),
    ]
    assert {each.status.context for each in of_rollout(body)} == {"rollout/shop/checkout"}
    assert {each.status.context for each in of_rollout(body, "eu")} == {"rollout/eu/shop/checkout"}


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        pytest.param("Aborted", "failure", id="a person said no"),
        pytest.param("FastRolledBack", "stopped", id="Git asked for the stable version again"),
        pytest.param("Inconclusive", "success", id="promoted without proof"),
        pytest.param("Promoted", "success", id="promoted"),
        pytest.param("RolledBack", "failure", id="the metrics said no"),
        pytest.param("Superseded", "stopped", id="a newer one took its place"),
    ],
)
def test_each_verdict_has_its_state(verdict: str, state: str) -> None:
    (report,) = of_rollout(rollout(entry(verdict, B, reason="errors\n6.1 %", topWeight=25)))
    assert report.status.state == state
    assert "\n" not in report.status.description


def test_a_retry_on_the_same_commit_takes_the_place_of_its_verdict() -> None:
    assert told(of_rollout(under_way(entry("Promoted", A), entry("RolledBack", B))))[-1][:2] == (
        "b",
        "pending",
    )


def test_a_description_fits_every_host() -> None:
    (report,) = of_rollout(rollout(entry("RolledBack", B, reason="x" * 900)))
    assert len(report.status.description) == 140


def test_only_what_is_new_is_due_and_only_who_wants_it_is_woken() -> None:
    reports = Reports()
    assert reports.hear(under_way()) == set()
    reports.want("shop", "web", wanted=True)
    assert reports.hear(under_way()) == {("shop", "web")}
    for each in reports.due("shop", "web"):
        reports.sent(each)
    assert reports.hear(under_way()) == set()
    assert reports.hear(under_way(step="2/8")) == {("shop", "web")}
    reports.forget("shop", "checkout")
    assert reports.due("shop", "web") == ()


def test_a_commit_is_told_of_so_many_steps_and_then_of_its_verdict_alone() -> None:
    reports = Reports()
    for number in range(MOST + 5):
        reports.hear(under_way(step=f"{number}/999"))
        for each in reports.due("shop", "web"):
            reports.sent(each)
    assert told(reports.due("shop", "web")) == []
    reports.hear(rollout(entry("RolledBack", B)))
    assert [each[1] for each in told(reports.due("shop", "web"))] == ["failure"]


def test_a_refused_revision_is_an_error_of_its_own() -> None:
    revision = Revision("main", C, "v3", "Ann", datetime(2026, 1, 1, tzinfo=UTC))
    refused = of_revision("shop", "web", Outcome.refused("MalformedManifest", "a.yaml:3:1: no", revision))
    assert refused is not None
    assert told((refused,)) == [("c", "error", "MalformedManifest: a.yaml:3:1: no")]
    assert refused.status.context == "gitsource/shop/web"
    assert of_revision("shop", "web", Outcome.failed_fetch("Away", "no answer", stalls=False)) is None


def test_a_revision_that_stands_is_told_as_it_was_when_it_was_applied_so_that_a_restart_forgets_nothing() -> (
    None
):
    revision = Revision("main", C, "v3", "Ann", datetime(2026, 1, 1, tzinfo=UTC))
    applied = of_revision("shop", "web", Outcome.applied(revision, ()))
    assert applied is not None
    assert told((applied,)) == [("c", "success", "applied")]
    assert of_revision("shop", "web", Outcome.unchanged(revision)) == applied
