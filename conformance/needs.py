"""What a run needs of a cluster, and what it finds there."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from conformance import api, manifests
from conformance.api import Api, Object, conditions
from conformance.installing import LABEL, Ledger

OLDEST = (1, 33)
PROBE_S = 5.0
READY_S = 45.0
RIGHTS: tuple[tuple[str, str, str], ...] = (
    *((verb, "", "namespaces") for verb in ("create", "delete")),
    *(
        (verb, "rbac.authorization.k8s.io", kind)
        for kind in ("clusterroles", "clusterrolebindings")
        for verb in ("create", "delete", "escalate")
        if (kind, verb) != ("clusterrolebindings", "escalate")
    ),
    ("bind", "rbac.authorization.k8s.io", "clusterroles"),
    *((verb, "apiextensions.k8s.io", "customresourcedefinitions") for verb in ("create", "delete")),
    ("create", "", "serviceaccounts/token"),
    *((verb, "", "pods") for verb in ("list", "watch", "delete")),
    ("patch", "", "pods/status"),
    *((verb, "", "services") for verb in ("create", "patch", "watch")),
    *((verb, "apps", "replicasets") for verb in ("create", "watch")),
    ("watch", "discovery.k8s.io", "endpointslices"),
    ("patch", "gateway.networking.k8s.io", "httproutes/status"),
    *((verb, "progressive.delivery", "rollouts") for verb in ("create", "patch", "delete", "watch")),
)


class Need(StrEnum):
    """What a story can need that not every run has."""

    METRICS = "metrics"
    CONTROLLERS = "controllers"
    OWN_OPERATOR = "own operator"
    SCRIPTED = "scripted pods"


class Unfit(Exception):  # noqa: N818 -- it reads as what it says
    """This cluster can't be used; the text says why and what to do."""


@dataclass(slots=True)
class Found:
    """A cluster as it is."""

    version: str
    definitions: bool
    """Whether our kinds are there already."""
    routes: bool
    """Whether the Gateway API is there already."""
    controllers: bool = True
    scripted: bool = False
    lacking: dict[Need, str] = field(default_factory=dict)
    """What stories can't have, and why."""


async def look(client: Api, *, beside_others: bool) -> Found:
    """What can be seen without writing. Raises Unfit."""
    told = await client.call("GET", "/version")
    digits = [int(re.sub(r"\D", "", told[part]) or 0) for part in ("major", "minor")]
    if tuple(digits) < OLDEST:
        raise Unfit(f"Kubernetes {told['gitVersion']}: 1.33 or later is needed")
    missing = await _missing_rights(client)
    if missing:
        raise Unfit(f"this user may not: {', '.join(missing)}; use an administrator's kubeconfig")
    found = Found(
        told["gitVersion"],
        definitions=await _defined(client, api.ROLLOUTS),
        routes=await _defined(client, api.ROUTES),
    )
    if found.definitions and not beside_others:
        await _refuse_others(client)
    return found


async def _defined(client: Api, resource: api.Resource) -> bool:
    return await client.find(api.DEFINITIONS, None, f"{resource.plural}.{resource.group}") is not None


async def _refuse_others(client: Api) -> None:
    ours = {
        each["metadata"]["name"]
        for each in (await client.list(api.NAMESPACES))[0]
        if LABEL in (each["metadata"].get("labels") or {})
    }
    places = {each["metadata"]["namespace"] for each in (await client.list(api.ROLLOUTS))[0]} - ours
    if places:
        raise Unfit(
            f"there are Rollouts in {', '.join(sorted(places))}, which the operator under test would serve, "
            "too; use another cluster, or --beside-others where that is meant"
        )


async def _missing_rights(client: Api) -> list[str]:
    async def ask(verb: str, group: str, resource: str) -> str:
        allowed = await client.may(verb, group, resource)
        return "" if allowed else f"{verb} {resource}{'.' if group else ''}{group}"

    answers = await asyncio.gather(*(ask(*right) for right in RIGHTS))
    return [each for each in answers if each]


async def probe(ledger: Ledger, found: Found, image: str, pods: str) -> None:
    """Find out, in a namespace of its own, who looks after ReplicaSets and pods."""
    namespace = await ledger.namespace("probe")
    await ledger.api.create(api.REPLICA_SETS, _replica_set(namespace, image))
    found.controllers = await _any(ledger.api, namespace, PROBE_S, lambda _: True)
    ledger.controllers = found.controllers
    real = found.controllers and pods != "scripted" and (pods == "real" or await _has_nodes(ledger.api))
    if real:
        ready = await _any(ledger.api, namespace, READY_S, lambda pod: conditions(pod).get("Ready") == "True")
        if pods == "real" and not ready:
            raise Unfit(f"a pod of {image} does not get ready within {READY_S:g} s; see --image and --pods")
        real = ready
    found.scripted = not real
    if not found.controllers:
        reason = "no controllers run beside this API server"
        found.lacking[Need.CONTROLLERS] = reason
    if not found.scripted:
        found.lacking[Need.SCRIPTED] = "pods are real here; --pods scripted"
    await ledger.empty(namespace)


async def _has_nodes(client: Api) -> bool:
    nodes, _ = await client.list(api.NODES)
    return any(conditions(node).get("Ready") == "True" for node in nodes)


async def _any(client: Api, namespace: str, seconds: float, good: Callable[[Object], bool]) -> bool:
    """Whether a pod that is `good` shows up in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not any(good(pod) for pod in (await client.list(api.PODS, namespace))[0]):
                await asyncio.sleep(0.1)
            return True
    return False


def _replica_set(namespace: str, image: str) -> Object:
    template = manifests.pod("probe", image, scripted=False)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "probe", "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": manifests.LABELS}, "template": template},
    }
