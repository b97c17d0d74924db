"""Repositories, mirrors and servers for each test of Git."""

import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from git_servers import ENVIRONMENT, LOCAL, Listener, Upstream, WebServer

from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirrors
from rollout.git.tree import TreeLimits


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path)


@pytest.fixture
async def mirrors(tmp_path: Path) -> AsyncIterator[Mirrors]:
    """With limits small enough to be met by a test."""
    policy = GitPolicy(protocols=LOCAL, local_hosts=True, timeout=timedelta(seconds=20))
    limits = TreeLimits(entries=2000, manifests=600, manifest_bytes=1 << 16, total_bytes=1 << 20)
    mirrors = Mirrors(tmp_path / "mirrors", policy, limits)
    yield mirrors
    await mirrors.close()


@pytest.fixture
async def hasty_mirrors(tmp_path: Path) -> AsyncIterator[Mirrors]:
    """Gives up after two seconds."""
    policy = GitPolicy(protocols=LOCAL, local_hosts=True, timeout=timedelta(seconds=2))
    mirrors = Mirrors(tmp_path / "hasty", policy)
    yield mirrors
    await mirrors.close()


@pytest.fixture
def silent_server() -> Iterator[Listener]:
    """Accepts and never says a word."""
    listener = Listener(lambda _: None)
    yield listener
    listener.close()


@pytest.fixture
def daemon(upstream: Upstream) -> Iterator[str]:
    """`git daemon` before the upstream's repository; its URL."""
    command = ["git", "daemon", "--inetd", "--export-all", "--enable=receive-pack"]

    def serve(connection: socket.socket) -> None:
        with connection:
            subprocess.run(
                [*command, f"--base-path={upstream.bare.parent}"],
                stdin=connection.fileno(),
                stdout=connection.fileno(),
                stderr=subprocess.DEVNULL,
                env={**ENVIRONMENT, "GIT_CONFIG_GLOBAL": "/dev/null"},
                check=False,
            )

    listener = Listener(serve)
    yield f"git://127.0.0.1:{listener.port}/upstream.git"
    listener.close()


@pytest.fixture
def web(upstream: Upstream) -> Iterator[Callable[..., WebServer]]:
    """Starts web servers before the upstream's repository."""
    servers: list[WebServer] = []

    def start(password: str = "", redirect_to: str = "", tls: ssl.SSLContext | None = None) -> WebServer:
        servers.append(WebServer(upstream.bare.parent, password, redirect_to, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
