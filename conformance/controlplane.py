"""A control plane of etcd and kube-apiserver alone, from the folder that KUBEBUILDER_ASSETS names."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
import yaml

from conformance.api import Api, Refused, Unreachable
from conformance.needs import Unfit
from conformance.operators import tied

TOKEN = "conformance"  # noqa: S105 -- of a server on loopback that ends with us
READY_S = 60.0
STOP_S = 10.0


@asynccontextmanager
async def running(assets: Path, folder: Path) -> AsyncIterator[Path]:
    """Start both, with their data in `folder`; an administrator's kubeconfig. Raises Unfit, Unreachable."""
    missing = [name for name in ("etcd", "kube-apiserver") if not (assets / name).is_file()]
    if missing:
        raise Unfit(
            f"{assets} holds no {' and no '.join(missing)}; KUBEBUILDER_ASSETS has to name a folder with both"
        )
    home = folder / "control-plane"
    home.mkdir()
    store, peers, port = _free_ports(3)
    children = []
    try:
        children.append(await _start(home, etcd(assets / "etcd", home, store, peers)))
        children.append(await _start(home, api_server(assets / "kube-apiserver", home, store, port)))
        kubeconfig = _kubeconfig(home, port)
        await _ready(kubeconfig, home, children)
        yield kubeconfig
    finally:
        for child in reversed(children):
            await _end(child)


def etcd(program: Path, home: Path, port: int, peers: int) -> list[str]:
    """Its command: on loopback, without peers, without waiting for disks."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return [
        str(program),
        f"--data-dir={home / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def api_server(program: Path, home: Path, store: int, port: int) -> list[str]:
    """Its command, with certificates, a key for ServiceAccounts and one administrator's token made for it."""
    authority = trustme.CA()
    serving = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
    authority.cert_pem.write_to_path(home / "ca.crt")
    serving.private_key_pem.write_to_path(home / "server.key")
    serving.cert_chain_pems[0].write_to_path(home / "server.crt")
    authority.issue_cert("service-accounts").private_key_pem.write_to_path(home / "accounts.key")
    (home / "tokens.csv").write_text(f'{TOKEN},conformance,conformance,"system:masters"\n')
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{store}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # it would refuse to advertise loopback
        f"--secure-port={port}",
        f"--cert-dir={home}",
        f"--tls-cert-file={home / 'server.crt'}",
        f"--tls-private-key-file={home / 'server.key'}",
        f"--token-auth-file={home / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--service-account-issuer=https://localhost/",
        f"--service-account-key-file={home / 'accounts.key'}",
        f"--service-account-signing-key-file={home / 'accounts.key'}",
        # There is no controller that makes the account that pods would get.
        "--disable-admission-plugins=ServiceAccount",
    ]


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


async def _start(home: Path, command: Sequence[str]) -> asyncio.subprocess.Process:
    with open(home / f"{Path(command[0]).name}.log", "wb") as log:  # noqa: ASYNC230 -- one short call
        return await asyncio.create_subprocess_exec(
            *tied(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
    try:
        await asyncio.wait_for(child.wait(), STOP_S)
    except TimeoutError:
        child.kill()
        await child.wait()


def _kubeconfig(home: Path, port: int) -> Path:
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(home / "ca.crt")}
    path = home / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "conformance",
                "clusters": [{"name": "conformance", "cluster": cluster}],
                "users": [{"name": "conformance", "user": {"token": TOKEN}}],
                "contexts": [
                    {"name": "conformance", "context": {"cluster": "conformance", "user": "conformance"}}
                ],
            }
        )
    )
    return path


async def _ready(kubeconfig: Path, home: Path, children: Sequence[asyncio.subprocess.Process]) -> None:
    """Wait until it serves, its own roles included. Raises Unreachable with the logs' ends."""
    async with await Api.of(kubeconfig) as client:
        try:
            async with asyncio.timeout(READY_S):
                while not await _answers(client):
                    if any(child.returncode is not None for child in children):
                        raise TimeoutError
                    await asyncio.sleep(0.2)
        except TimeoutError:
            logs = (f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in home.glob("*.log"))
            raise Unreachable("\n".join(("the control plane does not get ready", *logs))) from None


async def _answers(client: Api) -> bool:
    try:
        return bool(await client.call("GET", "/readyz") == "ok")
    except (Refused, Unreachable):
        return False
