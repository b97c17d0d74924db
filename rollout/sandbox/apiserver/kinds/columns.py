"""Printer columns of built-in kinds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.sandbox.apiserver.ages import age
from rollout.sandbox.apiserver.kinds import cells
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.selectors import read_path


def describe(what: str) -> str:
    """The description that a common column carries."""
    return DESCRIPTIONS[what]


DESCRIPTIONS = {
    "name": (
        "Name must be unique within a namespace. Is required when creating resources, "
        "although some resources may "
        "allow a client to request the generation of an appropriate name automatically. Name "
        "is primarily intended "
        "for creation idempotence and configuration definition. Cannot be updated. More info: "
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
    ),
    "age": (
        "CreationTimestamp is a timestamp representing the server time when this object was "
        "created. It is not "
        "guaranteed to be set in happens-before order across separate operations. Clients "
        "may not set this value. It "
        "is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. "
        "Read-only. Null for lists. More "
        "info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
    ),
}


@dataclass(frozen=True, slots=True)
class BuiltinColumn:
    """A column and how its cell is read. Only common columns carry a description."""

    name: str
    cell: Callable[[Object], Any]
    type: str = "string"
    priority: int = 0
    description: str = ""

    def definition(self) -> Object:
        """The column's definition."""
        text = self.description or (DESCRIPTIONS["age"] if self.name == "Age" else "")
        return {
            "name": self.name,
            "type": self.type,
            "format": "",
            "description": text,
            "priority": self.priority,
        }


def _age(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _count(path: str) -> Callable[[Object], Any]:
    return lambda obj: int(read_path(obj, path) or 0)


def _text(path: str, absent: str = "") -> Callable[[Object], Any]:
    return lambda obj: read_path(obj, path) or absent


def _limit(field: str) -> Callable[[Object], Any]:
    """A budget's limit; 0 is one too."""
    return lambda obj: str(obj["spec"].get(field, "N/A"))


def _size(*fields: str) -> Callable[[Object], Any]:
    return lambda obj: sum(len(obj.get(field) or ()) for field in fields)


AGE = BuiltinColumn("Age", _age)
GENERIC: tuple[BuiltinColumn, ...] = (
    BuiltinColumn(
        "Created At", lambda obj: obj["metadata"].get("creationTimestamp"), "date", 0, DESCRIPTIONS["age"]
    ),
)
TEMPLATE = (
    BuiltinColumn("Containers", cells.containers, priority=1),
    BuiltinColumn("Images", cells.images, priority=1),
    BuiltinColumn("Selector", cells.selector, priority=1),
)
EVENT = (
    BuiltinColumn("Last Seen", cells.last_seen),
    BuiltinColumn("Type", _text("type")),
    BuiltinColumn("Reason", _text("reason")),
    BuiltinColumn("Object", cells.event_object),
    BuiltinColumn("Message", lambda obj: (obj.get("message") or obj.get("note") or "").strip()),
)
ROLE_BINDING = (BuiltinColumn("Role", cells.role_ref), AGE)
CREATED = (BuiltinColumn("Created At", lambda obj: obj["metadata"].get("creationTimestamp")),)
COLUMNS: dict[tuple[str, str], tuple[BuiltinColumn, ...]] = {
    ("", "ConfigMap"): (BuiltinColumn("Data", _size("data", "binaryData")), AGE),
    ("", "Secret"): (BuiltinColumn("Type", _text("type")), BuiltinColumn("Data", _size("data")), AGE),
    ("", "Namespace"): (BuiltinColumn("Status", _text("status.phase")), AGE),
    ("", "ServiceAccount"): (AGE,),
    ("", "Node"): (BuiltinColumn("Status", cells.node_status), AGE),
    ("", "Endpoints"): (BuiltinColumn("Endpoints", cells.endpoints), AGE),
    ("", "Event"): EVENT,
    ("events.k8s.io", "Event"): EVENT,
    ("", "Pod"): (
        BuiltinColumn("Ready", cells.pod_ready),
        BuiltinColumn("Status", cells.pod_status),
        BuiltinColumn("Restarts", cells.pod_restarts),
        AGE,
        BuiltinColumn("IP", _text("status.podIP", "<none>"), priority=1),
        BuiltinColumn("Node", _text("spec.nodeName", "<none>"), priority=1),
        BuiltinColumn("Nominated Node", _text("status.nominatedNodeName", "<none>"), priority=1),
        BuiltinColumn("Readiness Gates", lambda _: "<none>", priority=1),
    ),
    ("", "Service"): (
        BuiltinColumn("Type", _text("spec.type")),
        BuiltinColumn("Cluster-IP", _text("spec.clusterIP", "<none>")),
        BuiltinColumn("External-IP", _text("spec.externalName", "<none>")),
        BuiltinColumn("Port(s)", cells.service_ports),
        AGE,
        BuiltinColumn("Selector", cells.service_selector, priority=1),
    ),
    ("apps", "ReplicaSet"): (
        BuiltinColumn("Desired", _count("spec.replicas"), "integer"),
        BuiltinColumn("Current", _count("status.replicas"), "integer"),
        BuiltinColumn("Ready", _count("status.readyReplicas"), "integer"),
        AGE,
        *TEMPLATE,
    ),
    ("apps", "Deployment"): (
        BuiltinColumn("Ready", cells.deployment_ready),
        BuiltinColumn("Up-to-date", _count("status.updatedReplicas"), "integer"),
        BuiltinColumn("Available", _count("status.availableReplicas"), "integer"),
        AGE,
        *TEMPLATE,
    ),
    ("apps", "StatefulSet"): (BuiltinColumn("Ready", cells.deployment_ready), AGE, *TEMPLATE[:2]),
    ("batch", "Job"): (
        BuiltinColumn("Status", cells.job_status),
        BuiltinColumn("Completions", cells.job_completions),
        BuiltinColumn("Duration", cells.job_duration),
        AGE,
        *TEMPLATE,
    ),
    ("coordination.k8s.io", "Lease"): (BuiltinColumn("Holder", _text("spec.holderIdentity")), AGE),
    ("policy", "PodDisruptionBudget"): (
        BuiltinColumn("Min Available", _limit("minAvailable")),
        BuiltinColumn("Max Unavailable", _limit("maxUnavailable")),
        BuiltinColumn("Allowed Disruptions", _count("status.disruptionsAllowed"), "integer"),
        AGE,
    ),
    ("networking.k8s.io", "NetworkPolicy"): (
        BuiltinColumn(
            "Pod-Selector", lambda obj: cells.labels(obj["spec"].get("podSelector", {}).get("matchLabels"))
        ),
        AGE,
    ),
    ("discovery.k8s.io", "EndpointSlice"): (
        BuiltinColumn("AddressType", _text("addressType")),
        BuiltinColumn("Ports", cells.slice_ports),
        BuiltinColumn("Endpoints", cells.slice_endpoints),
        AGE,
    ),
    ("rbac.authorization.k8s.io", "Role"): CREATED,
    ("rbac.authorization.k8s.io", "ClusterRole"): CREATED,
    ("rbac.authorization.k8s.io", "RoleBinding"): ROLE_BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ROLE_BINDING,
}
