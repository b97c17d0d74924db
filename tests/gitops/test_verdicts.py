"""Which verdicts go back to Git, and what a revert puts back."""

import json
from typing import Any

import pytest

from rollout.api.writeback import Author, WriteBackMode
from rollout.git.reverting import Order
from rollout.gitops.notes import WAYS, Notebook, revert
from rollout.observe.reading import SOURCE_ANNOTATION

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
ME = Author()


def entry(verdict: str, commit: str, **more: Any) -> dict[str, Any]:
    said = {"revision": 1, "hash": "h", "attempt": commit[:4], "gitSource": "web", "commit": commit}
    return {**said, "version": "shop:v2", "verdict": verdict, "at": "2026-01-01T00:00:00Z", **more}


def rollout(*history: dict[str, Any], commit: str = B) -> dict[str, Any]:
    told = {"gitSource": "web", "commit": commit, "branch": "main", "path": "shop.yaml", "subject": "v2"}
    metadata = {
        "namespace": "shop",
        "name": "checkout",
        "annotations": {SOURCE_ANNOTATION: json.dumps(told)},
    }
    return {"metadata": metadata, "status": {"history": list(history)}}


def orders(body: dict[str, Any]) -> list[Order]:
    book = Notebook()
    book.hear(body)
    due = book.due("shop", "web", WriteBackMode.REVERT_COMMIT)
    return [order for each in due if (order := revert(each, ME)) is not None]


def test_a_verdict_is_due_once_in_each_way() -> None:
    book = Notebook()
    body = rollout(entry("Promoted", A))
    assert book.hear(body) == {("shop", "web")}
    for mode in WAYS:
        (due,) = book.due("shop", "web", mode)
        book.done(mode, due)
    assert book.hear(body) == set()
    assert book.hear(rollout(entry("Promoted", A), entry("RolledBack", B))) == {("shop", "web")}


def test_a_rollback_puts_back_what_the_last_promotion_brought() -> None:
    history = [
        entry("Promoted", A),
        entry("Promoted", C),
        entry("Superseded", A),
        entry("FastRolledBack", A),
        entry("RolledBack", B, topWeight=25, reason="errors\n6.1 %"),
    ]
    (order,) = orders(rollout(*history))
    assert (order.bad, order.good, order.path, order.branch) == (B, C, "shop.yaml", "main")
    assert order.subject == 'Revert "v2" for shop/checkout'
    assert "shop:v2 was taken back at 25 %: errors 6.1 %" in order.message
    assert "\n\nRollout: shop/checkout\nRollout-Verdict: RolledBack\n" in order.message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(rollout(entry("Promoted", A), entry("Promoted", B)), id="it was promoted"),
        pytest.param(rollout(entry("Promoted", A), entry("Superseded", B)), id="a newer one took its place"),
        pytest.param(rollout(entry("RolledBack", B)), id="nothing was promoted before"),
        pytest.param(
            rollout(entry("Promoted", A), entry("RolledBack", B), commit=C),
            id="the Rollout is of another commit",
        ),
        pytest.param(
            rollout(entry("Promoted", A), entry("RolledBack", B), entry("Promoted", B)),
            id="it was decided anew",
        ),
        pytest.param(
            rollout(entry("Promoted", A, gitSource="old"), entry("RolledBack", B)),
            id="the good one came otherwise",
        ),
    ],
)
def test_nothing_is_put_back_where(body: dict[str, Any]) -> None:
    assert orders(body) == []


def test_an_abort_is_put_back_too() -> None:
    (order,) = orders(rollout(entry("Promoted", A), entry("Aborted", B, reason="not today")))
    assert "was taken back at 0 %: not today" in order.message
