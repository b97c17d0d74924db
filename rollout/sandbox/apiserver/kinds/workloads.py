"""ReplicaSets, Deployments, StatefulSets, DaemonSets and Jobs."""

from typing import Any

from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds import podspec
from rollout.sandbox.apiserver.kinds.checks import bad, immutable, not_negative, required, unsupported
from rollout.sandbox.apiserver.metadata import label_causes
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.selectors import matches_selector


def _template(obj: Object) -> Object:
    template: Object = obj.setdefault("spec", {}).setdefault("template", {})
    template.setdefault("metadata", {})
    podspec.default(template.setdefault("spec", {}))
    return template


def default_replica_set(obj: Object) -> None:
    """One replica."""
    _template(obj)
    obj["spec"].setdefault("replicas", 1)


def default_deployment(obj: Object) -> None:
    """One replica, a rolling update by quarters."""
    _template(obj)
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def default_stateful_set(obj: Object) -> None:
    """One replica, ordered."""
    _template(obj)
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})


def default_daemon_set(obj: Object) -> None:
    """A rolling update, one at a time."""
    _template(obj)
    spec = obj["spec"]
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault(
        "updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    )


def initial(status: Object) -> Any:
    """A `prepare` that sets the status of a new object."""

    def prepare(new: Object, old: Object | None) -> None:
        if old is None:
            new["status"] = dict(status)

    return prepare


def validate(new: Object, old: Object | None) -> list[Cause]:
    """Replicas, selector and template."""
    spec = new["spec"]
    found = not_negative("spec.replicas", spec.get("replicas"))
    found += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    selector = spec.get("selector")
    labels = spec["template"]["metadata"].get("labels") or {}
    if selector is None:
        found.append(required("spec.selector"))
    elif problems := _expressions(selector):
        found += problems
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        found.append(bad("spec.selector", {}, "empty selector is invalid for deployment"))
    if not matches_selector(selector, labels):
        text = "`selector` does not match template `labels`"
        found.append(bad("spec.template.metadata.labels", labels, text))
    found += label_causes(labels, "spec.template.labels")
    found += podspec.causes(spec["template"]["spec"], "spec.template.spec")
    if spec["template"]["spec"].get("restartPolicy") in {"OnFailure", "Never"}:
        policy = spec["template"]["spec"]["restartPolicy"]
        found.append(unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if old is not None and selector != old["spec"].get("selector"):
        found.append(immutable("spec.selector", selector))
    return found


def _expressions(selector: Object) -> list[Cause]:
    known = ("DoesNotExist", "Exists", "In", "NotIn")
    return [
        unsupported(f"spec.selector.matchExpressions[{at}].operator", item.get("operator", ""), known)
        for at, item in enumerate(selector.get("matchExpressions") or ())
        if item.get("operator") not in known
    ]


def validate_status(new: Object, old: Object | None) -> list[Cause]:
    """Counts that must not be negative or contradict one another."""
    del old
    status = new.get("status") or {}
    found = []
    for key in ("replicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas", "updatedReplicas"):
        found += not_negative(f"status.{key}", status.get(key))
    for key in ("readyReplicas", "availableReplicas", "fullyLabeledReplicas"):
        if status.get(key, 0) > status.get("replicas", 0):
            found.append(bad(f"status.{key}", status[key], "cannot be greater than status.replicas"))
    if status.get("availableReplicas", 0) > status.get("readyReplicas", 0):
        found.append(
            bad(
                "status.availableReplicas",
                status["availableReplicas"],
                "cannot be greater than readyReplicas",
            )
        )
    return found


def default_job(obj: Object) -> None:
    """One completion, one pod at a time, six retries."""
    template: Object = obj.setdefault("spec", {}).setdefault("template", {})
    template.setdefault("metadata", {})
    pod = template.setdefault("spec", {})
    policy = pod.get("restartPolicy")
    podspec.default(pod)
    if policy is None:
        del pod["restartPolicy"]
    spec = obj["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)


def prepare_job(new: Object, old: Object | None) -> None:
    """Labels that tie a job's pods to it, unless it brings its own selector."""
    if old is not None:
        return
    new["status"] = {}
    if new["spec"].get("manualSelector"):
        return
    uid, name = new["metadata"]["uid"], new["metadata"].get("name", "")
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    template = new["spec"]["template"]["metadata"]
    template["labels"] = {**(template.get("labels") or {}), **labels}
    new["metadata"]["labels"] = {**(new["metadata"].get("labels") or {}), **labels}
    new["spec"].setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})


def validate_job(new: Object, old: Object | None) -> list[Cause]:
    """Counts, policy and what may not change."""
    spec, pod = new["spec"], new["spec"]["template"]["spec"]
    found: list[Cause] = []
    for key in (
        "completions",
        "parallelism",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ):
        found += not_negative(f"spec.{key}", spec.get(key))
    policy = pod.get("restartPolicy")
    if policy is None:
        text = 'valid values: "OnFailure", "Never"'
        found.append(required("spec.template.spec.restartPolicy", text))
    elif policy == "Always":
        found.append(unsupported("spec.template.spec.restartPolicy", policy, ("OnFailure", "Never")))
    found += podspec.causes({"restartPolicy": "Never", **pod}, "spec.template.spec")
    if old is not None:
        before = old["spec"]
        for key in ("completions", "selector", "completionMode"):
            if spec.get(key) != before.get(key):
                found.append(immutable(f"spec.{key}", spec.get(key)))
        if spec["template"] != before["template"] and not before.get("suspend"):
            found.append(immutable("spec.template", spec["template"]))
    return found
