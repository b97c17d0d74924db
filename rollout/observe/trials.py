"""What the API server says of a template before it is tried on traffic."""

from contextlib import suppress
from datetime import datetime

from rollout.api.base import Manifest
from rollout.api.errors import Problem
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import AlreadyExists, Invalid
from rollout.observe.memory import Memory, Trial
from rollout.observe.reading import Reading
from rollout.plan import observed
from rollout.workloads import replicasets


class Trials:
    """Strict dry-runs of the ReplicaSets that new revisions would be; what was said stands for a while."""

    def __init__(self, kube: Kube, memory: Memory) -> None:
        self._kube = kube
        self._memory = memory

    async def problems(
        self,
        rollout: Manifest,
        reading: Reading,
        replica_sets: tuple[observed.ReplicaSet, ...],
        now: datetime,
    ) -> tuple[Problem, ...]:
        """What the API server says of the ReplicaSet that a new revision would be, its paths ours."""
        if reading.spec is None or reading.wanted is None or reading.deleted_at is not None:
            return ()
        if any(each.hash == reading.wanted.hash for each in replica_sets):
            return ()
        tried = self._memory.tried_templates.setdefault(rollout["metadata"]["uid"], {})
        held = tried.get(reading.wanted.hash)
        if held is None or not held.stands(now):
            held = Trial(await self._refused(rollout, reading.wanted.hash), now)
            tried[reading.wanted.hash] = held
        return held.problems

    async def _refused(self, rollout: Manifest, revision: str) -> tuple[Problem, ...]:
        try:
            await try_template(self._kube, rollout, revision)
        except Invalid as invalid:
            return invalid.problems or (Problem("spec.template", str(invalid)),)
        return ()


async def try_template(kube: Kube, rollout: Manifest, revision: str) -> None:
    """A strict dry-run of the ReplicaSet that the Rollout's template would become.

    Raises:
        Invalid: the API server refuses it, its paths ours.
        Retry: it can't be reached.
    """
    body = replicasets.render(rollout, replicasets.Revision(revision, 1), 0)
    with suppress(AlreadyExists):
        await kube.create(kinds.REPLICA_SETS, body, dry_run=True)
