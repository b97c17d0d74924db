"""A refused manifest goes back: on its branch, or on one of its own with a pull request."""

from dataclasses import replace

from rollout.api.errors import Stalled
from rollout.api.gitsource import GitSource
from rollout.api.writeback import WriteBackMode
from rollout.forge.asking import Proposal
from rollout.git.environment import GitPolicy
from rollout.git.errors import WriteBackRefused
from rollout.git.mirror import Mirror
from rollout.gitops import notes
from rollout.gitops.notes import Due
from rollout.gitops.proposals import propose
from rollout.gitops.secrets import signing_key
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
        order = replace(order, signing_key=await signing_key(kube, source))
        commit = await mirror.revert(order)
    except Stalled as refused:
        raise WriteBackRefused(str(refused)) from refused
    if not commit:
        return ""
    said = f"{commit[:12]} puts {order.path} back to {order.good[:12]} on {order.proposed or order.branch}"
    if not proposed:
        return said
    proposal = Proposal(order.proposed, order.branch, order.subject, order.body)
    return f"{said}: {await propose(kube, policy, source, proposal)}"
