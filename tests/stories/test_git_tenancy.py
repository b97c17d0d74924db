"""A tenant's GitSource is applied as the tenant, where the tenant may, and refused rather than otherwise."""

import base64
import re
from typing import Any

import manifests
import yaml
from home import Home, home
from manifests import API, Manifest
from repository import git_source, text
from stage import GIT_SOURCES, OPERATOR, until

from rollout import manifests as installed
from rollout.sandbox.apiserver.resource import (
    CONFIG_MAPS,
    ROLE_BINDINGS,
    SERVICE_ACCOUNTS,
    SERVICES,
)

__all__ = ["home"]  # a fixture
ACCOUNT = "deployer"
REQUESTED = "progressive.delivery/requestedAt"


def named(kind: str, version: str = "v1", name: str = "it", **fields: Any) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def with_metadata(**metadata: Any) -> Manifest:
    return {**named("ConfigMap"), "metadata": {"name": "it", **metadata}}


RBAC = "rbac.authorization.k8s.io/v1"
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x"}
SOURCE = {"url": "https://git.example.com/evil.git"}
WIDGETS: dict[str, Any] = {
    "group": "example.com",
    "scope": "Cluster",
    "names": {"plural": "widgets", "kind": "Widget"},
    "versions": [
        {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    ],
}
FOREIGN = {
    "a ClusterRole": (named("ClusterRole", RBAC, rules=[]), "PolicyDenied", "belongs to the cluster"),
    "a CRD": (
        named("CustomResourceDefinition", "apiextensions.k8s.io/v1", "widgets.example.com", spec=WIDGETS),
        "PolicyDenied",
        "belongs to the cluster",
    ),
    "a namespace": (named("Namespace"), "PolicyDenied", "belongs to the cluster"),
    "a GitSource": (named("GitSource", API, spec=SOURCE), "PolicyDenied", "by whom and from where"),
    "a plain Secret": (named("Secret", stringData={"a": "hush"}), "PolicyDenied", "commit a SealedSecret"),
    "another namespace": (
        with_metadata(namespace="kube-system"),
        "MalformedManifest",
        "not to 'kube-system'",
    ),
    "an owner": (with_metadata(ownerReferences=[OWNER]), "MalformedManifest", "metadata.ownerReferences"),
    "a finalizer": (with_metadata(finalizers=["x/y"]), "MalformedManifest", "metadata.finalizers"),
    "a status": ({**named("Service"), "status": {"a": "b"}}, "MalformedManifest", "status is written by"),
    "an unknown kind": (named("Whatsit", "example.com/v1"), "DryRunFailed", "does not serve Whatsit"),
    "a right that nobody gave": (
        named("Role", RBAC, rules=[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]),
        "DryRunFailed",
        "cannot get resource",
    ),
}


async def test_git_23_what_is_not_a_tenants_is_refused_by_its_place_and_nothing_is_applied(
    home: Home,
) -> None:
    for name, (body, reason, words) in FOREIGN.items():
        files = {"deploy/beside.yaml": text(config_map("beside")), "deploy/evil.yaml": text(body)}
        commit = await home.repository.commit(name, files)
        await home.shop.patch(GIT_SOURCES, manifests.NAME, {"metadata": {"annotations": {REQUESTED: name}}})
        ready = await home.refused(commit)
        assert ready["reason"] == reason, name
        assert re.match(r"deploy/evil\.yaml:\d+:\d+: ", ready["message"]), name
        assert words in ready["message"], name
        assert "hush" not in ready["message"]
        assert not await home.shop.exists(CONFIG_MAPS, "beside"), name
    mended = await home.repository.commit("mended", {"deploy/evil.yaml": None})
    await home.applied(mended)
    assert await home.shop.exists(CONFIG_MAPS, "beside")


def config_map(name: str) -> Manifest:
    return named("ConfigMap", name=name, data={"a": "b"})


async def reason(home: Home, wanted: str) -> str:
    """Wait for why it is not ready; what is said of it."""

    async def reached() -> str:
        ready = await home.condition("Ready")
        return str(ready.get("message")) if ready.get("reason") == wanted else ""

    message: str = await until(f"Ready to say {wanted}", reached)
    return message


async def test_a_source_acts_as_its_account_with_its_rights_and_as_nobody_else_when_that_is_gone(
    home: Home,
) -> None:
    namespace = home.shop.namespace
    await home.shop.apply(git_source(home.repository.url, serviceAccountName=ACCOUNT))
    await home.repository.commit("more", {"deploy/more.yaml": text(config_map("more"))})
    message = await reason(home, "ServiceAccountForbidden")
    assert f"rollout manifests --tenant {namespace} --service-account {ACCOUNT}" in message
    assert not await home.shop.exists(CONFIG_MAPS, "more")

    await home.shop.sandbox.load(list(yaml.safe_load_all(installed.tenant(namespace, ACCOUNT))))
    moved = {"metadata": {"annotations": {"team": "a"}}, "spec": {"ports": [{"port": 80, "targetPort": 9}]}}
    await until("it to be applied", lambda: home.shop.exists(CONFIG_MAPS, "more"))
    asked = home.shop.sandbox.server.requests
    tenant = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    writes = asked.writes(path=f"/namespaces/{namespace}/configmaps/more")
    assert {each.user for each in writes if each.status < 300} == {tenant}
    await home.shop.patch(SERVICES, manifests.STABLE, moved)
    await home.shop.told("DriftCorrected", "targetPort")

    await home.shop.sandbox.client.delete(ROLE_BINDINGS, namespace, f"rollout-applier-{ACCOUNT}")
    await home.repository.commit("without rights", {"deploy/yet.yaml": text(config_map("yet"))})
    assert f'User "{tenant}" cannot' in await reason(home, "DryRunFailed")
    await home.shop.delete(SERVICE_ACCOUNTS, ACCOUNT)
    await home.repository.commit(
        "without an account", {"deploy/yet.yaml": text(config_map("yet"), config_map("two"))}
    )
    assert ACCOUNT in await reason(home, "ServiceAccountNotFound")
    assert not await home.shop.exists(CONFIG_MAPS, "yet")
    own = [each for each in asked.writes(path=f"/namespaces/{namespace}/configmaps") if each.user == OPERATOR]
    assert own == []


def secret(name: str, value: str) -> Manifest:
    return named("Secret", name=name, data={"value": base64.b64encode(value.encode()).decode()})


async def test_a_kubeconfig_leads_to_another_cluster_and_runs_nothing(home: Home) -> None:
    namespace, sandbox = home.shop.namespace, home.shop.sandbox
    await sandbox.load(list(yaml.safe_load_all(installed.secrets_in([namespace]))))
    there = yaml.safe_load(sandbox.kubeconfig_for(namespace, "abroad").read_text())
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": "abroad", "namespace": namespace}
    await home.shop.apply(named("RoleBinding", RBAC, "abroad", roleRef=role, subjects=[subject]))
    evil = {
        **there,
        "users": [{"name": "sandbox", "user": {"exec": {"command": "touch", "args": ["/tmp/x"]}}}],
    }
    await home.shop.apply(secret("abroad", yaml.safe_dump(evil)))
    reference = {"secretRef": {"name": "abroad"}}
    await home.shop.apply(git_source(home.repository.url, kubeConfig=reference))
    assert "it would run a program" in await reason(home, "InvalidKubeConfig")
    lost = {**there, "clusters": [{"name": "sandbox", "cluster": {"server": "https://127.0.0.1:1"}}]}
    await home.shop.apply(secret("abroad", yaml.safe_dump(lost)))
    await home.repository.commit("into the void", {"deploy/more.yaml": text(config_map("lost"))})
    assert "127.0.0.1" in await reason(home, "ClusterUnavailable")
    await home.shop.apply(secret("abroad", yaml.safe_dump(there)))
    await home.applied(await home.repository.commit("more", {"deploy/more.yaml": text(config_map("more"))}))
    writes = sandbox.server.requests.writes(path=f"/namespaces/{namespace}/configmaps/more")
    assert {each.user for each in writes} == {f"system:serviceaccount:{namespace}:abroad"}
