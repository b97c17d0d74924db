"""Pods."""

import ipaddress

from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds import podspec
from rollout.sandbox.apiserver.kinds.checks import bad, forbidden
from rollout.sandbox.apiserver.resource import Object, copied

MUTABLE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
TOLERATIONS = [
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
]


def default(obj: Object) -> None:
    """The spec's defaults, and what admission adds; the first of a pod's addresses is its address."""
    status = obj.get("status") or {}
    if status.get("podIP") and not status.get("podIPs"):
        status["podIPs"] = [{"ip": status["podIP"]}]
    elif status.get("podIPs") and not status.get("podIP"):
        status["podIP"] = status["podIPs"][0]["ip"]
    spec = obj.setdefault("spec", {})
    podspec.default(spec)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    held = {item.get("key") for item in spec.get("tolerations") or ()}
    missing = [copied(item) for item in TOLERATIONS if item["key"] not in held]
    if missing:
        spec["tolerations"] = [*(spec.get("tolerations") or ()), *missing]


def prepare(new: Object, old: Object | None) -> None:
    """A new pod is pending."""
    if old is None:
        new["status"] = {"phase": "Pending", "qosClass": quality(new["spec"])}


def quality(spec: Object) -> str:
    """The quality-of-service class: Guaranteed, Burstable or BestEffort."""
    held = [container.get("resources") or {} for container in spec.get("containers") or ()]
    if not any(item.get("limits") or item.get("requests") for item in held):
        return "BestEffort"
    wanted = {"cpu", "memory"}
    if all(
        wanted <= set(item.get("limits") or {}) and item.get("limits") == item.get("requests")
        for item in held
    ):
        return "Guaranteed"
    return "Burstable"


def validate(new: Object, old: Object | None) -> list[Cause]:
    """The spec's rules; on update, that nothing else changes than may."""
    found = podspec.causes(new["spec"], "spec")
    if old is not None and _fixed(new["spec"]) != _fixed(old["spec"]):
        found.append(forbidden("spec", MUTABLE_TEXT))
    return found


def validate_status(new: Object, old: Object | None) -> list[Cause]:
    """Addresses are addresses."""
    del old
    found = []
    for at, item in enumerate((new.get("status") or {}).get("podIPs") or ()):
        try:
            ipaddress.ip_address(item.get("ip", ""))
        except ValueError:
            text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            found.append(bad(f"status.podIPs[{at}]", item.get("ip", ""), text))
    return found


def _fixed(spec: Object) -> Object:
    fixed = {key: value for key, value in spec.items() if key not in {"activeDeadlineSeconds", "tolerations"}}
    for key in ("containers", "initContainers"):
        if key in fixed:
            fixed[key] = [{k: v for k, v in item.items() if k != "image"} for item in fixed[key]]
    return fixed
