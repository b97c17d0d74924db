"""Names of resources: what a path or a controller asks for."""

import marshal
from dataclasses import dataclass
from typing import Any, TypeVar

Object = dict[str, Any]
"""A Kubernetes object as JSON: keys are strings, values are JSON values."""


T = TypeVar("T")


def copied(value: T) -> T:
    """A deep copy of a JSON value."""
    json_value: Any = value
    found: T = marshal.loads(marshal.dumps(json_value))  # noqa: S302 -- our own bytes; thrice as fast as a walk
    return found


@dataclass(frozen=True, slots=True)
class Resource:
    """A group, version and plural name; the core group is the empty string."""

    group: str
    version: str
    plural: str

    @property
    def group_version(self) -> str:
        """The `apiVersion` of the objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self) -> tuple[str, str]:
        """What identifies the stored objects: versions of one resource share them."""
        return (self.group, self.plural)

    @property
    def qualified(self) -> str:
        """The name messages use: `configmaps`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


NAMESPACES = Resource("", "v1", "namespaces")
PODS = Resource("", "v1", "pods")
SERVICES = Resource("", "v1", "services")
ENDPOINTS = Resource("", "v1", "endpoints")
CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
EVENTS = Resource("", "v1", "events")
NODES = Resource("", "v1", "nodes")
REPLICA_SETS = Resource("apps", "v1", "replicasets")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
JOBS = Resource("batch", "v1", "jobs")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
EVENTS_V1 = Resource("events.k8s.io", "v1", "events")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles")
CLUSTER_ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
CUSTOM_RESOURCE_DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
