"""Traefik's Gateway API provider can't tell."""

import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

import rollout.sandbox
from rollout.sandbox.apiserver.resource import (
    CUSTOM_RESOURCE_DEFINITIONS,
    ENDPOINT_SLICES,
    SERVICES,
    Resource,
)
from rollout.sandbox.apiserver.threaded import ThreadedServer
from rollout.sandbox.install import find_traefik
from rollout.sandbox.processes import environment

pytestmark = pytest.mark.real

GATEWAY = "gateway.networking.k8s.io"
CLASSES = Resource(GATEWAY, "v1", "gatewayclasses")
GATEWAYS = Resource(GATEWAY, "v1", "gateways")
ROUTES = Resource(GATEWAY, "v1", "httproutes")


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def eventually(check, seconds=15):
    end = time.monotonic() + seconds
    while True:
        try:
            found = check()
        except OSError as error:
            found = None if time.monotonic() < end else pytest.fail(str(error))
        if found or time.monotonic() > end:
            return found
        time.sleep(0.05)


class Answer(BaseHTTPRequestHandler):
    """Says which address answered."""

    def do_GET(self):
        body = self.server.server_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def backends():
    servers = [ThreadingHTTPServer((host, 0), Answer) for host in ("127.0.0.21", "127.0.0.22")]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_address for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def gateway_server(tmp_path):
    with ThreadedServer() as running:
        client = running.server.client()
        for path in sorted((Path(rollout.sandbox.__file__).parent / "crds").glob("*.yaml")):
            running.run(client.create(CUSTOM_RESOURCE_DEFINITIONS, None, yaml.safe_load(path.read_text())))
        (tmp_path / "ca.crt").write_text(running.server.ca_pem)
        yield running


def service(name, port):
    return {"metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": port}]}}


def endpoint_slice(name, host, port):
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": port}],
    }


def gateway_object(kind, name, spec):
    return {"apiVersion": f"{GATEWAY}/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def set_up(running, backends, port):
    client = running.server.client()
    for name, (host, number) in zip(("stable", "canary"), backends, strict=True):
        running.run(client.create(SERVICES, "default", service(name, number)))
        running.run(client.create(ENDPOINT_SLICES, "default", endpoint_slice(name, host, number)))
    controller = {"controllerName": "traefik.io/gateway-controller"}
    listeners = [{"name": "web", "port": port, "protocol": "HTTP"}]
    references = [{"name": "stable", "port": 80, "weight": 100}, {"name": "canary", "port": 80, "weight": 0}]
    route = {"parentRefs": [{"name": "gw"}], "rules": [{"backendRefs": references}]}
    gateway = {"gatewayClassName": "traefik", "listeners": listeners}
    running.run(client.create(CLASSES, None, gateway_object("GatewayClass", "traefik", controller)))
    running.run(client.create(GATEWAYS, "default", gateway_object("Gateway", "gw", gateway)))
    running.run(client.create(ROUTES, "default", gateway_object("HTTPRoute", "web", route)))


def fetch(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
        return answer.read().decode()


def test_traefik_programs_a_route_writes_its_status_and_follows_the_weights(
    gateway_server, backends, tmp_path
):
    running, server, port = gateway_server, gateway_server.server, free_port()
    set_up(running, backends, port)
    command = [
        str(find_traefik()),
        "--providers.kubernetesgateway=true",
        f"--providers.kubernetesgateway.endpoint={server.url}",
        f"--providers.kubernetesgateway.token={server.admin_token}",
        f"--providers.kubernetesgateway.certauthfilepath={tmp_path / 'ca.crt'}",
        "--providers.providersthrottleduration=100ms",
        f"--entrypoints.web.address=127.0.0.1:{port}",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    with (tmp_path / "traefik.log").open("wb") as log:
        proxy = subprocess.Popen(command, stdout=log, stderr=log, env=environment(), cwd=tmp_path)
        try:
            assert eventually(lambda: fetch(port) == "127.0.0.21"), (tmp_path / "traefik.log").read_text()
            weights = [
                {"op": "replace", "path": f"/spec/rules/0/backendRefs/{at}/weight", "value": value}
                for at, value in ((0, 0), (1, 100))
            ]
            client = server.client()
            running.run(
                client.patch(ROUTES, "default", "web", weights, content_type="application/json-patch+json")
            )
            assert eventually(lambda: fetch(port) == "127.0.0.22")
            route = running.run(client.get(ROUTES, "default", "web"))
            conditions = {
                item["type"]: item["status"] for item in route["status"]["parents"][0]["conditions"]
            }
            assert conditions["Accepted"] == conditions["ResolvedRefs"] == "True"
        finally:
            proxy.terminate()
            proxy.wait()
