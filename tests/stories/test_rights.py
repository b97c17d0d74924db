"""The operator gets by with the rights that `deploy/` grants, and uses what it is granted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import manifests
import pytest
import yaml
from manifests import JUDGED, NAME, errors
from prometheus_fake import FakePrometheus
from repository import Repository, git_source, text
from stage import GIT_SOURCES, OPERATOR, ROLLOUTS, ROUTES, Shop, until
from typer.testing import CliRunner

from rollout.api.status import Phase
from rollout.cli.app import app
from rollout.demo.operator_process import rights
from rollout.gitops.applying import MANAGER
from rollout.sandbox.apiserver import paths
from rollout.sandbox.apiserver.requests import Request
from rollout.sandbox.cluster import Sandbox

pytestmark = pytest.mark.usefixtures("lone_operator")

Right = tuple[str, str, str]
"""Group, resource (with its subresource) and verb."""
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
GROUP = "progressive.delivery"
APPLIED = (
    (GROUP, "analysistemplates"),
    ("", "configmaps"),
    ("apps", "deployments"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("policy", "poddisruptionbudgets"),
    (GROUP, "rollouts"),
    ("", "services"),
    ("gateway.networking.k8s.io", "httproutes"),
)
REASONS: dict[Right, str] = {
    (GROUP, "rollouts/finalizers", "update"): "asked for where OwnerReferencesPermissionEnforcement is on",
    **{(group, kind, "delete"): "what left Git goes where prune is asked for" for group, kind in APPLIED},
    (GROUP, "analysisruns", "delete"): "one that counted nothing begins anew when its templates are mended",
    ("apps", "replicasets", "delete"): "those beyond revisionHistoryLimit",
    ("apps", "replicasets", "get"): "one of our name is there before the cache shows it",
    ("coordination.k8s.io", "leases", "get"): "after a conflict",
    **{
        (*kind, verb): "where a controller makes Secrets of them"
        for kind in (("bitnami.com", "sealedsecrets"), ("external-secrets.io", "externalsecrets"))
        for verb in ("get", "create", "patch", "delete")
    },
    (GROUP, "gitsources", "patch"): "a replica that hears a webhook for another one",
}
"""What is granted and not used by the story below, and why it is granted."""


APPLIER = ("rollout-applier-workloads",)
OWN = ("rollout",)


def granted(*roles: str) -> set[Right]:
    """By the roles of these names."""
    return {
        (group, resource, verb)
        for body in rights()
        if body["metadata"]["name"] in roles
        for rule in body.get("rules") or ()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(request: Request) -> Iterator[Right]:
    """What a request needed."""
    named = paths.parse(request.path)
    if named is None:
        return
    verb = VERBS.get(request.method, "get" if named.name else "list")
    if verb == "list" and request.query.get("watch"):
        verb = "watch"
    resource = f"{named.resource.plural}/{named.subresource}".rstrip("/")
    yield (named.resource.group, resource, verb)
    if request.method == "PATCH" and request.status == 201:  # an apply that creates
        yield (named.resource.group, resource, "create")


def extras() -> list[dict[str, Any]]:
    """One of every kind that Git may hold beside a Rollout and what it refers to."""
    selector = {"matchLabels": {"app": "helper"}}
    template = {**manifests.template("shop:v1"), "metadata": {"labels": {"app": "helper"}}}
    specs: dict[tuple[str, str], dict[str, Any]] = {
        ("v1", "ConfigMap"): {"data": {"colour": "blue"}},
        ("apps/v1", "Deployment"): {"spec": {"replicas": 0, "selector": selector, "template": template}},
        ("policy/v1", "PodDisruptionBudget"): {"spec": {"minAvailable": 1, "selector": selector}},
        ("autoscaling/v2", "HorizontalPodAutoscaler"): {
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "helper"},
                "maxReplicas": 2,
            }
        },
    }
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": "helper"}, **rest}
        for (version, kind), rest in specs.items()
    ]


async def apply_printed(shop: Shop, home: Path) -> None:
    """What an administrator does whom the error told to."""
    printed = CliRunner().invoke(app, ["manifests", "--secrets-in", shop.namespace])
    assert printed.exit_code == 0
    file = home / "secrets.yaml"
    file.write_text(printed.output)
    assert {body["metadata"]["namespace"] for body in yaml.safe_load_all(printed.output)} == {shop.namespace}
    await shop.kubectl("apply", "--server-side", "-f", str(file))


async def forbidden(shop: Shop) -> str:
    """Why the GitSource is not ready, once that is for want of a right."""

    async def told() -> str:
        status = (await shop.get(GIT_SOURCES)).get("status") or {}
        ready = [each for each in status.get("conditions") or () if each["type"] == "Ready"]
        found = ready and ready[0]["reason"] == "SecretForbidden"
        return str(ready[0]["message"]) if found else ""

    message: str = await until("the missing right to be named", told)
    return message


async def there(shop: Shop) -> bool:
    return bool(await shop.every(ROLLOUTS))


async def a_life(shop: Shop, judge: FakePrometheus, home: Path) -> None:
    """From Git, by a Secret that an administrator has to open first; judged, promoted, aborted, deleted."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"}, "stringData": {"token": "t"}}
    files = {
        "deploy/rollout.yaml": text(manifests.rollout(canary=JUDGED)),
        "deploy/rest.yaml": text(*manifests.traffic(), errors(judge.url), *extras()),
    }
    repository = await Repository.with_files(home, files)
    await shop.apply(secret, git_source(repository.url, secretRef={"name": "git"}))
    message = await forbidden(shop)
    assert message.startswith(
        f"spec.secretRef.name: the operator may not read Secrets in the namespace '{shop.namespace}'"
    )
    assert f"rollout manifests --secrets-in {shop.namespace}" in message
    await apply_printed(shop, home)
    asked_again = {"metadata": {"annotations": {"progressive.delivery/requestedAt": "now"}}}
    await shop.patch(GIT_SOURCES, NAME, asked_again)
    await until("the Rollout", lambda: there(shop))
    await shop.phase(Phase.HEALTHY)

    changed = text(manifests.rollout("shop:v2", canary=JUDGED))
    await repository.commit("bump", {"deploy/rollout.yaml": changed})
    await shop.paused(50)
    await shop.annotate("abort")
    await shop.phase(Phase.DEGRADED)
    await shop.annotate("retry")
    await shop.paused(50)
    await shop.patch(
        ROUTES, NAME, [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 70}]
    )
    await shop.weighs(50)
    await shop.annotate("promote-full")
    await shop.serving("shop:v2")
    await shop.delete(GIT_SOURCES, NAME)
    await shop.delete(ROLLOUTS, NAME)

    async def gone() -> bool:
        return not await there(shop)

    await until("the Rollout to go", gone)


async def test_what_is_granted_is_used_and_what_is_used_is_granted(
    lonely: Sandbox, judge: FakePrometheus, tmp_path: Path
) -> None:
    shop = await Shop.open(lonely, judge)
    await a_life(shop, judge, tmp_path)
    mine = [each for each in lonely.server.requests.entries if each.user == OPERATOR]
    denied = {each.path for each in mine if each.status == 403}
    assert denied == {f"/api/v1/namespaces/{shop.namespace}/secrets/git"}, "until an administrator opened it"
    assert [each.path for each in mine if each.status == 501] == []
    needed = {right for each in mine for right in used(each)} - {("", "secrets", "get")}
    every = granted(*OWN, *APPLIER)
    assert needed <= every
    applied = {right for each in mine if each.query.get("fieldManager") == MANAGER for right in used(each)}
    own = {
        right
        for each in mine
        if each.writes and each.query.get("fieldManager") != MANAGER
        for right in used(each)
    }
    assert applied <= granted(*APPLIER)
    assert own <= granted(*OWN), "it works without the applier's role where no GitSource is used"
    assert every - needed == set(REASONS)
