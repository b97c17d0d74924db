"""Make `types.json` from Kubernetes' own OpenAPI document: names, types and merge keys, no prose.

python -m rollout.sandbox.apiserver.kinds.generate swagger.json > types.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from rollout.sandbox.apiserver.kinds.table import KINDS

EXTRA = ("Scale:autoscaling:v1", "Eviction:policy:v1", "TokenRequest:authentication.k8s.io:v1")
KEPT = {
    "type",
    "format",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-group-version-kind",
}


def slim(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without descriptions."""
    out: dict[str, Any] = {key: schema[key] for key in sorted(KEPT & schema.keys())}
    if isinstance(schema.get("$ref"), str):
        out["$ref"] = schema["$ref"].removeprefix("#/definitions/")
    if "properties" in schema:
        out["properties"] = {name: slim(value) for name, value in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            out[key] = slim(schema[key])
    return out


def references(schema: Any) -> set[str]:
    """The definitions it names."""
    if isinstance(schema, dict):
        own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*(references(value) for value in schema.values()))
    if isinstance(schema, list):
        return set().union(*(references(value) for value in schema))
    return set()


def main(path: str) -> None:
    """Print the definitions that the served kinds reach, one a line."""
    found = {key: slim(value) for key, value in json.loads(Path(path).read_text())["definitions"].items()}
    wanted = {f"{k.kind}:{k.resource.group}:{k.resource.version}" for k in KINDS} | set(EXTRA)
    todo = {
        key
        for key, value in found.items()
        for gvk in value.get("x-kubernetes-group-version-kind", ())
        if f"{gvk['kind']}:{gvk['group']}:{gvk['version']}" in wanted
    }
    todo.add("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
    kept: dict[str, Any] = {}
    while todo:
        key = todo.pop()
        kept[key] = found[key]
        todo |= references(found[key]) - kept.keys()
    lines = [f"{json.dumps(key)}:{_dense(kept[key])}" for key in sorted(kept)]
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


def _dense(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


if __name__ == "__main__":
    main(sys.argv[1])
