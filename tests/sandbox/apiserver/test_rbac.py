"""Roles are enforced to the letter."""

import pytest

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.rbac import Ask, grants
from rollout.sandbox.apiserver.resource import CLUSTER_ROLES, ROLE_BINDINGS, SECRETS

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


def test_an_impersonated_service_account_has_its_own_rights_and_no_more(cluster, namespace):
    def as_account(*arguments):
        user = f"system:serviceaccount:{namespace}:deployer"
        return cluster.kubectl("-n", namespace, "--as", user, *arguments)

    assert as_account("get", "configmaps").returncode == 1
    cluster.kubectl("-n", namespace, "create", "role", "r", "--verb=list", "--resource=configmaps")
    bound = f"--serviceaccount={namespace}:deployer"
    cluster.kubectl("-n", namespace, "create", "rolebinding", "r", "--role=r", bound)
    assert as_account("get", "configmaps").returncode == 0
    assert "cannot list resource" in as_account("get", "secrets").stderr


def test_who_may_not_impersonate_is_refused(cluster, namespace):
    config = cluster.config(cluster.server.issue_token("visitor"), "impersonator")
    # Raw: kubectl tells of discovery's refusals, which come first, as "unknown".
    place = f"/api/v1/namespaces/{namespace}/pods"
    refused = cluster.kubectl("get", "--raw", place, "--as", "someone", config=config)
    assert 'User "visitor" cannot impersonate resource "users"' in refused.stderr


def test_an_aggregated_role_has_the_rules_of_those_it_selects(cluster, namespace):
    labels = {"aggregate": namespace}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}
    roles = [
        {
            "metadata": {"name": f"whole-{namespace}"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels}]},
        },
        {"metadata": {"name": f"part-{namespace}", "labels": labels}, "rules": [rule]},
    ]
    for role in roles:
        cluster.call(cluster.client().create(CLUSTER_ROLES, None, role))
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"whole-{namespace}"}
    binding = {
        "metadata": {"name": "b"},
        "roleRef": reference,
        "subjects": [{"kind": "User", "name": "auditor"}],
    }
    cluster.call(cluster.client().create(ROLE_BINDINGS, namespace, binding))
    auditor = cluster.client("auditor")
    assert cluster.call(auditor.list(SECRETS, namespace))[0] == []
    with pytest.raises(ApiError, match="is forbidden"):
        cluster.call(auditor.list(SECRETS, "default"))
