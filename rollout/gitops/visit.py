"""What one turn of one GitSource is about."""

from dataclasses import dataclass
from datetime import datetime

from rollout.api.base import Manifest
from rollout.api.gitsource import GitSource
from rollout.api.sourcestatus import GitSourceStatus
from rollout.git.mirror import Mirror


@dataclass(frozen=True, slots=True)
class Visit:
    """A GitSource as it was read, what it said last, and its repository."""

    source: GitSource
    live: Manifest
    status: GitSourceStatus
    mirror: Mirror
    now: datetime

    @property
    def name(self) -> tuple[str, str]:
        """(namespace, name)"""
        return self.source.metadata.namespace, self.source.metadata.name


def status_of(live: Manifest) -> GitSourceStatus:
    """The status of a GitSource; an empty one where it can't be read."""
    try:
        return GitSourceStatus.model_validate(live.get("status") or {})
    except ValueError:
        return GitSourceStatus()
