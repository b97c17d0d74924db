"""EndpointSlices. Loopback addresses are accepted: the sandbox's pods have no others."""

import ipaddress

from rollout.sandbox.apiserver.errors import Cause
from rollout.sandbox.apiserver.kinds.checks import bad, duplicate, immutable, required, unsupported
from rollout.sandbox.apiserver.resource import Object

TYPES = ("FQDN", "IPv4", "IPv6")


def default(obj: Object) -> None:
    """Port names and protocols; lists that are empty show as null, and each endpoint has conditions."""
    for key in ("endpoints", "ports"):
        obj[key] = obj.get(key) or None
    for endpoint in obj["endpoints"] or ():
        endpoint.setdefault("conditions", {})
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def prepare(new: Object, old: Object | None) -> None:
    """Generation counts changes."""
    if old is None:
        new["metadata"]["generation"] = 1


def validate(new: Object, old: Object | None) -> list[Cause]:
    """Address type, addresses and ports."""
    kind = new.get("addressType", "")
    found: list[Cause] = []
    if not kind:
        found.append(required("addressType"))
    elif kind not in TYPES:
        found.append(unsupported("addressType", kind, TYPES))
    if old is not None and kind != old.get("addressType"):
        return [*found, immutable("addressType", kind)]
    for at, endpoint in enumerate(new.get("endpoints") or ()):
        found += _addresses(endpoint.get("addresses") or [], f"endpoints[{at}].addresses", kind)
    seen: set[str] = set()
    for at, port in enumerate(new.get("ports") or ()):
        if port["name"] in seen:
            found.append(duplicate(f"ports[{at}].name", port["name"]))
        seen.add(port["name"])
    return found


def _addresses(addresses: list[str], path: str, kind: str) -> list[Cause]:
    if not addresses:
        return [required(path, "must contain at least 1 address")]
    found = []
    for at, address in enumerate(addresses):
        if kind not in {"IPv4", "IPv6"}:
            continue
        if not (_is(address, 4) or _is(address, 6)):
            text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            found.append(bad(f"{path}[{at}]", address, text))
        elif not _is(address, int(kind[-1])):
            found.append(bad(f"{path}[{at}]", address, f"must be an {kind} address"))
    return found


def _is(address: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(address).version == version
    except ValueError:
        return False
