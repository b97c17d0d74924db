"""Whose a field is, and what is taken back from people."""

from typing import Any

import pytest

from rollout.gitops.ownership import Change, added, changes, others_own, taken_over


def entry(manager: str, fields: dict[str, Any], operation: str = "Update", **more: str) -> dict[str, Any]:
    base = {"manager": manager, "operation": operation, "apiVersion": "v1", "time": "2026-01-01T00:00:00Z"}
    return {**base, "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


GIT = entry("rollout-git", {"f:spec": {"f:replicas": {}, "f:image": {}}}, "Apply")
LABEL = {"f:metadata": {"f:labels": {".": {}, "f:team": {}}}}


def live(*entries: dict[str, Any], kind: str = "Service", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "resourceVersion": "7", "managedFields": list(entries)}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


def test_each_changed_field_is_named_with_who_claims_it() -> None:
    by_hand = entry(
        "kubectl-edit", {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:image": {}}}, "f:ports": {}}}
    )
    one = live(GIT, by_hand, containers=[{"name": "app", "image": "bad"}], ports=[81], paused=True)
    other = live(GIT, by_hand, containers=[{"name": "app", "image": "good"}], ports=[80, 82])
    assert changes(one, other) == (
        Change("spec.containers[name=app].image", "kubectl-edit"),
        Change("spec.paused", ""),
        Change("spec.ports", "kubectl-edit"),
    )
    assert changes(one, one) == ()


@pytest.mark.parametrize(
    ("entries", "kind", "fields"),
    [
        pytest.param((entry("kubectl-edit", LABEL),), "Service", ["metadata.labels.team"], id="by an editor"),
        pytest.param((entry("kubectl-label", LABEL),), "Rollout", [], id="labels of a Rollout stay"),
        pytest.param((entry("kubectl-label", LABEL),), "Service", ["metadata.labels.team"], id="else not"),
        pytest.param((entry("some-controller", LABEL),), "Service", [], id="a controller's are its own"),
        pytest.param(
            (entry("kubectl", {"f:spec": {"f:replicas": {}}}, subresource="scale"),),
            "Rollout",
            [],
            id="who scales is no editor",
        ),
        pytest.param(
            (entry("kubectl-edit", {"f:metadata": {"f:annotations": {"f:progressive.delivery/abort": {}}}}),),
            "Rollout",
            [],
            id="an intent is ours to take, not Git's",
        ),
        pytest.param(
            (entry("kubectl-edit", {"f:spec": {"f:image": {}}}), GIT), "Service", [], id="Git names it too"
        ),
        pytest.param(
            (entry("kubectl-edit", {"f:spec": {"f:replicas": {}}}),),
            "Rollout",
            [],
            id="a size that Git does not name",
        ),
    ],
)
def test_what_people_added_is_told_from_what_others_keep(
    entries: tuple[dict[str, Any], ...], kind: str, fields: list[str]
) -> None:
    assert [each.field for each in added(live(*entries, kind=kind))] == fields


def test_what_is_taken_over_is_gits_and_an_intent_stays_with_who_set_it() -> None:
    intent = {"f:annotations": {"f:progressive.delivery/abort": {}}}
    mixed = entry("kubectl-edit", {"f:metadata": {**LABEL["f:metadata"], **intent}})
    scaler = entry("autoscaler", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    mine, scaled, theirs = taken_over(live(GIT, mixed, scaler))
    assert mine["fieldsV1"] == {**GIT["fieldsV1"], "f:metadata": {"f:labels": {"f:team": {}}}}
    assert (mine["manager"], mine["operation"]) == ("rollout-git", "Apply")
    assert scaled == scaler
    assert (theirs["manager"], theirs["fieldsV1"]) == ("kubectl-edit", {"f:metadata": intent})


def test_a_field_is_kept_by_another_claim_on_it_or_below_it() -> None:
    scaler = entry("autoscaler", {"f:spec": {"f:replicas": {}, "f:data": {"f:a": {}}}})
    assert others_own(live(GIT, scaler), ("f:spec", "f:replicas"))
    assert others_own(live(GIT, scaler), ("f:spec", "f:data"))
    assert not others_own(live(GIT), ("f:spec", "f:replicas"))
