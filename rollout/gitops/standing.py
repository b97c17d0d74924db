"""A revision as a GitSource applies it: read, parsed, allowed and in order."""

import asyncio
from dataclasses import dataclass, replace

from rollout.api.gitsource import DriftPolicy, GitSource
from rollout.api.sourcestatus import GitSourceStatus
from rollout.git.manifests import Manifest as Written
from rollout.git.manifests import Parser, apply_order
from rollout.git.mirror import Mirror
from rollout.git.revision import Revision
from rollout.gitops.allowing import allowed
from rollout.gitops.policy import CLUSTER_SCOPED
from rollout.gitops.refusals import Refusals
from rollout.gitops.trying import Source
from rollout.kube.discovery import Discovery


@dataclass(frozen=True, slots=True)
class Standing:
    """A revision as it was applied."""

    source: Source
    manifests: tuple[Written, ...]
    generation: int

    def beside(self, before: "Standing") -> "Standing":
        """With the objects that it lacks as they stood before."""
        keys = {each.key for each in self.manifests}
        return replace(self, manifests=(*self.manifests, *(m for m in before.manifests if m.key not in keys)))

    def is_of(self, source: GitSource, status: GitSourceStatus) -> bool:
        """Whether it is the one that was applied last, as the GitSource wants it now."""
        known = (str(self.source.revision), self.generation, self.generation)
        return known == (
            status.last_applied_revision,
            source.metadata.generation,
            status.observed_generation,
        )


async def stand(
    source: GitSource,
    mirror: Mirror,
    revision: Revision,
    discovery: Discovery,
    home: str,
    parser: Parser | None = None,
    refusals: Refusals | None = None,
) -> Standing:
    """Read a revision; `home` is the namespace whose GitSources may hold what is not a tenant's.

    Raises:
        Stalled: its files can't be taken, or hold what this source may not apply.
        Retry: the mirror or the API server can't be read.
    """
    spec, namespace, refusals = source.spec, source.metadata.namespace, refusals or Refusals()
    blobs = await mirror.read(revision, spec.path)
    sift = (parser or Parser()).sift
    parsed, problems = await asyncio.to_thread(sift, blobs, namespace, CLUSTER_SCOPED)
    refusals.note(None, problems)
    refusals.settle("MalformedManifest")
    ordered = apply_order(parsed)
    manifests = await allowed(discovery, ordered, home, refusals, at_home=home == namespace)
    place = Source(
        namespace,
        source.metadata.name,
        mirror,
        revision,
        spec.ignore,
        takes_back=spec.drift_policy is DriftPolicy.CORRECT,
    )
    return Standing(place, manifests, source.metadata.generation)
