"""Services: types, addresses and ports."""

import ipaddress
import itertools
import re
from typing import Any

from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds.checks import bad, duplicate, required, unsupported
from rollout.sandbox.apiserver.resource import Object

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_addresses = itertools.count(10)
_ports = itertools.count()


def _next_address() -> str:
    return str(ipaddress.IPv4Address(0x0A600000 + next(_addresses) % 65000))


def _next_port() -> int:
    return 30000 + next(_ports) % 2768


def default(obj: Object) -> None:
    """Type, affinity, policies and target ports."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10800}})
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in {None, 0, ""}:
            port["targetPort"] = port.get("port", 0)
    if spec["type"] in {"ClusterIP", "NodePort", "LoadBalancer"}:
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)


def prepare(new: Object, old: Object | None) -> None:
    """Addresses and node ports; an update keeps those it had."""
    spec = new["spec"]
    if old is None:
        new["status"] = {"loadBalancer": {}}
    else:
        _keep(spec, old["spec"])
    if spec["type"] == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(key, None)
        return
    _allocate(spec)
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        for port in spec.get("ports") or ():
            port.setdefault("nodePort", _next_port())
    else:
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
        spec.pop("externalTrafficPolicy", None)
        spec.pop("allocateLoadBalancerNodePorts", None)


def _keep(spec: Object, old: Object) -> None:
    if spec["type"] != "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if key in old and key not in spec:
                spec[key] = old[key]
        if (
            "clusterIP" in spec
            and spec.get("clusterIPs") == old.get("clusterIPs")
            and spec["clusterIP"] != old.get("clusterIP")
        ):
            spec["clusterIPs"] = [spec["clusterIP"]]
    held = {(port.get("port"), port.get("protocol")): port.get("nodePort") for port in old.get("ports") or ()}
    for port in spec.get("ports") or ():
        before = held.get((port.get("port"), port.get("protocol")))
        if before and "nodePort" not in port:
            port["nodePort"] = before


def _allocate(spec: Object) -> None:
    if spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    if not spec.get("clusterIP"):
        spec["clusterIP"] = _next_address()
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    headless = spec["clusterIP"] == "None" and not spec.get("selector")
    spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if headless else ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if headless else "SingleStack")


def validate(new: Object, old: Object | None) -> list[Cause]:
    """Type, ports and addresses."""
    spec = new["spec"]
    found: list[Cause] = []
    if spec["type"] not in TYPES:
        found.append(unsupported("spec.type", spec["type"], TYPES))
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        found.append(required("spec.externalName"))
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        found.append(required("spec.ports"))
    found += _ports_causes(ports)
    found += _address_causes(spec)
    if old is not None and spec["type"] != "ExternalName" and old["spec"]["type"] != "ExternalName":
        before = old["spec"].get("clusterIP")
        if before and spec.get("clusterIP") != before:
            found.append(bad("spec.clusterIPs[0]", spec.get("clusterIPs"), "may not change once set"))
    return found


def _address_causes(spec: Object) -> list[Cause]:
    found = []
    for at, address in enumerate(spec.get("clusterIPs") or ()):
        if address == "None":
            continue
        try:
            ipaddress.ip_address(address)
        except ValueError:
            text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            found.append(bad(f"spec.clusterIPs[{at}]", address, text))
    return found


def _ports_causes(ports: list[Object]) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    for at, port in enumerate(ports):
        path = f"spec.ports[{at}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            found.append(required(f"{path}.name"))
        elif name and name in seen:
            found.append(duplicate(f"{path}.name", name))
        seen.add(name)
        found += _number(f"{path}.port", port.get("port", 0))
        if port["protocol"] not in {"TCP", "UDP", "SCTP"}:
            found.append(unsupported(f"{path}.protocol", port["protocol"], ("SCTP", "TCP", "UDP")))
        found += _target(f"{path}.targetPort", port["targetPort"])
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            found.append(duplicate(path, {"port": port.get("port"), "protocol": port.get("protocol")}))
        pairs.add(pair)
    return found


def _number(path: str, value: Any) -> list[Cause]:
    if isinstance(value, int) and 1 <= value <= 65535:
        return []
    return [bad(path, value, "must be between 1 and 65535, inclusive")]


def _target(path: str, value: Any) -> list[Cause]:
    if isinstance(value, int):
        return _number(path, value)
    if not re.fullmatch(r"[-a-z0-9]+", value):
        return [bad(path, value, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")]
    if len(value) > 15:
        return [bad(path, value, "must be no more than 15 characters")]
    if not re.search(r"[a-z]", value):
        return [bad(path, value, "must contain at least one letter (a-z)")]
    return []
