"""The strategy of each built-in kind that has one."""

from rollout.sandbox.apiserver import names
from rollout.sandbox.apiserver.kinds import (
    budgets,
    config,
    crd_rules,
    definitions,
    events,
    leases,
    namespaces,
    pods,
    services,
    slices,
    webhooks,
    workloads,
)
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Default, Strategy

SPEC: Object = {"spec": {}, "status": {}}


def _workload(default: Default, status: dict[str, int]) -> Strategy:
    return Strategy(
        default=default,
        prepare=workloads.initial(status),
        validate=workloads.validate,
        validate_status=workloads.validate_status,
        generation=True,
        skeleton={"spec": {"template": {"metadata": {}, "spec": {}}, "strategy": {}}, "status": {}},
    )


STRATEGIES: dict[tuple[str, str], Strategy] = {
    ("", "ConfigMap"): Strategy(validate=config.validate_config_map),
    ("", "Secret"): Strategy(
        default=config.default_secret, validate=config.validate_secret, fields=("type",)
    ),
    ("", "Namespace"): Strategy(
        prepare=namespaces.prepare,
        name_problems=namespaces.name_problems,
        fields=("status.phase",),
        skeleton=SPEC,
    ),
    ("", "Pod"): Strategy(
        default=pods.default,
        prepare=pods.prepare,
        validate=pods.validate,
        validate_status=pods.validate_status,
        generation=True,
        fields=(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
        returns_deleted=True,
        skeleton=SPEC,
    ),
    ("", "Service"): Strategy(
        default=services.default,
        prepare=services.prepare,
        validate=services.validate,
        name_problems=names.dns1035,
        fields=("spec.clusterIP", "spec.type"),
        returns_deleted=True,
        skeleton=SPEC,
    ),
    ("", "ServiceAccount"): Strategy(returns_deleted=True),
    ("", "Event"): Strategy(default=events.default_old, validate=events.validate_old, fields=events.FIELDS),
    ("events.k8s.io", "Event"): Strategy(
        default=events.default_new, validate=events.validate_new, fields=events.FIELDS
    ),
    ("", "Node"): Strategy(fields=("spec.unschedulable",), skeleton=SPEC),
    ("apps", "ReplicaSet"): _workload(workloads.default_replica_set, {"replicas": 0}),
    ("apps", "Deployment"): _workload(workloads.default_deployment, {}),
    ("apps", "StatefulSet"): _workload(
        workloads.default_stateful_set, {"replicas": 0, "availableReplicas": 0}
    ),
    ("apps", "DaemonSet"): _workload(
        workloads.default_daemon_set,
        {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0},
    ),
    ("batch", "Job"): Strategy(
        default=workloads.default_job,
        prepare=workloads.prepare_job,
        validate=workloads.validate_job,
        generation=True,
        fields=("status.successful",),
        skeleton=SPEC,
    ),
    ("discovery.k8s.io", "EndpointSlice"): Strategy(
        default=slices.default, prepare=slices.prepare, validate=slices.validate, generation=True
    ),
    ("coordination.k8s.io", "Lease"): Strategy(validate=leases.validate, skeleton={"spec": {}}),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Strategy(
        default=definitions.default,
        prepare=definitions.prepare,
        validate=crd_rules.validate,
        warnings=crd_rules.format_warnings,
        generation=True,
        skeleton=SPEC,
    ),
    **{
        ("rbac.authorization.k8s.io", kind): Strategy(name_problems=names.path_segment)
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    },
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): Strategy(
        default=webhooks.default, validate=webhooks.validate, generation=True
    ),
    ("policy", "PodDisruptionBudget"): Strategy(
        prepare=budgets.prepare, validate=budgets.validate, generation=True, skeleton=SPEC
    ),
    ("networking.k8s.io", "Ingress"): Strategy(generation=True, skeleton=SPEC),
    ("networking.k8s.io", "NetworkPolicy"): Strategy(generation=True, skeleton=SPEC),
    ("batch", "CronJob"): Strategy(generation=True, skeleton=SPEC),
    ("autoscaling", "HorizontalPodAutoscaler"): Strategy(skeleton=SPEC),
}
