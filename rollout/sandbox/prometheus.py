"""Prometheus on the sandbox's pods and proxy: one scrape a second, found through the API server."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from rollout.sandbox import processes
from rollout.sandbox.install import ensure_prometheus
from rollout.sandbox.ports import free_port

SCRAPE_SECONDS = 1
READY_SECONDS = 60
STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where pods are found, and as whom."""

    url: str
    ca_file: Path
    token_file: Path


class Prometheus:
    """One Prometheus process; its data lies in `folder` and goes with it."""

    def __init__(self, folder: Path, cluster: Cluster, extra_targets: Sequence[str] = ()) -> None:
        self._folder = folder
        self._cluster = cluster
        self._extra_targets = tuple(extra_targets)
        self._child: processes.Child | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where its API is; the same after a restart."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ProcessFailedError: it ended; the message holds its log.
        """
        program = await asyncio.to_thread(ensure_prometheus)
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(configuration(self._cluster, self._extra_targets)))
        self._port = self._port or free_port()
        self._child = await processes.start(
            "prometheus",
            [
                str(program),
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                "--storage.tsdb.retention.time=1h",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--log.level=warn",
            ],
            log=self._folder / "prometheus.log",
        )
        await self._answers()

    async def stop(self) -> None:
        """End it."""
        if self._child is not None:
            await self._child.stop(STOP_SECONDS)

    async def _answers(self) -> None:
        assert self._child is not None
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
            while True:
                if not self._child.running:
                    raise processes.ProcessFailedError(f"prometheus ended: {self._child.tail()}")
                try:
                    async with session.get(f"{self.url}/-/ready") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)


def configuration(cluster: Cluster, extra_targets: Sequence[str]) -> dict[str, Any]:
    """The configuration file: pods by service discovery with their labels, and whoever else is named."""
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": "900ms"},
        "scrape_configs": [
            {
                "job_name": "pods",
                "kubernetes_sd_configs": [
                    {
                        "role": "pod",
                        "api_server": cluster.url,
                        "tls_config": {"ca_file": str(cluster.ca_file)},
                        "authorization": {"credentials_file": str(cluster.token_file)},
                    }
                ],
                "relabel_configs": _pod_labels(),
            },
            {"job_name": "proxy", "static_configs": [{"targets": list(extra_targets)}]},
        ],
    }


def _pod_labels() -> list[dict[str, Any]]:
    """Pods with a port and an address that are not over; their names and revision as labels."""
    meta = "__meta_kubernetes_"
    return [
        {"source_labels": [f"{meta}pod_container_port_number"], "regex": "[0-9]+", "action": "keep"},
        {"source_labels": [f"{meta}pod_phase"], "regex": "Running", "action": "keep"},
        {"source_labels": [f"{meta}pod_ip"], "regex": ".+", "action": "keep"},
        {"source_labels": [f"{meta}namespace"], "target_label": "namespace"},
        {"source_labels": [f"{meta}pod_name"], "target_label": "pod"},
        {
            "source_labels": [f"{meta}pod_label_rollouts_pod_template_hash"],
            "target_label": "rollouts_pod_template_hash",
        },
    ]
