import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout import __version__, manifests
from rollout.kube import kinds
from rollout.kube.kinds import Resource

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy/base"
WATCHED = [
    each
    for each in vars(kinds).values()
    if isinstance(each, Resource)
    and each.plural
    not in {"secrets", "serviceaccounts", "events", "leases", "namespaces", "customresourcedefinitions"}
]


def objects(*paths: Path) -> list[dict[str, Any]]:
    return [body for path in paths for body in yaml.safe_load_all(path.read_text())]


def everything() -> list[dict[str, Any]]:
    folders = (BASE, ROOT / "deploy/tenant", ROOT / "deploy/account", ROOT / "deploy/overlays/admission")
    files = (path for folder in folders for path in folder.glob("*.yaml"))
    left_out = {manifests.KUSTOMIZATION, "deployment.patch.yaml"}
    return objects(*(path for path in files if path.name not in left_out))


def rules(*kinds_of_role: str) -> Iterator[dict[str, Any]]:
    for body in everything():
        if body["kind"] in kinds_of_role:
            yield from body["rules"]


def operator() -> dict[str, Any]:
    (body,) = objects(BASE / "deployment.yaml")
    pod: dict[str, Any] = body["spec"]["template"]["spec"]
    return pod


def test_no_role_has_a_wildcard() -> None:
    for rule in rules("ClusterRole", "Role"):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_no_role_lets_the_operator_become_somebody_else_but_one_account_of_a_tenant() -> None:
    (acts,) = [rule for rule in rules("ClusterRole", "Role") if "impersonate" in rule["verbs"]]
    assert acts in list(rules("Role"))
    assert (acts["resources"], acts["resourceNames"]) == (["serviceaccounts"], ["deployer"])
    for rule in rules("ClusterRole", "Role"):
        assert not {"escalate", "bind"} & set(rule["verbs"])
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"]
        assert not {"pods/exec", "serviceaccounts/token"} & set(rule["resources"])


def test_secrets_are_read_only_in_namespaces_that_were_named() -> None:
    assert not [rule for rule in rules("ClusterRole") if "secrets" in rule["resources"]]
    (rule,) = [rule for rule in rules("Role") if "secrets" in rule["resources"]]
    assert rule["verbs"] == ["get"]


@pytest.mark.parametrize("resource", [pytest.param(each, id=str(each)) for each in WATCHED])
def test_the_operator_may_watch_what_it_follows(resource: Resource) -> None:
    granted = {
        verb
        for rule in objects(BASE / "clusterrole.yaml")[0]["rules"]
        if resource.group in rule["apiGroups"] and resource.plural in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {"list", "watch"} <= granted


def test_the_operator_runs_without_any_privilege() -> None:
    pod = operator()
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert all("emptyDir" in volume for volume in pod["volumes"])
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_operator_is_probed_where_it_answers() -> None:
    (container,) = operator()["containers"]
    port = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert port == {"metrics": 8080, "webhooks": 8081}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert set(container["resources"]) == {"requests", "limits"}


def test_the_image_is_of_this_version() -> None:
    (container,) = operator()["containers"]
    assert container["image"] == f"rollout:{__version__}"
    assert f"-t rollout:{__version__} ." in (ROOT / "deploy/Dockerfile").read_text()


def test_settings_in_the_environment_are_settings() -> None:
    from rollout.settings import Settings

    (container,) = operator()["containers"]
    known = {f"ROLLOUT_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert {each["name"] for each in container["env"]} <= known


def test_the_package_prints_every_file_of_the_base() -> None:
    printed = list(yaml.safe_load_all(manifests.rendered()))
    named = {path.name for path in BASE.glob("*.yaml")} - {manifests.KUSTOMIZATION}
    assert {(body["kind"], body["metadata"]["name"]) for body in printed} == {
        (body["kind"], body["metadata"]["name"]) for body in objects(*(BASE / name for name in named))
    }


def test_the_image_can_be_chosen() -> None:
    assert re.findall(r"image: (\S+)", manifests.rendered("registry.example.com/rollout:1")) == [
        "registry.example.com/rollout:1"
    ]


def test_two_replicas_share_a_node_only_where_there_is_no_other() -> None:
    (deployment,) = objects(BASE / "deployment.yaml")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    pod = deployment["spec"]["template"]["spec"]
    preferred = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    (spread,) = pod["topologySpreadConstraints"]
    assert [each["podAffinityTerm"]["topologyKey"] for each in preferred] == ["kubernetes.io/hostname"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == (
        "topology.kubernetes.io/zone",
        "ScheduleAnyway",
    )


@pytest.mark.parametrize(
    "file", ["poddisruptionbudget.yaml", "networkpolicy.yaml", "service.yaml", "webhooks.yaml"]
)
def test_what_selects_the_operators_pods_selects_them(file: str) -> None:
    (deployment,) = objects(BASE / "deployment.yaml")
    (body,) = objects(BASE / file)
    spec = body["spec"]
    selector = spec.get("podSelector") or spec["selector"]
    labels = selector.get("matchLabels", selector)
    assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"] == labels


def test_a_drain_takes_one_replica_at_a_time() -> None:
    (budget,) = objects(BASE / "poddisruptionbudget.yaml")
    assert budget["spec"]["maxUnavailable"] == 1


def test_in_come_scrapes_and_webhooks_alone_and_out_goes_what_the_operator_asks() -> None:
    (policy,) = objects(BASE / "networkpolicy.yaml")
    spec = policy["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    (inward,) = spec["ingress"]
    assert [port["port"] for port in inward["ports"]] == ["metrics", "webhooks"]
    out = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
    assert out == {53, 443, 6443, 22, 9090}


def test_the_image_reaps_its_children_and_runs_as_nobody() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["tini", "--", "rollout"]' in lines
    assert "USER 65532:65532" in lines
