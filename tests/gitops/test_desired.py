"""What Git does not decide of an object that is there."""

from typing import Any

import pytest

from rollout.api.gitsource import Ignore, IgnoreTarget
from rollout.gitops.desired import scaled, with_live

SCALER = {
    "manager": "autoscaler",
    "operation": "Update",
    "subresource": "scale",
    "fieldsV1": {"f:spec": {"f:replicas": {}}},
}
GIT = {"manager": "rollout-git", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}


def deployment(kind: str = "Deployment", *claims: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "web"}
    if claims:
        metadata |= {"resourceVersion": "7", "managedFields": list(claims)}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


WEB = frozenset({("Deployment", "web")})


@pytest.mark.parametrize(
    ("git", "live", "by", "replicas", "fenced"),
    [
        pytest.param({"replicas": 2}, None, WEB, 2, False, id="Git's number begins it"),
        pytest.param(
            {"replicas": 2}, (GIT, 5), frozenset(), 2, False, id="and stays where nothing scales it"
        ),
        pytest.param(
            {"replicas": 2}, (SCALER, 5), WEB, None, False, id="who scales it keeps what is left out"
        ),
        pytest.param(
            {"replicas": 2}, (GIT, 5), WEB, 5, True, id="before the first scaling the live one is kept"
        ),
        pytest.param({}, (GIT, 5), frozenset(), 5, True, id="a number that left Git stays"),
        pytest.param({}, (SCALER, 5), frozenset(), None, False, id="and needs nobody who has it already"),
    ],
)
def test_replicas(
    git: dict[str, Any], live: tuple[dict[str, Any], int] | None, by: Any, replicas: int | None, fenced: bool
) -> None:
    there = deployment("Deployment", live[0], replicas=live[1]) if live else None
    body = with_live(deployment(**git), there, (), by)
    assert body["spec"].get("replicas") == replicas
    assert ("resourceVersion" in body["metadata"]) is fenced, "it may not be written over a newer number"


def test_only_what_is_scaled_and_what_is_absent_is_left_to_others() -> None:
    ref = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}
    assert scaled([{"spec": ref}, {"spec": {}}, {}]) == WEB | {("", "")}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {}}
    assert with_live(config, {**config, "data": {"a": "b"}}, (), WEB) == config


@pytest.mark.parametrize(
    ("pointer", "target", "spec"),
    [
        pytest.param("/spec/a", {}, {"a": "live", "list": [{"b": "git"}]}, id="a field keeps its live value"),
        pytest.param("/spec/list/0/b", {}, {"a": "git", "list": [{"b": "live"}]}, id="one in a list, too"),
        pytest.param("/spec/gone", {}, {"a": "git", "list": [{"b": "git"}]}, id="none is none"),
        pytest.param("/spec/list/9/b", {}, {"a": "git", "list": [{"b": "git"}]}, id="beyond a list"),
        pytest.param(
            "/spec/a", {"kind": "Service"}, {"a": "git", "list": [{"b": "git"}]}, id="other kinds not"
        ),
        pytest.param("/spec/a", {"name": "api"}, {"a": "git", "list": [{"b": "git"}]}, id="other names not"),
    ],
)
def test_ignored_fields(pointer: str, target: dict[str, str], spec: dict[str, Any]) -> None:
    rule = Ignore(paths=(pointer,), target=IgnoreTarget(**target))
    git = deployment("Thing", a="git", list=[{"b": "git"}])
    live = deployment("Thing", GIT, a="live", list=[{"b": "live"}])
    assert with_live(git, live, (rule,), frozenset())["spec"] == spec
    assert git["spec"]["list"] == [{"b": "git"}], "what was parsed is not changed"


def test_a_pointer_may_name_a_key_with_a_slash() -> None:
    rule = Ignore(paths=("/metadata/annotations/example.com~1owner",))
    git, live = deployment(), deployment("Deployment", GIT)
    git["metadata"]["annotations"] = {"example.com/owner": "git"}
    live["metadata"]["annotations"] = {"example.com/owner": "live"}
    found = with_live(git, live, (rule,), frozenset())
    assert found["metadata"]["annotations"] == {"example.com/owner": "live"}
