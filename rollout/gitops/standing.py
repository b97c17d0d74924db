"""A revision as a GitSource applies it: read, parsed, allowed and in order."""

import asyncio
from dataclasses import dataclass

from rollout.api.gitsource import DriftPolicy, GitSource
from rollout.api.sourcestatus import GitSourceStatus
from rollout.git.manifests import Manifest as Written
from rollout.git.manifests import Parser, apply_order
from rollout.git.mirror import Mirror
from rollout.git.revision import Revision
from rollout.gitops.allowing import allowed
from rollout.gitops.policy import CLUSTER_SCOPED
from rollout.gitops.trying import Source
from rollout.kube.discovery import Discovery


@dataclass(frozen=True, slots=True)
class Standing:
    """A revision as it was applied."""

    source: Source
    manifests: tuple[Written, ...]
    generation: int

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
) -> Standing:
    """Read a revision; `home` is the namespace whose GitSources may hold what is not a tenant's.

    Raises:
        Stalled: its files can't be taken, or hold what this source may not apply.
        Retry: the mirror or the API server can't be read.
    """
    spec, namespace = source.spec, source.metadata.namespace
    blobs = await mirror.read(revision, spec.path)
    parsed = await asyncio.to_thread((parser or Parser()).parse, blobs, namespace, CLUSTER_SCOPED)
    manifests = await allowed(discovery, apply_order(parsed), home, at_home=home == namespace)
    place = Source(
        namespace,
        source.metadata.name,
        mirror,
        revision,
        {blob.path: blob.oid for blob in blobs},
        spec.ignore,
        takes_back=spec.drift_policy is DriftPolicy.CORRECT,
    )
    return Standing(place, manifests, source.metadata.generation)
