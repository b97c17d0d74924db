"""What the demo prints, as plain text."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console, RenderableType

from rollout.demo.glimpse import rates, traffic
from rollout.demo.ledger import Record, Users
from rollout.demo.report import failures, report, to_json, unwritten
from rollout.demo.view import verdict_line
from rollout.sandbox.shop.load import LoadReport

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BAD = Record(
    act="bad",
    title="a bad version",
    version="v3",
    revision=3,
    hash="m9hh2r8bp5",
    commit="76839eb0000000000",
    phase="Degraded",
    serves="v2",
    verdict="RolledBack",
    reason="worse",
    decided_at=NOW,
    last_answer_at=NOW + timedelta(milliseconds=812),
    top_weight=5,
    users=Users(424, 12_493, 18, 131, 0),
    took_s=20.4,
    complaint="",
    differences=(),
)
BROKEN = replace(
    BAD,
    act="malformed",
    title="a slip of the hand",
    version="v5",
    revision=None,
    commit="ad7129a0000000000",
    phase="Healthy",
    verdict="",
    decided_at=None,
    top_weight=0,
    users=Users(0, 1204, 0, 11, 0),
    complaint="shop/rollout.yaml:28:20: this is no YAML",
)
NOTES = {BAD.commit: '{"rollout":"shop/shop","verdict":"RolledBack"}'}


def text(shown: RenderableType) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=100).print(shown)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_report_has_a_line_an_act_and_the_notes_as_git_has_them() -> None:
    assert text(report([BAD, BROKEN], NOTES)) == [
        "What became of each commit",
        "                                   TOP  CANARY  STABLE              BY        SILENT",
        "REVISION  COMMIT   VERDICT      WEIGHT    REQ.    REQ.  FAILED  CANARY  LOST   AFTER  OK",
        "#3 v3     76839eb  RolledBack      5 %     424  12,493     149      18     0  0.81 s  yes",
        "v5        ad7129a  not applied     0 %       0   1,204      11       0     0          yes",
        "",
        "The notes that the operator wrote to refs/notes/rollout",
        "$ git notes --ref=rollout show 76839eb",
        '    {"rollout":"shop/shop","verdict":"RolledBack"}',
        "$ git notes --ref=rollout show ad7129a",
        "    no note",
        "",
    ]


def test_the_same_as_json() -> None:
    (bad, broken) = to_json([BAD, BROKEN], NOTES, 121.04)["acts"]
    assert to_json([BAD, BROKEN], NOTES, 121.04)["seconds"] == 121.0
    assert (bad["silence_s"], bad["users"]["canary"], bad["note"], bad["ok"]) == (
        0.812,
        424,
        NOTES[BAD.commit],
        True,
    )
    assert (broken["silence_s"], broken["note"], broken["complaint"]) == (None, "", BROKEN.complaint)


def test_a_verdict_without_its_note_is_a_failure() -> None:
    assert unwritten([BAD, BROKEN], {}) == [BAD]
    assert failures([BAD], {}) == ["a bad version: told a note on 76839eb that says RolledBack, seen none"]
    assert failures([BAD], {BAD.commit: '{"verdict":"Promoted"}'}) != []
    assert failures([BAD, BROKEN], NOTES) == []


def test_what_was_not_as_told_fails_the_whole() -> None:
    unlike = replace(BAD, differences=("phase: told Degraded, seen Healthy",))
    assert failures([unlike], NOTES) == ["a bad version: phase: told Degraded, seen Healthy"]
    assert text(report([unlike], NOTES))[-1] == "a bad version: phase: told Degraded, seen Healthy"
    assert to_json([unlike], NOTES, 1)["ok"] is False


@pytest.mark.parametrize(
    ("record", "line"),
    [
        pytest.param(
            BAD,
            "✓ a bad version: Degraded, v2 serves, v3 RolledBack after 20 s; "
            "424 of 12,917 requests to v3, 149 failed",
            id="a trial",
        ),
        pytest.param(
            BROKEN,
            "✓ a slip of the hand: Healthy, v2 serves after 20 s; "
            "not applied: shop/rollout.yaml:28:20: this is no YAML",
            id="a commit that was not applied",
        ),
        pytest.param(
            replace(BAD, serves="", users=Users(0, 0, 0, 0, 0), differences=("x",)),
            "✗ a bad version: Degraded, more than one version serves, v3 RolledBack after 20 s",
            id="one that was not as told",
        ),
    ],
)
def test_an_act_is_a_line(record: Record, line: str) -> None:
    assert verdict_line(record).plain == line


def test_traffic_is_a_bar_a_version_of_one_width_together() -> None:
    before = LoadReport(at=10.0, counts={"v1": {"200": 100}})
    after = LoadReport(at=10.5, counts={"v1": {"200": 325}, "v2": {"200": 70, "500": 5}})
    lines = [line.plain for line in traffic(rates(before, after))]
    assert lines == [
        "Users     v1            450/s " + "█" * 30 + "  75%",
        "          v2            150/s " + "█" * 10 + "  25%",
    ]


def test_no_traffic_is_said() -> None:
    assert [line.plain for line in traffic({})] == ["Users     no traffic yet"]
