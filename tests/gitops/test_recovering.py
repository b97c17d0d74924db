"""What notes tell of a Rollout to a cluster that knows nothing of it."""

import json

import pytest

from rollout.api.status import Verdict
from rollout.gitops.recovering import good, noted, refused

A, B = "a" * 40, "b" * 40


def line(attempt: str, verdict: str, minute: int, version: str = "", rollout: str = "shop/shop") -> bytes:
    record = {
        "rollout": rollout,
        "attempt": attempt,
        "verdict": verdict,
        "reason": "because",
        "hash": version or f"of-{attempt.partition('.')[0]}",
        "at": f"2026-01-01T00:{minute:02}:00+00:00",
    }
    return json.dumps(record).encode() + b"\n"


@pytest.mark.parametrize(
    ("notes", "attempts"),
    [
        pytest.param({A: line("x", "RolledBack", 1)}, ["x"], id="a refusal"),
        pytest.param({A: line("x", "Aborted", 1) + line("x.2", "Promoted", 2)}, [], id="a retry that passed"),
        pytest.param(
            {A: line("x.2", "RolledBack", 2) + line("x", "Promoted", 1)}, ["x"], id="a retry that did not"
        ),
        pytest.param({A: line("x", "Aborted", 1) + line("x.2", "Superseded", 2)}, [], id="a retry under way"),
        pytest.param({A: line("x", "RolledBack", 1, rollout="shop/other")}, [], id="another Rollout"),
        pytest.param({A: line("x", "Aborted", 2), B: line("y", "Aborted", 1)}, ["y", "x"], id="two, by time"),
    ],
)
def test_refused_is_what_was_refused_last(notes: dict[str, bytes], attempts: list[str]) -> None:
    assert [each.attempt for each in refused(noted(notes, "shop/shop"))] == attempts


@pytest.mark.parametrize(
    ("notes", "commits"),
    [
        pytest.param({A: line("x", "Promoted", 1), B: line("y", "Promoted", 2)}, [B, A], id="newest first"),
        pytest.param({A: line("x", "Inconclusive", 1)}, [A], id="promoted without proof"),
        pytest.param({A: line("x", "Superseded", 1)}, [], id="superseded"),
        pytest.param(
            {A: line("x", "Promoted", 1, "v1"), B: line("y", "RolledBack", 2, "v1")},
            [],
            id="refused after it was promoted",
        ),
        pytest.param(
            {A: line("x", "RolledBack", 1, "v1"), B: line("y", "Promoted", 2, "v1")},
            [B],
            id="promoted after it was refused",
        ),
    ],
)
def test_good_is_what_was_promoted_and_not_refused_since(notes: dict[str, bytes], commits: list[str]) -> None:
    assert [each.commit for each in good(noted(notes, "shop/shop"))] == commits


@pytest.mark.parametrize(
    ("commit", "note"),
    [
        pytest.param("--upload-pack=x", line("x", "Promoted", 1), id="no commit"),
        pytest.param(A, b"written by hand\n", id="no JSON"),
        pytest.param(A, line("x", "Wonderful", 1), id="a verdict that is none"),
        pytest.param(A, line("x", "Promoted", 1).replace(b"+00:00", b""), id="a time of nowhere"),
        pytest.param(A, b'{"rollout": "shop/shop", "attempt": "x", "verdict": "Promoted"}\n', id="no time"),
    ],
)
def test_what_can_not_be_read_is_left_out(commit: str, note: bytes) -> None:
    assert noted({commit: note, B: line("y", "Promoted", 1)}, "shop/shop") == noted(
        {B: line("y", "Promoted", 1)}, "shop/shop"
    )
    assert Verdict.PROMOTED in {each.verdict for each in noted({B: line("y", "Promoted", 1)}, "shop/shop")}
