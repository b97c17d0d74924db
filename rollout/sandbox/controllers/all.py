"""Every controller of the embedded cluster, started and stopped together."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from rollout.sandbox.apiserver.local import LocalClient
from rollout.sandbox.controllers.deployment import Deployments
from rollout.sandbox.controllers.disruption import Disruptions
from rollout.sandbox.controllers.endpoints import Endpoints
from rollout.sandbox.controllers.garbage import Garbage
from rollout.sandbox.controllers.informers import Informers
from rollout.sandbox.controllers.job import Jobs
from rollout.sandbox.controllers.namespace import Namespaces
from rollout.sandbox.controllers.replicaset import ReplicaSets


class Controllers:
    """The controller manager; `informers` may be shared with a kubelet."""

    def __init__(self, client: LocalClient, ca_pem: str = "") -> None:
        self._client = client
        self._ca_pem = ca_pem
        self._tasks: set[asyncio.Task[Any]] = set()
        self.informers = Informers(client, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run something until `stop`."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start(self) -> None:
        """Start all controllers in the running loop."""
        client, informers = self._client, self.informers
        for controller in (
            ReplicaSets(client, informers),
            Deployments(client, informers),
            Jobs(client, informers),
            Endpoints(client, informers),
            Disruptions(client, informers),
            Namespaces(client, informers, self._ca_pem),
            Garbage(client, informers),
        ):
            self.spawn(controller.queue.run(), controller.queue.name)

    async def stop(self) -> None:
        """Stop them and wait for the end of their turns."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
