"""Kinds of the API server and where they are served."""

from dataclasses import dataclass
from urllib.parse import quote

from rollout.api.meta import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as one API version serves it."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As manifests write it: `apps/v1`, `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        """As kubectl writes it: `replicasets.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The path of one object, or of the collection: of all namespaces where `namespace` is None."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace and self.namespaced else ""
        parts = (quote(part, safe="") for part in (self.plural, name, subresource) if part)
        return f"{root}{within}/{'/'.join(parts)}"


def ours(plural: str, kind: str, *, group: str = GROUP, namespaced: bool = True) -> Resource:
    """A kind of this project, under `group`."""
    return Resource(group, VERSION, plural, kind, namespaced)


ROLLOUTS = ours("rollouts", "Rollout")
ANALYSIS_RUNS = ours("analysisruns", "AnalysisRun")
ANALYSIS_TEMPLATES = ours("analysistemplates", "AnalysisTemplate")
CLUSTER_ANALYSIS_TEMPLATES = ours("clusteranalysistemplates", "ClusterAnalysisTemplate", namespaced=False)
GIT_SOURCES = ours("gitsources", "GitSource")

REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS = Resource("", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
