"""The intents: set the annotation, bound to the revision that is meant, and wait until it was taken."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from rollout.api.intents import IntentKey, bound, recorded
from rollout.api.status import TakenIntent
from rollout.cli.cluster import Cluster, connected
from rollout.cli.failure import Failure
from rollout.cli.options import Context, Kubeconfig, Name, Namespace, Reason
from rollout.show.sight import status_of

POLL_SECONDS = 0.25
ANSWER_SECONDS = 30.0
DEFAULT_REASON = "asked for on the command line"
_UNANSWERED = {
    "NothingToDo": "there is nothing to do it to: no revision is in a state for it",
    "Superseded": "it came too late: another revision or step has begun since",
    "NotSupported": "not supported yet",
}


def abort(
    name: Name,
    reason: Reason = DEFAULT_REASON,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Stop what rolls out and send all traffic back to the stable version."""
    _ask(IntentKey.ABORT, name, reason, namespace, context, kubeconfig)


def promote(
    name: Name,
    reason: Reason = DEFAULT_REASON,
    full: Annotated[
        bool, typer.Option("--full", help="Skip all remaining steps and their analysis.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Go on past the present step or pause, or with --full to the end."""
    _ask(IntentKey.PROMOTE_FULL if full else IntentKey.PROMOTE, name, reason, namespace, context, kubeconfig)


def pause(
    name: Name,
    reason: Reason = DEFAULT_REASON,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Hold the rollout where it is."""
    _ask(IntentKey.PAUSE, name, reason, namespace, context, kubeconfig)


def resume(
    name: Name,
    reason: Reason = DEFAULT_REASON,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """End a pause."""
    _ask(IntentKey.RESUME, name, reason, namespace, context, kubeconfig)


def retry(
    name: Name,
    reason: Reason = DEFAULT_REASON,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Try a refused revision again, from its first step."""
    _ask(IntentKey.RETRY, name, reason, namespace, context, kubeconfig)


def _ask(
    key: IntentKey,
    name: str,
    reason: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
) -> None:
    async def asked() -> TakenIntent:
        async with connected(kubeconfig, context, namespace) as cluster:
            return await acknowledged(cluster, key, name, reason, ANSWER_SECONDS)

    taken = asyncio.run(asked())
    if taken.outcome not in ("", "Acted"):
        raise Failure(f"{key}: {_UNANSWERED.get(taken.outcome, taken.outcome)}")
    sys.stdout.write(f"{key}: taken for revision {taken.revision} of {name}\n")


async def acknowledged(
    cluster: Cluster, key: IntentKey, name: str, reason: str, seconds: float
) -> TakenIntent:
    """Set the annotation and return the intent as the operator took it.

    Raises:
        Failure: where no operator has ever seen the Rollout, or none answers within `seconds`.
    """
    before = status_of(await cluster.rollout(name))
    if not before.current_pod_hash:
        raise Failure(f"no operator has seen {name} yet; remedy: is `rollout operator` running?")
    value = bound(before.current_pod_hash, reason)
    await cluster.annotate(name, key.annotation, value)
    try:
        async with asyncio.timeout(seconds):
            return await _taken(cluster, name, key, value, before.intent)
    except TimeoutError:
        raise Failure(
            f"{key} is set on {name}, but no operator took it within {seconds:.0f} s; "
            "it will be taken when one runs again"
        ) from None


async def _taken(
    cluster: Cluster, name: str, key: IntentKey, value: str, before: TakenIntent | None
) -> TakenIntent:
    while True:
        intent = status_of(await cluster.rollout(name)).intent
        if intent and intent.action == key and intent.value == recorded(value) and _another(intent, before):
            return intent
        await asyncio.sleep(POLL_SECONDS)


def _another(intent: TakenIntent, before: TakenIntent | None) -> bool:
    """Whether it is not the one that was there before we asked (same key and value at another time)."""
    return before is None or (intent.action, intent.value, intent.set_at) != (
        before.action,
        before.value,
        before.set_at,
    )
