"""The embedded API server with its controllers, for the replay."""

import pytest

from rollout.sandbox.apiserver.threaded import ThreadedServer
from rollout.sandbox.controllers.all import Controllers


@pytest.fixture(scope="session")
def golden_server(tmp_path_factory):
    """A server in a thread of its own; `authority` is its certificate as a file."""

    def with_controllers(server):
        controllers = Controllers(server.client(manager="kube-controller-manager"), server.ca_pem)
        controllers.start()
        return controllers.stop

    with ThreadedServer(with_controllers) as running:
        path = tmp_path_factory.mktemp("golden") / "ca.crt"
        path.write_text(running.server.ca_pem)
        running.server.authority = str(path)
        yield running.server
