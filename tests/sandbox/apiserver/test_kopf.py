"""kopf can't tell."""

import asyncio
import threading

import kopf
import pytest
from widgets import WIDGETS

RESOURCE = ("example.com", "v1", "widgets")


class Operator(threading.Thread):
    """A kopf operator in a loop of its own (it takes every task of its loop for its own), and what it saw."""

    def __init__(self, cluster, namespace):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.namespace = namespace
        self.seen = []
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.registry = kopf.OperatorRegistry()
        self.handle()

    def note(self, what, name):
        with self.changed:
            self.seen.append((what, name))
            self.changed.notify_all()

    def until(self, *wanted):
        with self.changed:
            assert self.changed.wait_for(lambda: set(wanted) <= set(self.seen), timeout=10), self.seen

    def handle(self):
        server, registry = self.cluster.server, self.registry

        @kopf.on.login(registry=registry)
        def login(**_):
            return kopf.ConnectionInfo(
                server=server.url, token=server.admin_token, ca_path=str(self.cluster.ca_path)
            )

        @kopf.on.create(*RESOURCE, registry=registry)
        async def created(name, patch, body, **_):
            patch.status["size"] = 1
            kopf.info(body, reason="Made", message="made it")
            self.note("created", name)

        @kopf.on.update(*RESOURCE, registry=registry)
        async def updated(name, **_):
            self.note("updated", name)

        @kopf.on.delete(*RESOURCE, registry=registry)
        async def deleted(name, **_):
            self.note("deleted", name)

    def run(self):
        settings = kopf.OperatorSettings()
        asyncio.run(
            kopf.operator(
                registry=self.registry,
                settings=settings,
                stop_flag=self.stopping,
                namespaces=[self.namespace],
                standalone=True,
            )
        )


@pytest.fixture
def operator(cluster, namespace):
    found = Operator(cluster, namespace)
    found.start()
    yield found
    found.stopping.set()
    found.join()


@pytest.fixture
def widget(cluster, namespace):
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 1}}
    return cluster.call(cluster.client().create(WIDGETS, namespace, body))


def test_handlers_see_creation_update_and_deletion_and_the_finalizer_lets_go(
    cluster, namespace, operator, widget
):
    client = cluster.client()
    operator.until(("created", "a"))
    cluster.call(client.patch(WIDGETS, namespace, "a", {"spec": {"size": 2}}))
    operator.until(("updated", "a"))
    assert cluster.call(client.get(WIDGETS, namespace, "a"))["status"] == {"size": 1}
    cluster.call(client.delete(WIDGETS, namespace, "a"))
    operator.until(("deleted", "a"))


def test_a_cut_watch_is_begun_again_and_nothing_is_missed(cluster, namespace, operator, widget):
    operator.until(("created", "a"))
    cluster.server.cut_watches()
    cluster.call(cluster.client().patch(WIDGETS, namespace, "a", {"spec": {"size": 2}}))
    operator.until(("updated", "a"))
