"""The Rollouts of a path, and what each will ask: what plans, simulations and replays begin with."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from analysis.holds import Hold
from analysis.metric import Rate
from analysis.policy import InvalidPolicy, Policy
from analysis.reading import DEFAULT_INTERVAL
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.errors import InvalidSpec
from rollout.api.parsing import parse
from rollout.api.rollout import KIND, Rollout
from rollout.cli.checking import documents_of, files_in
from rollout.cli.failure import ExitCode, Failure
from rollout.git.documents import Malformed
from rollout.lint import Document, is_kind, named, plane_of, templates_of
from rollout.measure.ahead import asked_of, holds_of, kind_of
from rollout.measure.policy import policy_of
from rollout.measure.versions import any_version, versions
from rollout.plan.observed import Plane
from rollout.workloads import runs, thresholds
from rollout.workloads.runs import Templates


@dataclass(frozen=True, slots=True)
class Planned:
    """One Rollout of PATH, and what it will ask of the judge."""

    path: str
    rollout: Rollout
    run: AnalysisRunSpec
    """What it asks, of any version unless one was named."""
    policy: Policy
    holds: tuple[Hold, ...]
    look: timedelta
    """The shortest time between two looks that a metric asks for."""
    templates: Templates
    """Of its analyses, threshold metrics included."""
    plane: Plane
    """The data plane, as far as the manifests tell it."""

    @property
    def name(self) -> str:
        """Of the Rollout."""
        return self.rollout.metadata.name

    @property
    def names(self) -> tuple[str, ...]:
        """What each hold is."""
        return tuple(kind_of(self.rollout.spec, hold) for hold in self.holds)

    @property
    def shares(self) -> frozenset[str]:
        """The metrics that are shares of requests."""
        return frozenset(m.name for m in self.policy.metrics if not isinstance(m.kind, Rate))


def rollouts_in(
    path: Path, stable: str | None = None, namespace: str = "default", *, foreseen: bool = True
) -> list[Planned]:
    """Every Rollout of a file or folder, with what its templates make of it; `stable` is a version's hash,
    `namespace` for manifests that name none. foreseen: whether it is for a forecast, which leaves out what it
    can't foretell and says so.

    Raises:
        Failure: USAGE where there is none; NO where one, or a template that it names, is not valid.
    """
    documents: list[Document] = []
    for file in files_in([path]):
        try:
            documents += documents_of(file)
        except Malformed as wrong:
            raise Failure(f"{file}:{wrong.position.line}: {wrong.message}") from wrong
    known = [document for document in documents if named(document.body)]
    rollouts = [document for document in known if is_kind(document.body, KIND.name)]
    if not rollouts:
        raise Failure(f"{path}: no Rollout in it", ExitCode.USAGE)
    found = [_planned(document, known, stable, namespace) for document in rollouts]
    if foreseen:
        _tell_what_is_left_out(found)
    return found


def _planned(document: Document, known: Sequence[Document], stable: str | None, namespace: str) -> Planned:
    try:
        rollout = parse(KIND, document.body)
        templates, broken, _ = templates_of(document, rollout, known)
        plane = plane_of(document, rollout, known)
        problems = runs.problems(rollout.spec, templates, broken, plane)
        if problems:
            raise InvalidSpec(problems)
        foreseen = {key: thresholds.without(template) for key, template in templates.items()}
        run = asked_of(rollout.spec, foreseen, plane, versions(rollout, stable, namespace))
        asked = [metric.interval for metric in run.compared if metric.interval is not None]
        look = min(asked, default=DEFAULT_INTERVAL)
        policy, holds = policy_of(run), holds_of(rollout.spec, run)
        return Planned(document.path, rollout, any_version(run), policy, holds, look, templates, plane)
    except InvalidSpec as invalid:
        raise Failure(f"{document.path}:{document.line}: {invalid.problems[0]}") from invalid
    except InvalidPolicy as invalid:
        raise Failure(f"{document.path}:{document.line}: {invalid}") from invalid


def _tell_what_is_left_out(found: Sequence[Planned]) -> None:
    """No count of requests foretells what an expression will say."""
    for each in found:
        left_out = sorted({name for template in each.templates.values() for name in thresholds.of(template)})
        if left_out:
            told = f"threshold metrics are left out, only compare is foreseen: {', '.join(left_out)}"
            sys.stderr.write(f"note: {each.name}: {told}\n")
