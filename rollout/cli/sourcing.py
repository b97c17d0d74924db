"""`source list`, `get`, `reconcile`, `suspend`, `resume`: GitSources by hand."""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from rollout.cli.cluster import Cluster, Object, connected
from rollout.cli.failure import Failure
from rollout.cli.options import Context, Kubeconfig, Namespace, Output, OutputOption, a_duration
from rollout.cli.writing import write
from rollout.gitops.conditions import REQUESTED_AT
from rollout.show.git import condition, short, source_page, sources_table

LOOK_SECONDS = 0.25
app = typer.Typer(help="GitSources: see them, make them look at once, suspend them.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="Name of the GitSource.", show_default=False)]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="GitSources of all namespaces.")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait, 90s or 10m.")]


@app.command("list")
def list_(
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    output: OutputOption = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the GitSources of a namespace, a line each."""

    async def listed() -> None:
        async with connected(kubeconfig, context, namespace) as cluster:
            found = await cluster.sources(everywhere=everywhere)
            if output in (Output.JSON, Output.YAML):
                write({"apiVersion": "v1", "kind": "List", "items": list(found)}, output)
            elif found:
                table = sources_table(found, datetime.now(UTC), namespaces=everywhere)
                sys.stdout.write(table + "\n")
            else:
                where = "any namespace" if everywhere else f"namespace {cluster.namespace}"
                sys.stderr.write(f"No GitSources found in {where}.\n")

    asyncio.run(listed())


@app.command("get")
def get(
    name: Source,
    namespace: Namespace = None,
    output: OutputOption = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show one GitSource: where it looks, how it stands, what came last."""

    async def shown() -> None:
        async with connected(kubeconfig, context, namespace) as cluster:
            found = await cluster.source(name)
            if output in (Output.JSON, Output.YAML):
                write(found, output)
            else:
                sys.stdout.write(source_page(found, datetime.now(UTC)) + "\n")

    asyncio.run(shown())


@app.command("reconcile")
def reconcile(
    name: Source,
    namespace: Namespace = None,
    timeout: Timeout = "1m",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make it ask Git now, and wait for what comes of it: exit code 0 where it is Ready, else 1."""
    limit = a_duration(timeout, "--timeout").total_seconds()

    async def asked() -> None:
        async with connected(kubeconfig, context, namespace) as cluster:
            if (await cluster.source(name))["spec"].get("suspend"):
                raise Failure(f"{name} is suspended; remedy: rollout source resume {name}")
            token = datetime.now(UTC).isoformat()
            await cluster.change_source(name, {"metadata": {"annotations": {REQUESTED_AT[0]: token}}})
            try:
                async with asyncio.timeout(limit or None):
                    found = await _handled(cluster, name, token)
            except TimeoutError:
                raise Failure(f"{name} was not looked at within {timeout}: is the operator there?") from None
            _say(name, found)

    asyncio.run(asked())


@app.command("suspend")
def suspend(
    name: Source,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Read nothing and apply nothing until it is resumed. (Git undoes it where the GitSource is in Git.)"""
    _set_suspend(name, namespace, context, kubeconfig, to=True)


@app.command("resume")
def resume(
    name: Source,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Go on reading and applying."""
    _set_suspend(name, namespace, context, kubeconfig, to=False)


def _set_suspend(
    name: str, namespace: str | None, context: str | None, kubeconfig: Kubeconfig, *, to: bool
) -> None:
    async def changed() -> None:
        async with connected(kubeconfig, context, namespace) as cluster:
            await cluster.change_source(name, {"spec": {"suspend": to}})

    asyncio.run(changed())
    sys.stdout.write(f"{name} is {'suspended' if to else 'resumed'}\n")


async def _handled(cluster: Cluster, name: str, token: str) -> Object:
    """Wait until a turn has heeded the request; a fetch that fails leaves it for the next one."""
    while True:
        found = await cluster.source(name)
        told = str((found.get("status") or {}).get("lastHandledReconcileAt", ""))
        if token in told or condition(found, "FetchFailed")[0] == "True":
            return found
        await asyncio.sleep(LOOK_SECONDS)


def _say(name: str, found: Object) -> None:
    ready, reason, message = condition(found, "Ready")
    if ready != "True":
        raise Failure(f"{name}: {reason}: {message}")
    revision = str((found.get("status") or {}).get("lastAppliedRevision", ""))
    sys.stdout.write(f"{name}: {short(revision)} is applied\n")
