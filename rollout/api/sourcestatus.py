"""What came of reading a GitSource."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from rollout.api.base import Model
from rollout.api.meta import ObjectCondition

INVENTORY_LIMIT = 5000


class AppliedRevision(Model):
    """What became of a commit."""

    commit: str
    result: str
    time: datetime
    author: str = ""
    subject: str = ""
    message: str = ""


class InventoryEntry(Model):
    """An object that this source applied."""

    api_version: str
    kind: str
    namespace: str = ""
    name: str
    stale: bool = False
    """Whether it left Git and is still there."""

    def __str__(self) -> str:
        """Render as `Service shop/web`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class GitSourceStatus(Model):
    """What came of reading it."""

    excluded_tags: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    """IMAGE:TAG that failed here: they are not committed again."""

    observed_generation: int = 0
    last_attempted_revision: str = ""
    """BRANCH@COMMIT that was read last."""
    last_applied_revision: str = ""
    """BRANCH@COMMIT whose objects stand in the cluster."""
    last_handled_reconcile_at: str = ""
    conditions: tuple[ObjectCondition, ...] = ()
    """Ready, FetchFailed, Stalled, Reconciling."""
    history: tuple[AppliedRevision, ...] = ()
    """The last 10 commits that were read."""
    inventory: Annotated[tuple[InventoryEntry, ...], Field(max_length=INVENTORY_LIMIT)] = ()
    """What was applied, and may be deleted when it leaves Git."""
