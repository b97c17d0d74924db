"""The stage: everything that the story needs, started in order and taken down whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rollout.api.crd import all_crds
from rollout.demo import operator_process
from rollout.demo.repository import Repository
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.install import find_kubectl
from rollout.sandbox.processes import Child
from rollout.sandbox.shop.load import Load, LoadReport

HOST = "shop.local"
RATE = 600.0
LONGEST_S = 900.0
MANIFESTS = Path(__file__).with_name("manifests")
TEMPLATE = "shop/analysis.yaml"
ANY_PROMETHEUS = "http://prometheus:9090"


class StageError(Exception):
    """Something of the stage could not be set up; the message says what and why."""


@dataclass(slots=True)
class Stage:
    """A cluster with the operator in it, a repository that it reads, and users."""

    sandbox: Sandbox
    repository: Repository
    kubectl: Sequence[str]
    operator: Child
    _load: Load
    _stack: AsyncExitStack = field(repr=False)
    _users: bool = False

    def load(self) -> LoadReport:
        """What users saw so far."""
        return self._load.report

    async def let_users_in(self) -> None:
        """Begin to send requests; once."""
        if not self._users:
            self._users = True
            await self._stack.enter_async_context(self._load)
            await self._load.next_report()


@asynccontextmanager
async def staged(home: Path, *, reverting: bool = False) -> AsyncIterator[Stage]:
    """Set the stage in `home`: sandbox, rights, repository, operator, GitSource."""
    async with AsyncExitStack() as stack:
        folder = home / "sandbox"
        folder.mkdir()
        sandbox = await stack.enter_async_context(Sandbox(folder=folder))
        kubectl = (str(find_kubectl()), f"--kubeconfig={sandbox.kubeconfig}")
        await install(kubectl)
        repository = Repository(home / "git")
        await repository.create(MANIFESTS / "shop")
        repository.edit(TEMPLATE, ANY_PROMETHEUS, sandbox.prometheus_url)
        operator = await operator_process.start(sandbox, home)
        stack.push_async_callback(operator.stop, 10.0)
        await follow(kubectl, repository.url, reverting=reverting)
        load = Load(sandbox.proxy_url, host=HOST, rate=RATE, seconds=LONGEST_S)
        yield Stage(sandbox, repository, kubectl, operator, load, stack)


async def install(kubectl: Sequence[str]) -> None:
    """What `kubectl apply` would install on any cluster: the CRDs and the operator's rights."""
    await apply(kubectl, [*all_crds().values(), *operator_process.rights()])
    await apply(kubectl, [yaml.safe_load((MANIFESTS / "namespace.yaml").read_text())])


async def follow(kubectl: Sequence[str], url: str, *, reverting: bool = False) -> None:
    """Tell the operator where the desired state is, and whether it may revert what it refuses."""
    source = yaml.safe_load((MANIFESTS / "gitsource.yaml").read_text())
    source["spec"]["url"] = url
    if reverting:
        author = {"name": "rollout", "email": "rollout@progressive.delivery"}
        source["spec"]["writeBack"] = {"modes": ["notes", "revertCommit"], "author": author}
    await apply(kubectl, [source])


async def apply(kubectl: Sequence[str], objects: Sequence[Any]) -> None:
    """`kubectl apply --server-side`. Raises StageError with what it said."""
    child = await asyncio.create_subprocess_exec(
        *kubectl,
        "apply",
        "--server-side",
        "--filename=-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await child.communicate(yaml.safe_dump_all(objects).encode())
    if child.returncode:
        raise StageError(f"kubectl apply: {output.decode(errors='replace').strip()}")
