"""Roles are enforced to the letter."""

import pytest

from rollout.sandbox.apiserver.rbac import Ask, grants

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


@pytest.mark.parametrize(
    ("rule", "ask", "granted"),
    [
        pytest.param(
            READ_PODS, Ask("get", "", "pods"), True, id=("a listed verb on a listed resource is granted")
        ),
        pytest.param(READ_PODS, Ask("delete", "", "pods"), False, id="another verb is not"),
        pytest.param(READ_PODS, Ask("get", "apps", "pods"), False, id="another group is not"),
        pytest.param(
            READ_PODS, Ask("get", "", "pods", "log"), False, id=("a subresource has to be listed itself")
        ),
        pytest.param(
            {**READ_PODS, "resources": ["pods/status"]},
            Ask("get", "", "pods", "status"),
            True,
            id="a listed subresource is granted",
        ),
        pytest.param(
            {**READ_PODS, "resources": ["*/scale"]},
            Ask("get", "", "widgets", "scale"),
            True,
            id="a star before a subresource covers it on every resource",
        ),
        pytest.param(
            {**READ_PODS, "resourceNames": ["a"]},
            Ask("get", "", "pods", name="b"),
            False,
            id=("a name restricts"),
        ),
        pytest.param(
            {**READ_PODS, "resourceNames": ["a"]},
            Ask("list", "", "pods"),
            False,
            id=("a list has no name to match"),
        ),
        pytest.param(
            {"nonResourceURLs": ["/healthz/*"], "verbs": ["get"]},
            Ask("get", path="/healthz/ready"),
            True,
            id="a path below a star is granted",
        ),
        pytest.param(READ_PODS, Ask("get", path="/version"), False, id="a resource rule grants no path"),
    ],
)
def test_a_rule_grants_what_it_lists_and_nothing_else(rule, ask, granted):
    assert grants(rule, ask) is granted
