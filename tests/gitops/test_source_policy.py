"""What a GitSource may hold, by where it lies."""

import pytest

from rollout.git.manifests import parse
from rollout.git.revision import Blob
from rollout.gitops import policy


def problems(text: str, *, at_home: bool = False, namespaced: bool = True) -> list[str]:
    blob = Blob("a.yaml", "0", text.encode())
    (manifest,) = parse([blob], "shop", policy.CLUSTER_SCOPED)
    return [str(each) for each in policy.problems(manifest, "home", at_home=at_home, namespaced=namespaced)]


def written(api: str, kind: str, *more: str) -> str:
    return "\n".join((f"apiVersion: {api}", f"kind: {kind}", "metadata: {name: it}", *more))


@pytest.mark.parametrize(
    ("text", "namespaced", "for_tenants", "at_home"),
    [
        pytest.param(
            written("v1", "ConfigMap"), True, True, True, id="what lies in a namespace is everybody's"
        ),
        pytest.param(written("v1", "Namespace"), False, False, True, id="what is the cluster's is not"),
        pytest.param(
            written("progressive.delivery/v1alpha1", "GitSource"), True, False, True, id="nor is a GitSource"
        ),
        pytest.param(
            written("example.com/v1", "GitSource"),
            True,
            True,
            True,
            id="but one of another group's is a kind",
        ),
        pytest.param(
            written("v1", "Secret", "stringData: {a: b}"), True, False, False, id="a plain Secret is nobody's"
        ),
        pytest.param(written("v1", "Secret", "data: {a: Yg==}"), True, False, False, id="coded or not"),
        pytest.param(
            written("v1", "Secret", "type: kubernetes.io/service-account-token"),
            True,
            True,
            True,
            id="one that others fill in holds nothing yet",
        ),
        pytest.param(
            written("example.com/v1", "Secret", "data: {a: b}"), True, True, True, id="a kind of that name"
        ),
    ],
)
def test_who_may_hold_what(text: str, namespaced: bool, for_tenants: bool, at_home: bool) -> None:
    assert (problems(text, namespaced=namespaced) == []) is for_tenants
    assert (problems(text, namespaced=namespaced, at_home=True) == []) is at_home


def test_it_is_said_where_and_by_whom_it_could_be_applied() -> None:
    (told,) = problems(written("v1", "Namespace"), namespaced=False)
    assert told.startswith("a.yaml:2:1: Namespace it: a Namespace belongs to the cluster")
    assert told.endswith("by a GitSource in the namespace home")
