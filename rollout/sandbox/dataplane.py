"""Traefik as the data plane: it watches the Gateway API on the embedded server and routes to the pods."""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rollout.sandbox import processes
from rollout.sandbox.crds import gateway_definitions
from rollout.sandbox.install import find_traefik
from rollout.sandbox.processes import Child, PortTakenError, ProcessFailedError

NAMESPACE = "gateway"
GATEWAY = "sandbox"
GATEWAY_CLASS = "traefik"
USER = "system:serviceaccount:gateway:traefik"
BUCKETS = "0.005,0.01,0.025,0.05,0.1,0.2,0.3,0.5,1,2.5,5"
THROTTLE = "100ms"
"""Between two changes of the configuration: the default of 2 s would be most of a rollback's latency."""
READY_S = 30.0
MANIFESTS = Path(__file__).with_name("gateway")


def free_port() -> int:
    """A TCP port that nobody listens on at 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def crds() -> list[dict[str, Any]]:
    """The Gateway API's CustomResourceDefinitions."""
    return gateway_definitions()


def gateway(port: int) -> list[dict[str, Any]]:
    """The namespace, class, Gateway and role of the data plane; the listener's port is Traefik's own."""
    text = MANIFESTS.joinpath("gateway.yaml").read_text().replace("LISTENER_PORT", str(port))
    return list(yaml.load_all(text, yaml.CSafeLoader))


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """How a process reaches the API server: its URL, a token, and the authority's certificate."""

    url: str
    token: str
    ca: Path


class Traefik:
    """A Traefik process: `url` is the proxy's, `metrics_address` its `/metrics`."""

    def __init__(self, child: Child, port: int, metrics_port: int) -> None:
        self.child = child
        self.port = port
        self.metrics_port = metrics_port

    @property
    def url(self) -> str:
        """Where users send their requests."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def metrics_address(self) -> str:
        """Address and port of its metrics."""
        return f"127.0.0.1:{self.metrics_port}"

    async def stop(self) -> None:
        """End it."""
        await self.child.stop(2.0)


async def start(server: ApiAccess, folder: Path, port: int) -> Traefik:
    """Start Traefik with the proxy on `port`, and wait until it answers.

    Raises PortTakenError, and ProcessFailedError with its log.
    """
    metrics = free_port()
    flags = {
        "providers.kubernetesgateway": "true",
        "providers.kubernetesgateway.endpoint": server.url,
        "providers.kubernetesgateway.token": server.token,
        "providers.kubernetesgateway.certauthfilepath": str(server.ca),
        "providers.providersthrottleduration": THROTTLE,
        "entrypoints.web.address": f"127.0.0.1:{port}",
        "entrypoints.traefik.address": f"127.0.0.1:{metrics}",
        "api.insecure": "true",
        "ping": "true",
        "metrics.prometheus": "true",
        "metrics.prometheus.addrouterslabels": "true",
        "metrics.prometheus.buckets": BUCKETS,
        "global.checknewversion": "false",
        "global.sendanonymoususage": "false",
        "log.level": "INFO",
    }
    command = [str(find_traefik()), *(f"--{name}={value}" for name, value in flags.items())]
    child = await processes.start("traefik", command, log=folder / "traefik.log", env={"HOME": str(folder)})
    await answering(child, f"http://127.0.0.1:{metrics}/ping", READY_S)
    return Traefik(child, port, metrics)


async def answering(child: Child, url: str, timeout_s: float) -> None:
    """Wait until `url` answers 200. Raises ProcessFailedError where the child ends or time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await _ok(url):
                if not child.running:
                    raise _failure(child)
                await asyncio.sleep(0.03)
    except TimeoutError:
        await child.stop(0.5)
        raise ProcessFailedError(f"{child.name} did not answer in {timeout_s} s: {child.tail()}") from None


def _failure(child: Child) -> ProcessFailedError:
    log = child.tail()
    kind = PortTakenError if "address already in use" in log else ProcessFailedError
    return kind(f"{child.name} ended: {log}")


async def _ok(url: str) -> bool:
    rest = url.removeprefix("http://")
    address, _, path = rest.partition("/")
    host, _, port = address.partition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    try:
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
