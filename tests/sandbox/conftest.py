"""The embedded API server, and real kubectl on it."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from widgets import WIDGET_DEFINITION

from rollout.sandbox.apiserver.resource import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from rollout.sandbox.apiserver.threaded import ThreadedServer


class Cluster:
    """A running server, and ways to ask it."""

    def __init__(self, running: ThreadedServer, directory: Path) -> None:
        self.running = running
        self.server = running.server
        self.directory = directory
        self.ca_path = directory / "ca.crt"
        self.ca_path.write_text(self.server.ca_pem)
        self.kubeconfig = self.config()

    def config(self, token: str | None = None, name: str = "admin") -> Path:
        """A kubeconfig as a file."""
        path = self.directory / f"{name}.yaml"
        path.write_text(self.server.kubeconfig(token))
        return path

    def call(self, work):
        """The result of a coroutine of the in-process client."""
        return self.running.run(work)

    def client(self, user=None):
        """The in-process client."""
        return self.server.client(user)

    def kubectl(
        self, *arguments: str, text: str | None = None, config: Path | None = None
    ) -> subprocess.CompletedProcess:
        """Run kubectl; `text` is its standard input."""
        command = [str(Path(sys.executable).with_name("kubectl")), *arguments]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {
            "KUBECONFIG": str(config or self.kubeconfig),
            "HOME": str(self.directory),
            "PATH": path,
        }
        return subprocess.run(
            command, input=text, capture_output=True, text=True, env=environment, timeout=60, check=False
        )


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    with ThreadedServer() as running:
        found = Cluster(running, tmp_path_factory.mktemp("cluster"))
        found.call(found.client().create(CUSTOM_RESOURCE_DEFINITIONS, None, WIDGET_DEFINITION))
        yield found


_numbers = itertools.count(1)


@pytest.fixture
def namespace(cluster):
    name = f"test-{next(_numbers)}"
    cluster.call(cluster.client().create(NAMESPACES, None, {"metadata": {"name": name}}))
    return name
