"""What `rollout get` prints: an object as the API server gives it in, lines out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollout.show.sight import sight
from rollout.show.tree import tree

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEPS = [
    {"setWeight": 5},
    {"judge": {}},
    {"setWeight": 25},
    {"judge": {}},
    {"setWeight": 50},
    {"judge": {}},
    {"pause": {}},
    {"pause": {"duration": "1h"}},
]


def before(**delta: float) -> str:
    return (NOW - timedelta(**delta)).isoformat().replace("+00:00", "Z")


def rollout(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "checkout",
            "namespace": "shop",
            "uid": "u1",
            "creationTimestamp": before(days=12),
        },
        "spec": {"strategy": {"canary": {"steps": STEPS, "analysis": {"templates": []}}}},
        "status": status,
    }


def replica_set(revision: str, image: str, wanted: int, ready: int, owner: str = "u1") -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"checkout-{revision}",
            "labels": {"rollouts-pod-template-hash": revision},
            "ownerReferences": [{"uid": owner}],
        },
        "spec": {"replicas": wanted, "template": {"spec": {"containers": [{"image": image}]}}},
        "status": {"readyReplicas": ready},
    }


def weights(canary: int) -> dict[str, Any]:
    return {"canary": {"weight": canary}, "stable": {"weight": 100 - canary}}


SETS = [replica_set("6c9f7d", "shop:v1", 4, 4), replica_set("7d4b9c", "registry:5000/shop:v2", 1, 1)]
SOURCE = {
    "gitSource": "shop",
    "commit": "1a2b3c4d5e6f",
    "path": "shop/checkout.yaml",
    "branch": "main",
    "subject": "bump shop to v2",
}
UNDER_WAY = {
    "phase": "Progressing",
    "stage": "Stepping",
    "currentPodHash": "7d4b9c",
    "stableRS": "6c9f7d",
    "currentStepIndex": 3,
    "canary": {"desiredWeight": 25, "weights": weights(25)},
    "source": SOURCE,
    "evidence": [
        {
            "metric": "errors",
            "verdict": "Undecided",
            "canary": {"bad": 41, "total": 3720},
            "stable": {"bad": 112, "total": 11160},
            "ratioLow": 0.8,
            "ratioHigh": 1.4,
            "worseProgress": 0.13,
            "fineProgress": 0.81,
        },
        {"metric": "latency", "verdict": "NoData", "reason": "no series for the selector"},
    ],
    "history": [
        {
            "revision": 1,
            "hash": "6c9f7d",
            "version": "shop:v1",
            "commit": "9f8e7d6a",
            "verdict": "Promoted",
            "reason": "first deploy",
            "at": before(days=2),
        },
        {
            "revision": 0,
            "hash": "111111",
            "version": "shop:v0.9",
            "commit": "77aa001b",
            "verdict": "RolledBack",
            "reason": "errors 6.1 % against 1.0 % at 5 %",
            "at": before(days=3),
        },
    ],
}


def shown(status: dict[str, Any], sets: list[dict[str, Any]] | None = None) -> str:
    return tree(sight(rollout(**status), SETS if sets is None else sets), NOW).plain


def test_a_rollout_under_way_shows_both_versions_the_step_and_the_evidence() -> None:
    assert shown(UNDER_WAY) == "\n".join(
        [
            "checkout  shop  Progressing  step 4/8: judge at 25 %",
            'Git       main@1a2b3c4 "bump shop to v2" (GitSource shop, shop/checkout.yaml)',
            "Stable    v1  6c9f7d  4/4 ready   75 %",
            "Canary    v2  7d4b9c  1/1 ready   25 %",
            "Judge     false rollback at most 1 % over the whole rollout",
            (
                "  errors   canary 1.1 % (41 of 3,720)   stable 1.0 %   ratio 0.8 to 1.4"
                "   worse [#.........]   fine [########..]   undecided"
            ),
            (
                "  latency  canary no data   stable no data"
                "   worse [..........]   fine [..........]   no data: no series for the selector"
            ),
            "History   v1 promoted 2d ago (9f8e7d6)",
            "          v0.9 rolled back 3d ago: errors 6.1 % against 1.0 % at 5 % (77aa001)",
        ]
    )


def test_a_healthy_rollout_shows_one_version_and_no_judge() -> None:
    status = {
        "phase": "Healthy",
        "message": "v2 serves all",
        "currentPodHash": "7d4b9c",
        "stableRS": "7d4b9c",
        "canary": {"desiredWeight": 0, "weights": weights(0)},
        "evidence": UNDER_WAY["evidence"],
    }
    assert shown(status) == "\n".join(
        ["checkout  shop  Healthy  v2 serves all", "Stable    v2  7d4b9c  1/1 ready  100 %"]
    )


def test_a_first_version_has_no_steps_and_no_judge() -> None:
    status = UNDER_WAY | {
        "stage": "Initial",
        "stableRS": "",
        "message": "1 of 4 pods available",
        "evidence": [],
        "history": [],
        "source": None,
    }
    assert shown(status) == "\n".join(
        ["checkout  shop  Progressing  1 of 4 pods available", "First     v2  7d4b9c  1/1 ready   25 %"]
    )


def test_a_refused_canary_keeps_the_evidence_that_refused_it() -> None:
    status = UNDER_WAY | {
        "phase": "Degraded",
        "stage": "Refused",
        "message": "errors worse",
        "canary": {"desiredWeight": 0, "weights": weights(0)},
        "conditions": [
            {
                "type": "RolledBack",
                "status": "True",
                "reason": "Worse",
                "lastTransitionTime": before(minutes=1),
            }
        ],
        "history": [],
    }
    lines = shown(status).splitlines()
    assert lines[0] == "checkout  shop  Degraded  errors worse"
    assert lines[3] == "Canary    v2  7d4b9c  1/1 ready    0 %, refused"
    assert lines[5].startswith("  errors   canary 1.1 %")


def test_a_weight_that_was_not_read_back_as_asked_for_is_told_apart() -> None:
    status = UNDER_WAY | {"canary": {"desiredWeight": 50, "weights": weights(25)}}
    assert "Canary    v2  7d4b9c  1/1 ready   25 %, 50 % asked for" in shown(status)


def test_an_intent_says_who_asked_and_what_became_of_it() -> None:
    intent = {
        "action": "abort",
        "reason": "looks bad",
        "by": "kubectl-annotate",
        "setAt": before(seconds=8),
        "outcome": "Acted",
    }
    assert 'Intent    abort "looks bad" by kubectl-annotate 8s ago: Acted' in shown(
        UNDER_WAY | {"intent": intent}
    )


def test_a_replica_set_of_another_owner_with_the_same_hash_is_not_ours() -> None:
    sets = [replica_set("6c9f7d", "shop:v1", 4, 4), replica_set("7d4b9c", "evil:v666", 9, 9, owner="u2")]
    assert "Canary    7d4b9c   25 %" in shown(UNDER_WAY, sets)


def test_a_rollout_that_no_operator_has_seen_says_so() -> None:
    assert shown({}) == "checkout  shop  not seen by an operator yet"


def test_a_status_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    assert (
        shown({"phase": "Healthy", "future": {"a": 1}, "canary": {"future": 2}}) == "checkout  shop  Healthy"
    )


@pytest.mark.parametrize(
    ("index", "words"),
    [
        pytest.param(0, "step 1/8: weight 5 %", id="a weight names itself"),
        pytest.param(6, "step 7/8: pause at 50 % until resumed", id="an open pause waits for somebody"),
        pytest.param(7, "step 8/8: pause 1h at 50 %", id="a timed pause names its time"),
        pytest.param(8, "step 8/8: all steps passed", id="past the last step"),
    ],
)
def test_each_step_is_told_in_words(index: int, words: str) -> None:
    assert shown(UNDER_WAY | {"currentStepIndex": index}).splitlines()[0].endswith(words)
