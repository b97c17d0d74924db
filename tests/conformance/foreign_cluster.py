"""Clusters that `conformance` is shown from outside: by a kubeconfig, or a folder of programs."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLUSTERS = ("KUBECONFIG", "KUBEBUILDER_ASSETS")
BEGIN_S = 60.0


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Ours, without any cluster but the given one."""
    return {key: value for key, value in os.environ.items() if key not in CLUSTERS} | dict(given)


def started(*words: str, **given: str) -> subprocess.Popen[str]:
    """`make conformance`, begun; variables of its environment are named."""
    return subprocess.Popen(
        [sys.executable, "-m", "conformance", *words],
        cwd=ROOT,
        env=environment(given),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def conformance(*words: str, **given: str) -> tuple[int, str]:
    """The same to its end: exit code and output."""
    child = started(*words, **given)
    output, _ = child.communicate()
    return child.returncode, output


@contextmanager
def sandbox(home: Path) -> Iterator[Path]:
    """`rollout sandbox` as somebody else's cluster; its kubeconfig."""
    log = home / "sandbox.log"
    with open(log, "w") as target:
        child = subprocess.Popen(
            [sys.executable, "-m", "rollout.cli", "sandbox", "--directory", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            env=environment({}),
        )
    try:
        until = time.monotonic() + BEGIN_S
        while "Ctrl-C ends it" not in log.read_text():
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        found = dict(line.split("=", 1) for line in log.read_text().splitlines() if "=" in line)
        yield Path(found["KUBECONFIG"])
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(30)


def kubectl(kubeconfig: Path, *words: str, given: str = "") -> str:
    """What kubectl prints."""
    program = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or "kubectl"
    done = subprocess.run(
        [program, f"--kubeconfig={kubeconfig}", *words],
        input=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def holdings(kubeconfig: Path) -> Sequence[str]:
    """What a run may create outside its namespaces, and the namespaces."""
    kinds = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings"
    return sorted(kubectl(kubeconfig, "get", kinds, "--output=name").split())


def assets(folder: Path) -> Path:
    """A folder as KUBEBUILDER_ASSETS names it.

    Its `kube-apiserver` is the embedded API server behind the flags of the real one, without any controller.
    """
    folder.mkdir()
    _program(folder / "etcd", "#!/bin/sh\nexec sleep infinity\n")
    _program(folder / "kube-apiserver", f"#!{sys.executable}\n{textwrap.dedent(_API_SERVER)}")
    return folder


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


_API_SERVER = """
    import asyncio, csv, signal, ssl, sys
    from rollout.sandbox.apiserver.core import ADMIN
    from rollout.sandbox.apiserver.server import ApiServer

    flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])


    class Certificate:
        def configure_cert(self, context: ssl.SSLContext) -> None:
            context.load_cert_chain(flags["tls-cert-file"], flags["tls-private-key-file"])


    async def serve() -> None:
        server = ApiServer(int(flags["secure-port"]))
        server._certificate = Certificate()
        for token, *_ in csv.reader(open(flags["token-auth-file"])):
            server.api.tokens.callers[token] = ADMIN
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        async with server:
            await told.wait()


    asyncio.run(serve())
"""
