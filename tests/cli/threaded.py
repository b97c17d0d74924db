"""An embedded API server that tests without a loop can speak to."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import yaml
from typer.testing import Result

from rollout.demo.player import content
from rollout.sandbox.apiserver.resource import Resource
from rollout.sandbox.apiserver.server import ApiServer

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
NAMESPACES = Resource("", "v1", "namespaces")
ROLLOUTS = Resource("progressive.delivery", "v1alpha1", "rollouts")

Run = Callable[..., Result]


class Cluster:
    """An API server in a thread of its own, spoken to from tests without a loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = self.do(_started())
        self.local = self.server.client()

    def do(self, coroutine: Any) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def close(self) -> None:
        self.do(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def rollout(self, name: str) -> dict[str, Any]:
        return self.do(self.local.get(ROLLOUTS, "shop", name))

    def create_rollout(self, name: str, **status: Any) -> None:
        manifest = yaml.safe_load((content() / "shop" / "rollout.yaml").read_text())
        manifest["metadata"]["name"] = name
        self.do(self.local.create(ROLLOUTS, "shop", manifest))
        if status:
            self.say(name, **status)

    def say(self, name: str, **status: Any) -> None:
        """Set the status, as an operator would."""
        self.do(self.local.patch(ROLLOUTS, "shop", name, {"status": status}, subresource="status"))


async def _started() -> ApiServer:
    server = ApiServer()
    await server.start()
    return server
