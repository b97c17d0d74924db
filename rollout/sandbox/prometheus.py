"""Prometheus with a scrape each second: the pods by discovery from the embedded server, and the proxy.

Metric and label names: every label of a pod is mapped (`rollouts-pod-template-hash` becomes
`rollouts_pod_template_hash`, `app` stays `app`), beside `namespace`, `pod`, `container` and `phase`. New
targets appear up to 5 s late whatever the interval, and `up` is 0 for some seconds after a pod's end.
"""

import os
from pathlib import Path
from typing import Any

import yaml

from rollout.sandbox import processes
from rollout.sandbox.dataplane import answering, free_port
from rollout.sandbox.install import ensure_prometheus
from rollout.sandbox.processes import Child, PortTakenError

INTERVAL = "1s"
TIMEOUT = "900ms"
RETENTION = "2h"
READY_S = 30.0
_POD = "__meta_kubernetes_pod_"


def configuration(targets: Path, traefik: str | None) -> dict[str, Any]:
    """The configuration file, as a value: pods by a file of targets, and the proxy."""
    pods: dict[str, Any] = {
        "job_name": "pods",
        "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
        "relabel_configs": [
            {"source_labels": [f"{_POD}phase"], "regex": "Pending|Succeeded|Failed", "action": "drop"},
            {"source_labels": [f"{_POD}container_image"], "regex": "(.*/)?pause(:.*)?", "action": "drop"},
            {"action": "labelmap", "regex": f"{_POD}label_(.+)"},
            *(
                {"source_labels": [source], "target_label": label}
                for source, label in (
                    ("__meta_kubernetes_namespace", "namespace"),
                    (f"{_POD}name", "pod"),
                    (f"{_POD}container_name", "container"),
                    (f"{_POD}phase", "phase"),
                )
            ),
        ],
    }
    jobs = [pods]
    if traefik is not None:
        jobs.append({"job_name": "traefik", "static_configs": [{"targets": [traefik]}]})
    return {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": TIMEOUT, "evaluation_interval": "1m"},
        "scrape_configs": jobs,
    }


class Prometheus:
    """A Prometheus process; `url` answers its API. It can be stopped and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self) -> Path:
        """The file of its pod targets (see `discovery`)."""
        return self.folder / "pods.json"

    async def start(self) -> None:
        """Start it and wait until it is ready; the first time chooses the port.

        Raises PortTakenError, ProcessFailedError, ToolMissingError.
        """
        self.port = self.port or free_port()
        flags = {
            "config.file": self.folder / "prometheus.yml",
            "storage.tsdb.path": self.folder / "data",
            "storage.tsdb.retention.time": RETENTION,
            "storage.tsdb.min-block-duration": RETENTION,
            "web.listen-address": f"127.0.0.1:{self.port}",
            "log.level": "warn",
        }
        command = [str(ensure_prometheus()), *(f"--{name}={value}" for name, value in flags.items())]
        env = {"GOGC": os.environ.get("GOGC", "50")}
        self.child = await processes.start("prometheus", command, log=self.folder / "prometheus.log", env=env)
        try:
            await answering(self.child, f"{self.url}/-/ready", READY_S)
        except PortTakenError:
            self.port = 0
            raise

    async def stop(self) -> None:
        """End it; the data stays."""
        if self.child is not None:
            await self.child.stop(3.0)
            self.child = None


def prepare(folder: Path, traefik: str | None) -> Prometheus:
    """Write the configuration under `folder`; `targets` of the result is the file of pods."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Prometheus(folder)
    text = yaml.safe_dump(configuration(made.targets, traefik), sort_keys=False)
    (folder / "prometheus.yml").write_text(text)
    return made
