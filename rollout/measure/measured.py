"""What a turn learned by measuring, and the checkpoint that it leaves to be written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analysis.course import Sight
from analysis.verdict import Judgement
from rollout.plan.evidence import NO_EVIDENCE, Evidence


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A checkpoint that is ahead of the written one, and whether it is time to PUT it."""

    due: bool
    render: Callable[[], Mapping[str, Any]]

    @property
    def run(self) -> Mapping[str, Any]:
        """The AnalysisRun to PUT; it is made when it is asked for, since most looks write nothing."""
        return self.render()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a turn learned: the verdict, the checkpoint that is not written yet, and when to look again."""

    evidence: Evidence
    unsaved: Unsaved | None = None
    look_at: datetime | None = None
    judgement: Judgement | None = None
    """What the evidence is the gist of; None where nothing was judged."""
    sight: Sight | None = None
    """The same as a point of a picture."""


NOTHING = Measured(NO_EVIDENCE)
