"""Cells of the tables of built-in kinds, as kubectl has always shown them."""

from datetime import datetime
from typing import Any

from rollout.sandbox.apiserver.ages import age
from rollout.sandbox.apiserver.resource import Object


def _pod_spec(obj: Object) -> Object:
    spec: Object = obj["spec"].get("template", {}).get("spec", {})
    return spec


def containers(obj: Object) -> str:
    """The names of the template's containers."""
    return ",".join(item.get("name", "") for item in _pod_spec(obj).get("containers") or ())


def images(obj: Object) -> str:
    """The images of the template's containers."""
    return ",".join(item.get("image", "") for item in _pod_spec(obj).get("containers") or ())


def selector(obj: Object) -> str:
    """A workload's selector."""
    return labels((obj["spec"].get("selector") or {}).get("matchLabels"))


def service_selector(obj: Object) -> str:
    """A Service's selector."""
    return labels(obj["spec"].get("selector"))


def labels(held: dict[str, str] | None) -> str:
    """Labels as text."""
    return ",".join(f"{key}={value}" for key, value in sorted((held or {}).items())) or "<none>"


def pod_ready(obj: Object) -> str:
    """Ready containers of all."""
    statuses = obj.get("status", {}).get("containerStatuses") or ()
    ready = sum(bool(item.get("ready")) for item in statuses)
    return f"{ready}/{len(obj['spec'].get('containers') or ())}"


def pod_restarts(obj: Object) -> str:
    """How often containers were started again."""
    statuses = obj.get("status", {}).get("containerStatuses") or ()
    return str(sum(item.get("restartCount", 0) for item in statuses))


def pod_status(obj: Object) -> str:
    """The phase, or why a container waits or ended."""
    status = obj.get("status", {})
    shown = status.get("reason") or status.get("phase", "Unknown")
    for item in reversed(status.get("containerStatuses") or ()):
        state = item.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            shown = state["waiting"]["reason"]
        elif "terminated" in state:
            ended = state["terminated"]
            shown = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str(shown)


def service_ports(obj: Object) -> str:
    """Ports, node ports and protocols."""
    shown = []
    for port in obj["spec"].get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or "<none>"


def deployment_ready(obj: Object) -> str:
    """Ready replicas of those wanted."""
    return f"{obj.get('status', {}).get('readyReplicas', 0)}/{obj['spec'].get('replicas', 1)}"


def job_status(obj: Object) -> str:
    """Complete, Failed, Suspended or Running."""
    for condition in obj.get("status", {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in {"Complete", "Failed", "Suspended"}:
            return str(condition["type"])
    return "Running"


def job_completions(obj: Object) -> str:
    """Pods that succeeded, of those wanted."""
    done = obj.get("status", {}).get("succeeded", 0)
    wanted = obj["spec"].get("completions")
    return f"{done}/{wanted}" if wanted is not None else f"{done}/1 of {obj['spec'].get('parallelism', 1)}"


def job_duration(obj: Object) -> str:
    """From start to completion, or until now."""
    status = obj.get("status", {})
    if not status.get("startTime"):
        return ""
    end = status.get("completionTime")
    return age(status["startTime"], datetime.fromisoformat(end.replace("Z", "+00:00")) if end else None)


def slice_ports(obj: Object) -> str:
    """The ports of an EndpointSlice."""
    shown = [str(port.get("port", "*")) for port in obj.get("ports") or ()]
    return _few(shown) if shown else "<unset>"


def slice_endpoints(obj: Object) -> str:
    """Its addresses."""
    shown = [address for item in obj.get("endpoints") or () for address in item.get("addresses") or ()]
    return _few(shown) if shown else "<unset>"


def _few(shown: list[str]) -> str:
    return ",".join(shown[:3]) + (f" + {len(shown) - 3} more..." if len(shown) > 3 else "")


def endpoints(obj: Object) -> str:
    """Addresses and ports of Endpoints."""
    shown = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    return _few(shown) if shown else "<none>"


def node_status(obj: Object) -> str:
    """Ready or not."""
    for condition in obj.get("status", {}).get("conditions") or ():
        if condition["type"] == "Ready":
            return "Ready" if condition["status"] == "True" else "NotReady"
    return "Unknown"


def role_ref(obj: Object) -> str:
    """The role that is bound."""
    return f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"


def event_object(obj: Object) -> str:
    """What an Event is about."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def last_seen(obj: Object) -> Any:
    """When an Event happened last."""
    series = obj.get("series") or {}
    stamps = (
        series.get("lastObservedTime"),
        obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp"),
        obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp"),
        obj.get("eventTime"),
    )
    return age(next((stamp for stamp in stamps if stamp), None))
