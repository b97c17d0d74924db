"""What counts as told and what does not."""

from typing import Any

import pytest

from rollout.api.status import Phase, Verdict
from rollout.demo.ledger import Users, differences, serving, users
from rollout.demo.story import Act, Expectation
from rollout.sandbox.shop.load import LoadReport
from rollout.show.sight import Sight, sight

ENDS = Expectation(Phase.DEGRADED, "v2", Verdict.ROLLED_BACK, (5, 50), (20, 1000))
ACT = Act("bad", "a bad version", "told", "v3", (), ENDS, 10)
USERS = Users(canary=100, stable=1900, failed_by_canary=6, failed_by_stable=19, failed_by_nobody=0)


def seen(phase: str = "Degraded", stable: str = "v2", canary_weight: int = 0) -> Sight:
    status: dict[str, Any] = {
        "phase": phase,
        "stableRS": "s",
        "currentPodHash": "c",
        "canary": {
            "weights": {"canary": {"weight": canary_weight}, "stable": {"weight": 100 - canary_weight}}
        },
    }
    replica_set = {
        "metadata": {
            "labels": {"rollouts-pod-template-hash": "s"},
            "ownerReferences": [{"uid": "u"}],
        },
        "spec": {"template": {"spec": {"containers": [{"image": f"shop:{stable}"}]}}},
    }
    return sight({"metadata": {"name": "shop", "uid": "u"}, "status": status}, [replica_set])


def test_an_act_that_ends_as_told_differs_in_nothing() -> None:
    assert differences(ACT, seen(), "RolledBack", 5, USERS, "") == ()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param(
            {"seen": seen(phase="Healthy")}, "phase: told Degraded, seen Healthy", id="another phase"
        ),
        pytest.param(
            {"seen": seen(stable="v3")}, "serving version: told v2, seen v3", id="another version serves"
        ),
        pytest.param(
            {"seen": seen(canary_weight=5)},
            "serving version: told v2, seen more than one",
            id="the canary still has traffic",
        ),
        pytest.param(
            {"verdict": "Promoted"}, "verdict: told RolledBack, seen Promoted", id="another verdict"
        ),
        pytest.param({"top": 100}, "top weight: told 5 to 50 %, seen 100 %", id="too much traffic"),
        pytest.param(
            {"counted": Users(1001, 0, 0, 0, 0)},
            "canary requests: told 20 to 1000, seen 1001",
            id="too many requests to the canary",
        ),
        pytest.param(
            {"counted": Users(100, 0, 0, 0, 1)},
            "requests that nobody answered: told 0, seen 1",
            id="one request lost",
        ),
        pytest.param(
            {"complaint": "no such branch"},
            "GitSource's message: told none, seen no such branch",
            id="a complaint of Git that was not told",
        ),
    ],
)
def test_each_thing_that_is_not_as_told_is_named(changed: dict[str, Any], told: str) -> None:
    given = {"seen": seen(), "verdict": "RolledBack", "top": 5, "counted": USERS, "complaint": ""} | changed
    assert differences(
        ACT, given["seen"], given["verdict"], given["top"], given["counted"], given["complaint"]
    ) == (told,)


def test_users_are_counted_between_two_reports_by_who_answered() -> None:
    before = LoadReport(counts={"v2": {"200": 50, "500": 1}})
    after = LoadReport(
        counts={"v2": {"200": 1931, "500": 20}, "v3": {"200": 94, "500": 6}, "-": {"502": 1, "0": 2}}
    )
    assert users("v3", before, after) == Users(100, 1900, 6, 19, 3)


def test_the_serving_version_is_stable_where_no_canary_is_under_trial() -> None:
    assert serving(seen()) == "v2"
