"""Many GitSources, polled again and again: what an operator holds stays the same, and one remote hangs.

Time is real here, and so are the threads and the gits; the API server is in memory. Sources have a credential
of their own, so that each has a mirror, over a few repositories to which commits come now and then.
"""

import asyncio
import json
import os
import random
import shutil
import tempfile
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server
from statistics import median
from typing import Any

import yaml
from manifests import Manifest
from repository import git_source, text
from rich.console import Console
from rich.table import Table

from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirrors
from rollout.gitops.clusters import Clusters
from rollout.gitops.turns import GitOps
from rollout.kube.client import Kube
from rollout.manifests import secrets_in
from rollout.sandbox import manifests as applying
from rollout.sandbox.apiserver.resource import CONFIG_MAPS
from rollout.telemetry import Metrics

from .campaign_repository import Repository, gits
from .cluster import NAMESPACE, Cluster
from .wire import Wire

REPOSITORIES = 5
AT_ONCE = 16
TOLD = 10
"""Rounds between two lines."""
CHANGE_SHARE = 0.1
"""How often a repository gets a commit before a round."""
PATIENCE = "1s"
"""What a remote that hangs is given."""
HANGING = "hangs"
DESCRIPTORS, CHILDREN, THREADS = 4, 0, 8
RSS_SHARE, RSS_BYTES = 0.05, 8 << 20
"""By how much the median of a run's second half may exceed its first's. A hanging git holds up to four
descriptors. Pools make a thread when they first need it, at most eight after the beginning. Python's
allocator moves by a few percent; 1 kB that each poll kept would be 20 MB in a hundred rounds of 200.
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds after a round."""

    polls: int
    descriptors: int
    children: int
    """Processes that were told of its mirrors, but for those of the remote that hangs."""
    threads: int
    rss_bytes: int


