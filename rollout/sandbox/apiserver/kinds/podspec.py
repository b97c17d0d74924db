"""Pod specs: defaults and rules, for pods and for the templates of workloads."""

from typing import Any

from rollout.sandbox.apiserver import names
from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds.checks import bad, duplicate, required, unsupported
from rollout.sandbox.apiserver.kinds.quantity import amount
from rollout.sandbox.apiserver.resource import Object

POLICIES = ("Always", "OnFailure", "Never")


def default(spec: Object) -> None:
    """Fill in a pod spec, in place."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    if spec.get("serviceAccountName"):
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for key in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def _default_container(container: Object) -> None:
    image = container.get("image", "")
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in {"", "latest"}
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for env in container.get("env") or ():
        field = (env.get("valueFrom") or {}).get("fieldRef")
        if field is not None:
            field.setdefault("apiVersion", "v1")
    for key in ("readinessProbe", "livenessProbe", "startupProbe"):
        if container.get(key):
            _default_probe(container[key])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and hook.get("httpGet"):
            _default_http(hook["httpGet"])
    limits = container["resources"].get("limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def _default_http(get: Object) -> None:
    get.setdefault("path", "/")
    get.setdefault("scheme", "HTTP")


def _default_probe(probe: Object) -> None:
    for key, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        probe.setdefault(key, value)
    if probe.get("httpGet"):
        _default_http(probe["httpGet"])
    if probe.get("grpc"):
        probe["grpc"].setdefault("service", "")


def _default_volume(volume: Object) -> None:
    for key in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(volume.get(key), dict):
            volume[key].setdefault("defaultMode", 420)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")


def causes(spec: Object, path: str) -> list[Cause]:
    """What is wrong with a pod spec at a path."""
    found: list[Cause] = []
    containers = spec.get("containers") or []
    if not containers:
        found.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for key in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(key) or ()):
            found += _container_causes(container, f"{path}.{key}[{at}]", seen, spec)
    if spec.get("restartPolicy") not in POLICIES:
        found.append(unsupported(f"{path}.restartPolicy", spec.get("restartPolicy"), POLICIES))
    volumes: set[str] = set()
    for at, volume in enumerate(spec.get("volumes") or ()):
        found += _name_causes(volume.get("name"), f"{path}.volumes[{at}].name", volumes)
    grace = spec.get("terminationGracePeriodSeconds", 0)
    if isinstance(grace, int) and grace < 0:
        found.append(
            bad(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")
        )
    return found


def _name_causes(name: Any, path: str, seen: set[str]) -> list[Cause]:
    if not name:
        return [required(path)]
    if problems := names.label(name):
        return [bad(path, name, problem) for problem in problems]
    if name in seen:
        return [duplicate(path, name)]
    seen.add(name)
    return []


def _container_causes(container: Object, path: str, seen: set[str], spec: Object) -> list[Cause]:
    found = _name_causes(container.get("name"), f"{path}.name", seen)
    if not container.get("image"):
        found.append(required(f"{path}.image"))
    for at, port in enumerate(container.get("ports") or ()):
        found += _port_causes(port, f"{path}.ports[{at}]")
    for at, env in enumerate(container.get("env") or ()):
        if not env.get("name"):
            found.append(required(f"{path}.env[{at}].name"))
    found += _resource_causes(container.get("resources") or {}, f"{path}.resources")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            shown = mount.get("name", "")
            text = f'Not found: "{shown}"'
            found.append(Cause("FieldValueNotFound", text, f"{path}.volumeMounts[{at}].name"))
        if not mount.get("mountPath"):
            found.append(required(f"{path}.volumeMounts[{at}].mountPath"))
    policies = ("Always", "IfNotPresent", "Never")
    if container.get("imagePullPolicy") not in policies:
        found.append(unsupported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), policies))
    return found


def _port_causes(port: Object, path: str) -> list[Cause]:
    number = port.get("containerPort", 0)
    found = []
    if number == 0:
        found.append(required(f"{path}.containerPort"))
    elif not 1 <= number <= 65535:
        found.append(bad(f"{path}.containerPort", number, "must be between 1 and 65535, inclusive"))
    if port.get("protocol") not in {"TCP", "UDP", "SCTP"}:
        found.append(unsupported(f"{path}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP")))
    return found


def _resource_causes(resources: Object, path: str) -> list[Cause]:
    found = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for kind, held in (("limits", limits), ("requests", requests)):
        for name, value in held.items():
            if amount(value) is None:
                text = (
                    "quantities must match the regular expression "
                    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                )
                found.append(bad(f"{path}.{kind}[{name}]", value, text))
    for name, value in requests.items():
        most, least = amount(limits.get(name, "")), amount(value)
        if most is not None and least is not None and least > most:
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            found.append(bad(f"{path}.requests", value, text))
    return found
