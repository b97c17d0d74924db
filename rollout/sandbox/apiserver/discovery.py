"""Discovery: what is served, in the old documents and the aggregated ones."""

import base64
import hashlib

from rollout.sandbox.apiserver.kinds.table import Subresource
from rollout.sandbox.apiserver.registry import Registry
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Served

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def version_hash(served: Served) -> str:
    """A short hash of the storage version's name."""
    resource = served.name.resource
    text = f"{resource.group}/{resource.version}/{served.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def resources(registry: Registry, group: str, version: str) -> Object:
    """APIResourceList of a group and version."""
    found = registry.in_version(group, version)
    listed: list[Object] = []
    for served in found:
        listed.append(_resource(served))
        listed += [_subresource(served, sub) for sub in served.name.subresources]
    out: Object = {"kind": "APIResourceList", "groupVersion": f"{group}/{version}" if group else version}
    if group:
        out["apiVersion"] = "v1"
    return out | {"resources": listed}


def _resource(served: Served) -> Object:
    name = served.name
    out: Object = {
        "name": served.plural,
        "singularName": name.singular,
        "namespaced": name.namespaced,
        "kind": served.kind,
        "verbs": list(name.verbs),
    }
    if name.short_names:
        out["shortNames"] = list(name.short_names)
    if name.categories:
        out["categories"] = list(name.categories)
    if "watch" in name.verbs:
        out["storageVersionHash"] = version_hash(served)
    return out


def _subresource(served: Served, sub: Subresource) -> Object:
    out: Object = {
        "name": f"{served.plural}/{sub.name}",
        "singularName": "",
        "namespaced": served.name.namespaced,
        "kind": sub.kind,
        "verbs": list(sub.verbs),
    }
    if sub.group:
        out |= {"group": sub.group, "version": sub.version}
    return out


def group(registry: Registry, name: str) -> Object:
    """APIGroup."""
    versions = registry.groups()[name]
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def groups(registry: Registry) -> Object:
    """APIGroupList."""
    listed = [group(registry, name) for name in registry.groups() if name]
    for item in listed:
        for key in ("kind", "apiVersion"):
            del item[key]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def legacy(address: str) -> Object:
    """APIVersions of the core group."""
    where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}


def aggregated(registry: Registry, *, core: bool) -> Object:
    """APIGroupDiscoveryList of the core group, or of all the others."""
    items = []
    for name, versions in registry.groups().items():
        if bool(name) is core:
            continue
        listed = [
            {
                "version": version,
                "resources": [_aggregated(served) for served in registry.in_version(name, version)],
                "freshness": "Current",
            }
            for version in versions
        ]
        meta: Object = {"name": name} if name else {}
        items.append({"metadata": meta, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated(served: Served) -> Object:
    name, resource = served.name, served.name.resource
    own = (
        {"group": resource.group, "version": resource.version, "kind": served.kind}
        if served.custom
        else {
            "group": "",
            "version": "",
            "kind": served.kind,
        }
    )
    out: Object = {
        "resource": served.plural,
        "responseKind": own,
        "scope": "Namespaced" if name.namespaced else "Cluster",
        "singularResource": name.singular,
        "verbs": list(name.verbs),
    }
    if name.short_names:
        out["shortNames"] = list(name.short_names)
    if name.categories:
        out["categories"] = list(name.categories)
    if name.subresources:
        out["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": sub.group or own["group"],
                    "version": sub.version or own["version"],
                    "kind": sub.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in name.subresources
        ]
    return out
