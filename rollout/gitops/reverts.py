"""A refused manifest goes back: on its branch, or on one of its own with a pull request."""

from dataclasses import replace

from rollout.api.errors import Stalled
from rollout.api.gitsource import GitSource
from rollout.api.writeback import WriteBackMode
from rollout.forge.asking import Proposal
from rollout.git.environment import GitPolicy
from rollout.git.errors import WriteBackRefused
from rollout.git.mirror import Mirror
from rollout.git.reverting import Order
from rollout.gitops import notes
from rollout.gitops.notes import Due
from rollout.gitops.secrets import read_secret
from rollout.gitops.statuses import host
from rollout.kube.client import Kube


async def revert(
    kube: Kube, policy: GitPolicy, source: GitSource, mirror: Mirror, verdict: Due, mode: WriteBackMode
) -> str:
    """Put back what a verdict refused; what people should be told of it, '' where there is nothing to do.

    Raises `WriteBackRefused`, and `Retry` or `Stalled` of the remote, the host and the Secrets.
    """
    back, proposed = source.spec.write_back, mode is WriteBackMode.REVERT_BRANCH
    order = notes.revert(verdict, back.author, proposed=proposed)
    if order is None:
        return ""
    try:
        if back.signing_key_ref is not None:
            key = await _signing_key(kube, source.metadata.namespace, back.signing_key_ref.name)
            order = replace(order, signing_key=key)
        commit = await mirror.revert(order)
    except Stalled as refused:
        raise WriteBackRefused(str(refused)) from refused
    if not commit:
        return ""
    said = f"{commit[:12]} puts {order.path} back to {order.good[:12]} on {order.proposed or order.branch}"
    if not proposed:
        return said
    return f"{said}: {await _ask(kube, policy, source, order)}"


async def _ask(kube: Kube, policy: GitPolicy, source: GitSource, order: Order) -> str:
    """Open the pull request; its page, or what to do by hand."""
    provider = source.spec.write_back.provider
    if provider is None:
        return f"merge it into {order.branch} (spec.writeBack.provider is not set: no pull request)"
    try:
        async with await host(kube, source, provider, policy) as forge:
            return await forge.propose(Proposal(order.proposed, order.branch, order.subject, order.body))
    except Stalled as refused:
        return f"open the pull request by hand, since {refused}"


async def _signing_key(kube: Kube, namespace: str, name: str) -> bytes:
    data = await read_secret(kube, namespace, name, "spec.writeBack.signingKeyRef.name")
    return data.get("identity", b"no key")