@dataclass(slots=True)
class Run:
    """What a run has measured."""

    sources: int
    seed: int
    samples: list[Sample] = field(default_factory=list)
    hung: int = 0
    """Polls of the remote that hangs that were given up."""
    left: int = 0
    """Processes when all was over."""
    missed: list[str] = field(default_factory=list)
    """Sources whose last commit was not applied."""

    def halves(self, of: Callable[[Sample], int]) -> tuple[float, float]:
        """Medians of the first and the second half; the first rounds, in which mirrors are made, left out."""
        steady = [of(each) for each in self.samples[max(2, len(self.samples) // 20) :]]
        middle = len(steady) // 2
        return median(steady[:middle]), median(steady[middle:])

    def broken(self) -> list[str]:
        """What grew, in words."""
        found = [f"{name} was not applied" for name in self.missed]
        found += ["the hanging remote was never given up"] if not self.hung else []
        found += [f"{self.left} processes are left"] if self.left else []
        for name, of, allowed in (
            ("descriptors", lambda each: each.descriptors, lambda _: DESCRIPTORS),
            ("children", lambda each: each.children, lambda _: CHILDREN),
            ("threads", lambda each: each.threads, lambda _: THREADS),
            ("memory", lambda each: each.rss_bytes, lambda was: was * RSS_SHARE + RSS_BYTES),
        ):
            first, second = self.halves(of)
            if second - first > allowed(first):
                found.append(f"{name} grew from {first:,.0f} to {second:,.0f}")
        return found

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {**asdict(self), "broken": self.broken()}


async def polled(home: Path, sources: int, rounds: int, seed: int, tell: Callable[[Run], None]) -> Run:
    """Poll so many sources so often; `tell` hears of each round."""
    dice, run = random.Random(seed), Run(sources, seed)
    names = [f"s{number:03}" for number in range(sources)]
    repositories = [Repository(home / f"repository-{number}") for number in range(REPOSITORIES)]
    values = dict.fromkeys(names, 0)
    for number, repository in enumerate(repositories):
        repository.commit({_file(name): _content(name, 0) for name in names[number::REPOSITORIES]})
    cluster = await Cluster.made()
    async with AsyncExitStack() as stack:
        silent = stack.enter_context(create_server(("127.0.0.1", 0)))
        await applying.apply(cluster.client(), [*yaml.safe_load_all(secrets_in([NAMESPACE]))])
        urls = {name: repositories[number % REPOSITORIES].url for number, name in enumerate(names)}
        urls[HANGING] = f"git://127.0.0.1:{silent.getsockname()[1]}/x.git"
        await applying.apply(cluster.client(), [each for name in urls for each in _source(name, urls[name])])
        gitops = await stack.enter_async_context(_gitops(cluster, home / "mirrors"))
        hanging = asyncio.create_task(_hang(gitops, run))
        for _ in range(rounds):
            for number, repository in enumerate(repositories):
                if dice.random() < CHANGE_SHARE:
                    name = dice.choice(names[number::REPOSITORIES])
                    values[name] += 1
                    await asyncio.to_thread(repository.commit, {_file(name): _content(name, values[name])})
            await _round(gitops, names)
            _forget(cluster)
            run.samples.append(await asyncio.to_thread(_sample, home, run, sources))
            tell(run)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        held = cluster.api.store.objects[CONFIG_MAPS.group, CONFIG_MAPS.plural]
        run.missed = [
            name for name in names if held[NAMESPACE, name].obj["data"]["value"] != str(values[name])
        ]
    run.left = len(gits(home))
    return run


@asynccontextmanager
async def _gitops(cluster: Cluster, directory: Path) -> AsyncIterator[GitOps]:
    policy = GitPolicy(protocols=frozenset({"file", "git"}), local_hosts=True)
    kube = Kube.over(Wire(cluster, "operator", lambda _wire, _asked: None))
    mirrors = Mirrors(directory, policy)

    @asynccontextmanager
    async def exclusive(_namespace: str, _name: str) -> AsyncIterator[None]:
        yield

    clusters = Clusters(kube, exclusive)
    try:
        yield GitOps(kube, mirrors, clusters, Metrics(), lambda: datetime.now(UTC), policy)
    finally:
        await mirrors.close()
        await clusters.close()


async def _round(gitops: GitOps, names: list[str]) -> None:
    """Each once; as many at a time as an operator takes."""
    waiting = list(reversed(names))

    async def work() -> None:
        while waiting:
            await gitops.turn(NAMESPACE, waiting.pop())

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def _hang(gitops: GitOps, run: Run) -> None:
    while True:
        await gitops.turn(NAMESPACE, HANGING)
        run.hung += 1


def _forget(cluster: Cluster) -> None:
    """The API server's own memory is not what is measured."""
    cluster.forget_history()
    cluster.api.store.objects.get(("", "events"), {}).clear()


def _sample(home: Path, run: Run, sources: int) -> Sample:
    mirror_of_hanging = b"127.0.0.1"
    children = [each for each in gits(home).values() if mirror_of_hanging not in each]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        polls=(len(run.samples) + 1) * sources,
        descriptors=len(os.listdir("/proc/self/fd")),
        children=len(children),
        threads=threading.active_count(),
        rss_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
    )


def _file(name: str) -> str:
    return f"{name}/settings.yaml"


def _content(name: str, value: int) -> str:
    data = {"value": str(value)}
    return text({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def _source(name: str, url: str) -> tuple[Manifest, Manifest]:
    metadata = {"name": name, "namespace": NAMESPACE}
    token = {"token": b64encode(name.encode()).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": token}
    spec = {"timeout": PATIENCE} if name == HANGING else {}
    source = git_source(url, path=name, secretRef={"name": name}, **spec)
    return secret, {**source, "metadata": metadata}


def report(sources: int, rounds: int, seed: int, out: Path, console: Console) -> int:
    """Run it, with results as JSON, from round to round, and a table; the number of things that are wrong."""
    home = Path(tempfile.mkdtemp(prefix="polls-"))
    out.parent.mkdir(parents=True, exist_ok=True)

    def tell(run: Run) -> None:
        if len(run.samples) % TOLD == 0:
            console.print(f"{run.samples[-1]}", markup=False)
            out.write_text(json.dumps(run.as_json()) + "\n")

    try:
        run = asyncio.run(polled(home, sources, rounds, seed, tell))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    out.write_text(json.dumps(run.as_json()) + "\n")
    console.print(_table(run))
    for each in run.broken():
        console.print(each, markup=False)
    return len(run.broken())


def _table(run: Run) -> Table:
    polls = run.samples[-1].polls
    shown = Table("held", title=f"{run.sources} sources, {polls:,} polls, {run.hung} of a remote that hangs")
    for head in ("first half", "second half"):
        shown.add_column(head, justify="right")
    for name in ("descriptors", "children", "threads", "rss_bytes"):
        first, second = run.halves(lambda each, name=name: getattr(each, name))  # type: ignore[misc]
        shown.add_row(name, f"{first:,.0f}", f"{second:,.0f}")
    return shown
