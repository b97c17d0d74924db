"""Service discovery of pods for a Prometheus that has none for Kubernetes.

Debian builds Prometheus without `kubernetes_sd_configs`. This writes the same targets, with the same
`__meta_kubernetes_pod_*` labels, to a file for `file_sd_configs`: the relabelling is as on a real cluster.
"""

import asyncio
import json
import re
from pathlib import Path

from rollout.sandbox.apiserver.resource import PODS, Object
from rollout.sandbox.controllers.informers import Informers, Key, key_of
from rollout.sandbox.controllers.pods import is_ready

_META = "__meta_kubernetes_"
_POD = f"{_META}pod_"
SETTLE_S = 0.02


class Discovery:
    """Keeps the file up to the pods there are."""

    def __init__(self, informers: Informers, file: Path) -> None:
        self._file = file
        self._pods: dict[Key, Object] = {}
        self._changed = asyncio.Event()
        self._write("[]")
        informers.on(PODS, self._on_pod)

    def _on_pod(self, before: Object | None, after: Object | None) -> None:
        if before is not None:
            self._pods.pop(key_of(before), None)
        if after is not None:
            self._pods[key_of(after)] = after
        self._changed.set()

    async def run(self) -> None:
        """Write after each change, for ever."""
        written = ""
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_S)
            self._changed.clear()
            text = json.dumps([group for pod in self._pods.values() for group in targets(pod)])
            if text != written:
                self._write(text)
                written = text

    def _write(self, text: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._file)


def targets(pod: Object) -> list[Object]:
    """The target groups of one pod: one for each declared port, as discovery of role pod has them."""
    address = pod.get("status", {}).get("podIP")
    if not address:
        return []
    common = _labels(pod, address)
    return [
        {
            "targets": [f"{address}:{port['containerPort']}"],
            "labels": common
            | {
                f"{_POD}container_name": container["name"],
                f"{_POD}container_image": container.get("image", ""),
                f"{_POD}container_port_number": str(port["containerPort"]),
                f"{_POD}container_port_name": port.get("name", ""),
            },
        }
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
    ]


def _labels(pod: Object, address: str) -> dict[str, str]:
    meta = pod["metadata"]
    found = {
        f"{_META}namespace": meta["namespace"],
        f"{_POD}name": meta["name"],
        f"{_POD}uid": meta["uid"],
        f"{_POD}ip": address,
        f"{_POD}phase": pod["status"].get("phase", ""),
        f"{_POD}ready": str(is_ready(pod)).lower(),
        f"{_POD}node_name": pod["spec"].get("nodeName", ""),
    }
    for kind in ("label", "annotation"):
        for name, value in (meta.get(f"{kind}s") or {}).items():
            found[f"{_POD}{kind}_{re.sub('[^a-zA-Z0-9_]', '_', name)}"] = value
    return found
