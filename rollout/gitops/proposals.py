"""Pull requests for branches that people are to merge."""

from rollout.api.errors import Stalled
from rollout.api.gitsource import GitSource
from rollout.forge.asking import Proposal
from rollout.git.environment import GitPolicy
from rollout.gitops.statuses import host
from rollout.kube.client import Kube


async def propose(kube: Kube, policy: GitPolicy, source: GitSource, proposal: Proposal) -> str:
    """Open a pull request, if there is none yet; its page, or what to do by hand. Raises `Retry`."""
    provider = source.spec.write_back.provider
    if provider is None:
        return f"merge it into {proposal.base} (spec.writeBack.provider is not set: no pull request)"
    try:
        async with await host(kube, source, provider, policy) as forge:
            return await forge.propose(proposal)
    except Stalled as refused:
        return f"open the pull request by hand, since {refused}"
