"""The CRD in the cluster is older than the operator: what goes back still goes back, with users on it."""

import json
from collections.abc import Iterator

import pytest
import yaml
from e2e_stage import Shop, Stage

from rollout.api.crd import all_crds

pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]

WEIGHT = 60
CRD = "rollouts.progressive.delivery"
STATUS = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties"


@pytest.fixture
def ageing(stage: Stage) -> Iterator[Stage]:
    """A stage whose CRD is as new as the operator again when the story is over."""
    yield stage
    renewed(stage)


def aged(stage: Stage, field: str) -> None:
    """The CRD as it was before the status had this field."""
    patch = json.dumps([{"op": "remove", "path": f"{STATUS}/{field}"}])
    stage.kubectl("patch", "crd", CRD, "--type=json", f"--patch={patch}")


def renewed(stage: Stage) -> None:
    stage.kubectl("replace", "--filename=-", stdin=yaml.safe_dump(all_crds()["rollouts.yaml"]))


def test_an_abort_and_a_rollback_happen_with_an_old_crd(ageing: Stage, shop: Shop) -> None:
    shop.canary_strategy["steps"] = [{"setWeight": WEIGHT}, {"pause": {}}]
    shop.open("v1")
    shop.commit("bump shop to v2, pause", "v2")
    shop.until(lambda: shop.phase == "Paused" and shop.report.requests("v2") > 0, 60, "v2 pauses")
    aged(ageing, "intent")
    shop.annotate("abort", "it looks odd")
    shop.until(lambda: shop.weight() == 0, 20, "the weight is taken though no intent can be recorded")
    renewed(ageing)
    shop.until(lambda: shop.at_rest("v2"), 60, "v2 has come to its end")
    assert shop.newest()["verdict"] == "Aborted"

    shop.commit("bump shop to v3, pause", "v3-6pct")
    shop.until(lambda: shop.weight() == WEIGHT, 60, "v3 gets its share")
    aged(ageing, "evidence")
    shop.until(lambda: shop.weight() == 0, 90, "the weight is taken by evidence that no status shows")
    shop.until(lambda: any("CRDOutdated" in each for each in warnings(shop)), 20, "people are told")
    renewed(ageing)
    shop.until(lambda: shop.at_rest("v3-6pct"), 60, "v3 has come to its end")
    assert shop.newest()["verdict"] == "RolledBack"
    assert shop.lost() == {}
    assert shop.over_allowance() == []


def warnings(shop: Shop) -> list[str]:
    return [str(each.object.get("reason")) for each in shop.witness.seen["events"]]
