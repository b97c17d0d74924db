"""What stands in for kube-controller-manager beside a bare API server, as far as stories need it."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance import api
from conformance.api import Object, conditions
from conformance.mirror import Mirror, at
from conformance.standins import CONTROLLER, Part, Writes, write_status


def all_of(mirror: Mirror) -> list[Part]:
    """All of them, for one namespace."""
    return [ReplicaSets(mirror), Slices(mirror), Garbage(mirror)]


@dataclass(slots=True)
class ReplicaSets:
    """Makes and removes pods."""

    mirror: Mirror
    _made: dict[str, set[str]] = field(default_factory=dict)
    """Names of pods by their ReplicaSet's uid: the watch may be late to tell of them."""

    def __call__(self) -> Writes:
        """Pods and statuses that lack, or are too many."""
        for wanted in self.mirror.every(api.REPLICA_SETS):
            if not wanted["metadata"].get("deletionTimestamp"):
                yield from self._of(wanted)

    def _of(self, wanted: Object) -> Writes:
        pods = [pod for pod in self.mirror.every(api.PODS) if _owned(pod, wanted) and not _leaving(pod)]
        made = self._made.setdefault(wanted["metadata"]["uid"], set())
        made -= {entry.object["metadata"]["name"] for entry in self.mirror.journal if entry.kind == "pods"}
        count = at(wanted, "spec", "replicas") or 0
        for _ in range(count - len(pods) - len(made)):
            pod = _pod(wanted)
            made.add(pod["metadata"]["name"])
            yield self.mirror.api.create(api.PODS, pod)
        surplus = sorted(pods, key=lambda pod: conditions(pod).get("Ready") == "True")
        for pod in surplus[: max(len(pods) - count, 0)]:
            yield self.mirror.api.delete(api.PODS, self.mirror.namespace, pod["metadata"]["name"])
        status = _replica_set_status(wanted, pods)
        if any((wanted.get("status") or {}).get(key, 0) != value for key, value in status.items()):
            yield write_status(self.mirror, api.REPLICA_SETS, wanted, status)


def _replica_set_status(wanted: Object, pods: list[Object]) -> Object:
    ready = sum(conditions(pod).get("Ready") == "True" for pod in pods)
    return {
        "replicas": len(pods),
        "fullyLabeledReplicas": len(pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "observedGeneration": wanted["metadata"]["generation"],
    }


def _pod(wanted: Object) -> Object:
    meta, template = wanted["metadata"], wanted["spec"]["template"]
    suffix = "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **{key: template["metadata"].get(key) or {} for key in ("labels", "annotations")},
            "name": f"{meta['name']}-{suffix}",
            "namespace": meta["namespace"],
            "ownerReferences": [_reference(wanted, api.REPLICA_SETS)],
        },
        "spec": template["spec"],
    }


@dataclass(slots=True)
class Slices:
    """Keeps EndpointSlices, with one endpoint each: whoever reads but the first is found out."""

    mirror: Mirror

    def __call__(self) -> Writes:
        """Slices that lack, differ, or are of no use any more."""
        wanted = {body["metadata"]["name"]: body for body in self._wanted()}
        found = {each["metadata"]["name"]: each for each in self.mirror.every(api.SLICES)}
        for name in found.keys() - wanted.keys():
            yield self.mirror.api.delete(api.SLICES, self.mirror.namespace, name)
        for name, body in wanted.items():
            if name not in found:
                yield self.mirror.api.create(api.SLICES, body)
            elif found[name]["endpoints"] != body["endpoints"]:
                change = {"endpoints": body["endpoints"]}
                yield self.mirror.api.patch(api.SLICES, self.mirror.namespace, name, change)

    def _wanted(self) -> Iterable[Object]:
        for service in self.mirror.every(api.SERVICES):
            selector = at(service, "spec", "selector") or {}
            for pod in self.mirror.every(api.PODS):
                labels = pod["metadata"].get("labels") or {}
                if selector and selector.items() <= labels.items() and at(pod, "status", "podIP"):
                    yield _slice(service, pod)


def _slice(service: Object, pod: Object) -> Object:
    meta, target = service["metadata"], pod["metadata"]
    ready, leaving = conditions(pod).get("Ready") == "True", _leaving(pod)
    endpoint = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready and not leaving, "serving": ready, "terminating": leaving},
        "targetRef": {
            "kind": "Pod",
            "name": target["name"],
            "namespace": target["namespace"],
            "uid": target["uid"],
        },
    }
    return {
        "apiVersion": api.SLICES.api_version,
        "kind": api.SLICES.kind,
        "metadata": {
            "name": f"{meta['name']}-{target['name'].rpartition('-')[2]}",
            "namespace": meta["namespace"],
            "labels": {
                **(meta.get("labels") or {}),
                "kubernetes.io/service-name": meta["name"],
                "endpointslice.kubernetes.io/managed-by": CONTROLLER.replace("/", "."),
            },
            "ownerReferences": [_reference(service, api.SERVICES)],
        },
        "addressType": "IPv4",
        "endpoints": [endpoint],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


@dataclass(slots=True)
class Garbage:
    """Removes what is owned by what is gone."""

    mirror: Mirror

    def __call__(self) -> Writes:
        """Objects whose owner nobody was told of."""
        owners = (api.ROLLOUTS, api.REPLICA_SETS, api.SERVICES)
        alive = {each["metadata"]["uid"] for kind in owners for each in self.mirror.every(kind)}
        for kind in (api.REPLICA_SETS, api.RUNS, api.PODS, api.SLICES):
            for each in self.mirror.every(kind):
                owner = at(each, "metadata", "ownerReferences", 0)
                if owner and owner["uid"] not in alive and not _leaving(each):
                    yield self._remove(kind, each, owner)

    async def _remove(self, kind: api.Resource, each: Object, owner: Object) -> None:
        """Remove it where its owner is not there, indeed: watches of two kinds may be apart."""
        space = self.mirror.namespace
        found = await self.mirror.api.find(api.KINDS[owner["kind"]], space, owner["name"])
        if at(found, "metadata", "uid") != owner["uid"]:
            await self.mirror.api.delete(kind, space, each["metadata"]["name"])


def _reference(owner: Object, kind: api.Resource) -> Object:
    meta = owner["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _owned(found: Object, owner: Object) -> bool:
    return bool(at(found, "metadata", "ownerReferences", 0, "uid") == owner["metadata"]["uid"])


def _leaving(found: Object) -> bool:
    return "deletionTimestamp" in found["metadata"]
