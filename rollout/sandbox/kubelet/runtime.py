"""What runs in a container: the shop or `pause`, with the environment its pod gives it."""

from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.shop.command import shop_command
from rollout.sandbox.shop.images import behaviour

DEFAULT_PORT = 8080
ROLLOUTS_HASH = "rollouts-pod-template-hash"
HASH = "pod-template-hash"


def command(pod: Object, container: Object, ip: str) -> list[str]:
    """The process of a container. Raises ImageUnknownError and BadSettingError."""
    image = container.get("image", "")
    if image.rpartition("/")[2].partition(":")[0] == "pause":
        return ["sleep", "infinity"]
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    ports = container.get("ports") or [{"containerPort": DEFAULT_PORT}]
    does = behaviour(image, environment(pod, container, ip))
    pod_hash = labels.get(ROLLOUTS_HASH, labels.get(HASH, ""))
    return shop_command(does, f"{ip}:{ports[0]['containerPort']}", meta["name"], pod_hash)


def environment(pod: Object, container: Object, ip: str) -> dict[str, str]:
    """The environment that a container's `env` asks for; of sources, fields of the pod alone are known."""
    found = {}
    for entry in container.get("env") or ():
        if (field := (entry.get("valueFrom") or {}).get("fieldRef")) is not None:
            found[entry["name"]] = _field(pod, field["fieldPath"], ip)
        elif "valueFrom" not in entry:
            found[entry["name"]] = entry.get("value", "")
    return found


def _field(pod: Object, path: str, ip: str) -> str:
    meta = pod["metadata"]
    if path.startswith(("metadata.labels['", "metadata.annotations['")):
        kind, _, rest = path.removeprefix("metadata.").partition("['")
        return str((meta.get(kind) or {}).get(rest.removesuffix("']"), ""))
    known = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "status.podIP": ip,
    }
    return str(known.get(path, ""))
