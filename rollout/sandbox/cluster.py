"""The embedded cluster, assembled: API server, controllers, kubelet, Traefik, Prometheus.

It lives in a thread with an event loop of its own: an operator in its caller's loop shares sockets with it
and nothing else. Its children die with that thread.
"""

import asyncio
import contextlib
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from rollout.sandbox import dataplane, manifests, prometheus
from rollout.sandbox.apiserver.local import LocalClient
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.server import ApiServer
from rollout.sandbox.apiserver.tokens import service_account
from rollout.sandbox.controllers.all import Controllers
from rollout.sandbox.controllers.routes import Routes
from rollout.sandbox.dataplane import Traefik
from rollout.sandbox.discovery import Discovery
from rollout.sandbox.kubelet.node import Kubelet
from rollout.sandbox.kubelet.processes import ProcessPods
from rollout.sandbox.kubelet.scripted import ScriptedPods, Scripts
from rollout.sandbox.processes import PortTakenError
from rollout.sandbox.prometheus import Prometheus

T = TypeVar("T")
STOP_S = 20.0
PORT_TRIES = 3


class Pods(StrEnum):
    """What pods are."""

    PROCESS = "process"
    SCRIPTED = "scripted"
    NONE = "none"  # no kubelet: pods stay Pending, unscheduled


class Sandbox:
    """A cluster of its own on loopback; several may run side by side.

        async with Sandbox() as sandbox:          # or `with Sandbox() as sandbox:`
            os.environ["KUBECONFIG"] = str(sandbox.kubeconfig)

    `pods`: real processes, scripted (see `scripts`) or none. Traefik and Prometheus come with processes where
    nothing else is said; without Traefik a small controller accepts the routes. Entering raises
    ToolMissingError and ProcessFailedError.
    """

    def __init__(
        self,
        pods: Pods | str = Pods.PROCESS,
        *,
        traefik: bool | None = None,
        prometheus: bool | None = None,
        folder: Path | None = None,
    ) -> None:
        self.pods = Pods(pods)
        real = self.pods is Pods.PROCESS
        self._with_traefik = real if traefik is None else traefik
        self._with_prometheus = real if prometheus is None else prometheus
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.gettempdir(), f"rollout-sandbox-{secrets.token_hex(6)}")
        self.scripts = Scripts()
        self.traefik: Traefik | None = None
        self.prometheus: Prometheus | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)

    @property
    def client(self) -> LocalClient:
        """The API in-process as an administrator; from any thread."""
        return self.server.client(manager="sandbox")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def proxy_url(self) -> str:
        """Where users send requests (with the Host of a route); empty without Traefik."""
        return self.traefik.url if self.traefik else ""

    @property
    def prometheus_url(self) -> str:
        """Where Prometheus answers; empty without one."""
        return self.prometheus.url if self.prometheus else ""

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the sandbox's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the sandbox's loop, and wait for it in this one."""
        return await asyncio.wrap_future(self.submit(work))

    def kubeconfig_for(self, namespace: str, account: str) -> Path:
        """Write a kubeconfig for a ServiceAccount, which has what RBAC grants it and nothing else."""
        token = self.server.api.tokens.issue(service_account(namespace, account))
        path = self.folder / f"kubeconfig-{namespace}-{account}"
        _write_private(path, self.server.kubeconfig(token, namespace))
        return path

    async def load_manifests(self, *paths: Path) -> list[Object]:
        """Apply the objects of YAML files and of folders of them; what the server holds then."""
        return await self.load(manifests.read(paths))

    async def load(self, objects: Iterable[Object]) -> list[Object]:
        """Apply objects: CustomResourceDefinitions first, then namespaces, then the rest in their order."""
        return await self.call(manifests.apply(self.client, list(objects)))

    def start(self) -> None:
        """Start everything and wait until it is ready; what had started is stopped where something fails."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=not self._own_folder)
        self._thread.start()
        try:
            self.submit(self._start()).result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything: afterwards no process, port or folder of it is left."""
        try:
            if self._thread.is_alive():
                self.submit(self._stop()).result(STOP_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            if self._own_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        starting = asyncio.get_running_loop().run_in_executor(None, self.start)
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:  # Ctrl-C while it starts: it can't be left half way
            await asyncio.wait([starting])
            if starting.exception() is None:
                await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    async def _start(self) -> None:
        self.server = ApiServer()
        await self.server.start()
        _write_private(self.kubeconfig, self.server.kubeconfig())
        ca = self.folder / "ca.crt"
        ca.write_text(self.server.ca_pem)
        manager = self.server.client(manager="kube-controller-manager")
        self._controllers = Controllers(manager, self.server.ca_pem)
        self._controllers.start()
        await manifests.apply(self.client, dataplane.crds())
        self._start_kubelet()
        if self._with_traefik:
            token = self.server.api.tokens.issue(service_account(dataplane.NAMESPACE, "traefik"))
            server = dataplane.ApiAccess(self.server.url, token, ca)
            self.traefik = await self._on_free_port(lambda: self._start_traefik(server))
        else:
            routes = Routes(manager, self._controllers.informers)
            self._controllers.spawn(routes.queue.run(), "routes")
        if self._with_prometheus:
            proxy = self.traefik.metrics_address if self.traefik else None
            self.prometheus = prometheus.prepare(self.folder / "prometheus", proxy)
            discovery = Discovery(self._controllers.informers, self.prometheus.targets)
            self._controllers.spawn(discovery.run(), "discovery")
            await self._on_free_port(self.prometheus.start)

    async def _start_traefik(self, server: dataplane.ApiAccess) -> Traefik:
        port = dataplane.free_port()
        await manifests.apply(self.client, dataplane.gateway(port))
        return await dataplane.start(server, self.folder, port)

    async def _on_free_port(self, begin: Callable[[], Awaitable[T]]) -> T:
        """Begin again where somebody took the port between its choice and its use."""
        for _ in range(PORT_TRIES):
            with contextlib.suppress(PortTakenError):
                return await begin()
        return await begin()

    def _start_kubelet(self) -> None:
        client = self.server.client(manager="kubelet")
        match self.pods:
            case Pods.NONE:
                return
            case Pods.PROCESS:
                kubelet = Kubelet(
                    client, self._controllers.informers, ProcessPods(client, self.folder / "pods")
                )
            case Pods.SCRIPTED:
                scripted = ScriptedPods(client, self.scripts)
                kubelet = Kubelet(client, self._controllers.informers, scripted)
                self.scripts.on_change(lambda: self._loop.call_soon_threadsafe(kubelet.wake_all))
        self._controllers.spawn(kubelet.run(), "kubelet")

    async def _stop(self) -> None:
        running = [part.stop() for part in (self.traefik, self.prometheus) if part is not None]
        await asyncio.gather(*running, return_exceptions=True)
        if hasattr(self, "_controllers"):
            await self._controllers.stop()
        if hasattr(self, "server"):
            await self.server.stop()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def serve(announce: Callable[[Sandbox], None], *, folder: Path | None = None) -> None:
    """Start a whole sandbox, call `announce` when it is ready, and run until SIGINT or SIGTERM."""
    asyncio.run(_serve(announce, folder))


async def _serve(announce: Callable[[Sandbox], None], folder: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Sandbox(folder=folder) as sandbox:
        announce(sandbox)
        await stop.wait()
