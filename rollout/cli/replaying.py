"""Who the two versions of a backtest are: by hashes, by matchers, or by what the templates say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from analysis.evidence import Series
from rollout.api import compare
from rollout.api.analysis import Metric
from rollout.api.selectors import are_matchers
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.planned import Planned
from rollout.replay.cluster import Cluster, Versions
from rollout.workloads.labels import HASH_LABEL
from rollout.workloads.runs import Templates

UNNAMED = Versions("stable", "canary")
"""Where matchers tell the versions apart, nobody asks for their hashes."""
START = datetime.fromisoformat("2026-01-01T00:00:00Z")

_HASH = re.compile(r"[a-z0-9]{1,63}")
_HASH_AS_LABEL = HASH_LABEL.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Arms:
    """Who was the canary, and who was stable."""

    planned: Planned
    templates: Templates
    versions: Versions
    named: Versions
    """As they are told to people: hashes or matchers; '' where the templates alone say who they are."""

    @classmethod
    def of(cls, planned: Planned, canary: str, stable: str) -> "Arms":
        """From --canary and --stable. Raises Failure(USAGE) where they tell nothing, or too little."""
        if bool(canary) != bool(stable):
            raise Failure("--canary and --stable belong together", ExitCode.USAGE)
        if not canary:
            found = cls(planned, planned.templates, UNNAMED, Versions("", ""))
            if found._asked() != replace(found, versions=Versions("a", "b"))._asked():
                name = planned.rollout.metadata.name
                raise Failure(
                    f"{name}: its metrics tell the versions apart by their hashes: "
                    "say --canary HASH --stable HASH, or matchers for both",
                    ExitCode.USAGE,
                )
            return found
        given = Versions(stable, canary)
        if _HASH.fullmatch(canary) and _HASH.fullmatch(stable):
            if canary == stable:
                raise Failure(f"--canary and --stable are both {canary}", ExitCode.USAGE)
            return cls(planned, planned.templates, given, given)
        for option, text in (("--canary", canary), ("--stable", stable)):
            if not are_matchers(text):
                raise Failure(
                    f"{option} {text!r}: write a hash such as 7d4b9c, or matchers such as 'version=\"v2\"'; "
                    "both versions alike",
                    ExitCode.USAGE,
                )
        return cls(planned, _told_apart(planned.templates, canary, stable), UNNAMED, given)

    def cluster(self, began: datetime) -> Cluster:
        """The Rollout at the moment at which its canary is committed."""
        metadata = self.planned.rollout.metadata
        namespace = metadata.namespace or "default"
        spec = self.planned.rollout.spec
        plane = self.planned.plane
        return Cluster(namespace, metadata.name, spec, self.templates, self.versions, began, plane)

    def _asked(self) -> object:
        asked = self.cluster(START).asks()
        return [(each.name, each.compare) for each in asked.compared]

    def missing(self, series: Sequence[Series]) -> str:
        """Why a record can't be replayed, and whom it does have."""
        known = sorted(self._hashes(series))
        hint = f"it has pods of {', '.join(known)}" if known else "none of its series has such labels"
        versions = self.versions
        named = "" if versions == UNNAMED else f" (canary {versions.canary}, stable {versions.stable})"
        return f"no samples of both versions{named}: {hint}; look at --canary, --stable and the namespace"

    def _hashes(self, series: Sequence[Series]) -> set[str]:
        name = re.escape(self.planned.rollout.metadata.name)
        pod = re.compile(rf"{name}-([a-z0-9]+)-[a-z0-9]{{5}}")
        pods = (pod.fullmatch(one.labels.get("pod", "")) for one in series)
        labels = (one.labels.get(_HASH_AS_LABEL, "") for one in series)
        return {found[1] for found in pods if found} | {label for label in labels if label}


def _told_apart(templates: Templates, canary: str, stable: str) -> Templates:
    """The templates, with these matchers for the arms of every metric."""
    arms = compare.Arms(canary=canary, stable=stable)
    return {
        key: template.model_copy(
            update={
                "metrics": tuple(
                    metric.model_copy(update={"compare": metric.compare.model_copy(update={"arms": arms})})
                    if isinstance(metric, Metric)
                    else metric
                    for metric in template.metrics
                )
            }
        )
        for key, template in templates.items()
    }
