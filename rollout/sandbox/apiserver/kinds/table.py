"""The kinds of Kubernetes that this server knows, with their names, verbs and subresources."""

from dataclasses import dataclass, field

from rollout.sandbox.apiserver.resource import Resource

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE = ("create",)
STATUS = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path under an object: `status`, `scale`, `eviction`."""

    name: str
    kind: str
    group: str = ""
    version: str = ""
    verbs: tuple[str, ...] = STATUS


@dataclass(frozen=True, slots=True)
class KindName:
    """A kind's names and what may be done with it."""

    resource: Resource
    kind: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = field(default=())

    @property
    def list_kind(self) -> str:
        """The kind of lists."""
        return f"{self.kind}List"

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name, if it has one."""
        return next((sub for sub in self.subresources if sub.name == name), None)


PROXY_VERBS = ("create", "delete", "get", "patch", "update")
SCALE = Subresource("scale", "Scale", "autoscaling", "v1")


def _kind(
    group_version: str,
    kind: str,
    plural: str,
    short: str = "",
    subs: tuple[Subresource, ...] = (),
    *,
    cluster: bool = False,
    all_: bool = False,
    category: str = "",
    verbs: tuple[str, ...] = ALL_VERBS,
    status: bool = False,
) -> KindName:
    group, _, version = group_version.rpartition("/")
    own = (Subresource("status", kind),) if status else ()
    return KindName(
        Resource(group, version, plural),
        kind,
        kind.lower(),
        namespaced=not cluster,
        short_names=tuple(short.split()),
        categories=("all",) if all_ else (category,) if category else (),
        verbs=verbs,
        subresources=tuple(sorted((*subs, *own), key=lambda sub: sub.name)),
    )


POD_SUBRESOURCES = (
    Subresource("attach", "PodAttachOptions", verbs=("create", "get")),
    Subresource("binding", "Binding", verbs=CREATE),
    Subresource("ephemeralcontainers", "Pod"),
    Subresource("eviction", "Eviction", "policy", "v1", verbs=CREATE),
    Subresource("exec", "PodExecOptions", verbs=("create", "get")),
    Subresource("log", "Pod", verbs=("get",)),
    Subresource("portforward", "PodPortForwardOptions", verbs=("create", "get")),
    Subresource("proxy", "PodProxyOptions", verbs=PROXY_VERBS),
    Subresource("resize", "Pod"),
)
TOKEN = Subresource("token", "TokenRequest", "authentication.k8s.io", "v1", verbs=CREATE)

KINDS: tuple[KindName, ...] = (
    _kind("v1", "Binding", "bindings", verbs=CREATE),
    _kind("v1", "ComponentStatus", "componentstatuses", "cs", cluster=True, verbs=("get", "list")),
    _kind("v1", "ConfigMap", "configmaps", "cm"),
    _kind("v1", "Endpoints", "endpoints", "ep"),
    _kind("v1", "Event", "events", "ev"),
    _kind("v1", "LimitRange", "limitranges", "limits"),
    _kind(
        "v1",
        "Namespace",
        "namespaces",
        "ns",
        (Subresource("finalize", "Namespace", verbs=("update",)),),
        cluster=True,
        status=True,
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    ),
    _kind(
        "v1",
        "Node",
        "nodes",
        "no",
        (Subresource("proxy", "NodeProxyOptions", verbs=PROXY_VERBS),),
        cluster=True,
        status=True,
    ),
    _kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", status=True),
    _kind("v1", "PersistentVolume", "persistentvolumes", "pv", cluster=True, status=True),
    _kind("v1", "Pod", "pods", "po", POD_SUBRESOURCES, all_=True, status=True),
    _kind("v1", "PodTemplate", "podtemplates"),
    _kind("v1", "ReplicationController", "replicationcontrollers", "rc", (SCALE,), all_=True, status=True),
    _kind("v1", "ResourceQuota", "resourcequotas", "quota", status=True),
    _kind("v1", "Secret", "secrets"),
    _kind("v1", "ServiceAccount", "serviceaccounts", "sa", (TOKEN,)),
    _kind(
        "v1",
        "Service",
        "services",
        "svc",
        (Subresource("proxy", "ServiceProxyOptions", verbs=PROXY_VERBS),),
        all_=True,
        status=True,
    ),
    _kind("apps/v1", "ControllerRevision", "controllerrevisions"),
    _kind("apps/v1", "DaemonSet", "daemonsets", "ds", all_=True, status=True),
    _kind("apps/v1", "Deployment", "deployments", "deploy", (SCALE,), all_=True, status=True),
    _kind("apps/v1", "ReplicaSet", "replicasets", "rs", (SCALE,), all_=True, status=True),
    _kind("apps/v1", "StatefulSet", "statefulsets", "sts", (SCALE,), all_=True, status=True),
    _kind("events.k8s.io/v1", "Event", "events", "ev"),
    _kind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", cluster=True, verbs=CREATE),
    _kind("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", cluster=True, verbs=CREATE),
    _kind("authorization.k8s.io/v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=CREATE),
    _kind(
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        cluster=True,
        verbs=CREATE,
    ),
    _kind(
        "authorization.k8s.io/v1",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        cluster=True,
        verbs=CREATE,
    ),
    _kind(
        "authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", cluster=True, verbs=CREATE
    ),
    _kind(
        "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", all_=True, status=True
    ),
    _kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        cluster=True,
        category="api-extensions",
    ),
    _kind("batch/v1", "CronJob", "cronjobs", "cj", all_=True, status=True),
    _kind("batch/v1", "Job", "jobs", all_=True, status=True),
    _kind("networking.k8s.io/v1", "Ingress", "ingresses", "ing", status=True),
    _kind("networking.k8s.io/v1", "IngressClass", "ingressclasses", cluster=True),
    _kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol"),
    _kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", status=True),
    _kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", cluster=True),
    _kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", cluster=True),
    _kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    _kind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    _kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc", cluster=True),
    _kind("coordination.k8s.io/v1", "Lease", "leases"),
    _kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    _kind(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd crds",
        cluster=True,
        category="api-extensions",
        status=True,
    ),
)
