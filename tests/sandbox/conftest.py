"""The embedded API server, and real kubectl on it."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rollout.sandbox.apiserver.resource import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Resource
from rollout.sandbox.apiserver.threaded import ThreadedServer

WIDGETS = Resource("example.com", "v1", "widgets")
WIDGET_DEFINITION = yaml.safe_load("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, description: how big, default: 3, maximum: 100}
              color: {type: string}
          status:
            type: object
            properties:
              size: {type: integer}
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items:
                  type: object
                  required: [type]
                  properties: {type: {type: string}, status: {type: string}}
""")


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
