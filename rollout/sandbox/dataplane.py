"""The data plane: a real Traefik that follows the Gateway API objects of the embedded API server."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from rollout.sandbox import processes
from rollout.sandbox.install import find_traefik
from rollout.sandbox.ports import free_port
from rollout.sandbox.prometheus import Cluster

NAMESPACE = "gateway"
GATEWAY = "sandbox"
READY_SECONDS = 60
STOP_SECONDS = 5
BUCKETS = "0.005,0.01,0.025,0.05,0.1,0.2,0.3,0.5,1,2,5"


class Traefik:
    """One Traefik process; `port` is the entry point, which the Gateway's listener must name."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self._folder = folder
        self._cluster = cluster
        self._child: processes.Child | None = None
        self.port = free_port()
        self._admin_port = free_port()

    @property
    def url(self) -> str:
        """Where requests go in."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def metrics_target(self) -> str:
        """Where its own metrics are, for a scrape configuration."""
        return f"127.0.0.1:{self._admin_port}"

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ProcessFailedError: it ended; the message holds its log.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._child = await processes.start(
            "traefik", [str(find_traefik()), *self._flags()], log=self._folder / "traefik.log"
        )
        await self._answers()

    async def stop(self) -> None:
        """End it."""
        if self._child is not None:
            await self._child.stop(STOP_SECONDS)

    def _flags(self) -> list[str]:
        gateway = "--providers.kubernetesgateway"
        return [
            f"{gateway}=true",
            f"{gateway}.endpoint={self._cluster.url}",
            f"{gateway}.token={self._cluster.token_file.read_text()}",
            f"{gateway}.certauthfilepath={self._cluster.ca_file}",
            # 2 s by default: a change of weights would be felt up to that late.
            "--providers.providersthrottleduration=100ms",
            f"--entrypoints.web.address=127.0.0.1:{self.port}",
            f"--entrypoints.traefik.address=127.0.0.1:{self._admin_port}",
            "--ping=true",
            "--metrics.prometheus=true",
            "--metrics.prometheus.addrouterslabels=true",
            f"--metrics.prometheus.buckets={BUCKETS}",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--log.level=WARN",
        ]

    async def _answers(self) -> None:
        assert self._child is not None
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
            while True:
                if not self._child.running:
                    raise processes.ProcessFailedError(f"traefik ended: {self._child.tail()}")
                try:
                    async with session.get(f"http://{self.metrics_target}/ping") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)


def objects(port: int) -> list[dict[str, Any]]:
    """GatewayClass and Gateway through which all routes of the sandbox go."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": "traefik"},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
            "spec": {
                "gatewayClassName": "traefik",
                "listeners": [
                    {
                        "name": "web",
                        "port": port,
                        "protocol": "HTTP",
                        "allowedRoutes": {"namespaces": {"from": "All"}},
                    }
                ],
            },
        },
    ]
