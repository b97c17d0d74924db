"""Evictions: a pod's deletion, if its PodDisruptionBudget allows it.

As pkg/registry/core/pod/storage/eviction.go of Kubernetes decides it.
"""

from collections.abc import Iterator
from typing import Any

from rollout.sandbox.apiserver import deletes, metadata
from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.errors import ApiError, bad_request, forbidden
from rollout.sandbox.apiserver.resource import POD_DISRUPTION_BUDGETS, Object
from rollout.sandbox.apiserver.selectors import matches_selector
from rollout.sandbox.apiserver.target import Target

MOST_DISRUPTED = 2000
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
ALLOWED_CONDITION = "DisruptionAllowed"
_WAIT_S = 10


def evict(api: Api, target: Target, body: Any, *, dry_run: bool) -> Object:
    """Delete the pod and count it against its budget; raises 429 where that is spent."""
    if not isinstance(body, dict) or body.get("kind", "Eviction") != "Eviction":
        raise bad_request("the body of an eviction must be an Eviction")
    if (body.get("metadata") or {}).get("name") != target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    pod = Target(target.served, target.namespace, target.name)
    options = deletes.parse_options(body.get("deleteOptions"), {"dryRun": "All"} if dry_run else {})
    current = api.writer.current(pod).obj
    if not _ignores_budgets(current):
        _count(api, current, dry_run=options.dry_run)
        if not options.dry_run and not options.resource_version:
            _say_why(api, pod, current)
    deletes.delete(api.writer, pod, options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _ignores_budgets(pod: Object) -> bool:
    """Whether the pod serves nobody: it has not begun, has ended, or is on its way out."""
    waiting = pod.get("status", {}).get("phase") in {"Succeeded", "Failed", "Pending"}
    return waiting or bool(pod["metadata"].get("deletionTimestamp"))


def _count(api: Api, pod: Object, *, dry_run: bool) -> None:
    """Take one disruption from the pod's budget, if it has one and the pod is healthy."""
    held = list(_budgets(api, pod))
    if len(held) > 1:
        raise ApiError(500, "", SEVERAL)
    if not held or _unhealthy_may_go(pod, held[0]):
        return
    budget = _spent(held[0], pod["metadata"]["name"])
    if not dry_run:
        served = api.served(POD_DISRUPTION_BUDGETS)
        api.writer.put(Target(served, pod["metadata"]["namespace"], budget["metadata"]["name"]), budget)


def _budgets(api: Api, pod: Object) -> Iterator[Object]:
    """The budgets that select a pod; one without a selector selects nothing."""
    meta = pod["metadata"]
    storage = api.served(POD_DISRUPTION_BUDGETS).storage
    for stored in api.store.list(storage, meta["namespace"]):
        selector = stored.obj["spec"].get("selector")
        if selector is not None and matches_selector(selector, meta.get("labels") or {}):
            yield stored.obj


def _unhealthy_may_go(pod: Object, budget: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
        return False
    status = budget["status"]
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    return bool(status["currentHealthy"] >= status["desiredHealthy"] > 0)


def _spent(budget: Object, pod: str) -> Object:
    """The budget with one disruption less."""
    meta, status = budget["metadata"], dict(budget["status"])
    if status.get("observedGeneration", 0) < meta["generation"]:
        raise _refused(
            f"The disruption budget {meta['name']} is still being processed by the server.", _WAIT_S
        )
    if len(status.get("disruptedPods") or ()) > MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise forbidden("policy", "poddisruptionbudget", meta["name"], why)
    if status["disruptionsAllowed"] <= 0:
        counts = f"{status['desiredHealthy']} healthy pods and has {status['currentHealthy']} currently"
        raise _refused(f"The disruption budget {meta['name']} needs {counts}", 0)
    status["disruptionsAllowed"] -= 1
    status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: metadata.now()}
    return {**budget, "status": with_condition(status)}


def with_condition(status: Object) -> Object:
    """A budget's status with the condition that says whether a pod may go."""
    allowed = status["disruptionsAllowed"] > 0
    held = {each["type"]: each for each in status.get("conditions") or ()}
    before = held.get(ALLOWED_CONDITION, {})
    wanted: Object = {
        "type": ALLOWED_CONDITION,
        "status": str(allowed),
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
        "observedGeneration": status.get("observedGeneration", 0),
    }
    changed = before.get("status") != wanted["status"]
    wanted["lastTransitionTime"] = metadata.now() if changed else before["lastTransitionTime"]
    return {**status, "conditions": [*({**held, ALLOWED_CONDITION: wanted}).values()]}


def _refused(why: str, seconds: int) -> ApiError:
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if seconds:
        details["retryAfterSeconds"] = seconds
    error = ApiError(429, "TooManyRequests", REFUSED, details)
    if seconds:
        error.headers["Retry-After"] = str(seconds)
    return error


def _say_why(api: Api, target: Target, pod: Object) -> None:
    """Mark the pod as disrupted by an eviction."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastProbeTime": None,
        "lastTransitionTime": metadata.now(),
    }
    status = pod.get("status") or {}
    others = [each for each in status.get("conditions") or () if each["type"] != condition["type"]]
    api.writer.put(target, {**pod, "status": {**status, "conditions": [*others, condition]}})
