"""From a live Rollout object to values, leniently: an abort works while all else is wrong. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.identity import attempt_key, template_hash
from rollout.api.intents import Intent, find
from rollout.api.rollout import RolloutSpec, parse_rollout
from rollout.api.status import REFUSED_LIMIT, RefusedAttempt, RolloutStatus, SourceStatus, Stage
from rollout.plan.observed import Traffic, Wanted
from rollout.workloads import finalizers

SOURCE_ANNOTATION = "progressive.delivery/source"
"""On an object that a GitSource applied: JSON with gitSource, commit, branch, path, subject and blob."""
RECOVERED_ANNOTATION = "progressive.delivery/recovered"
"""On a Rollout whose template is the last good one of a cluster before this one: JSON with the attempts that
were refused there."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class RouteName:
    """A route that the spec names, and the field that names it."""

    name: str
    rule: str
    path: str


@dataclass(frozen=True, slots=True)
class Specified:
    """What the spec of one Rollout says, which most turns find as the one before did."""

    mark: tuple[int, int]
    """The generation, and a hash of what was applied last: while these stand, so does the rest."""
    spec: RolloutSpec | None
    problems: tuple[Problem, ...]
    attempt: str
    """The attempt key; empty where the spec is invalid."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one Rollout object says."""

    specified: Specified

    status: RolloutStatus
    spec: RolloutSpec | None
    problems: tuple[Problem, ...]
    wanted: Wanted | None
    traffic: Traffic | None
    routes: tuple[RouteName, ...]
    intents: tuple[Intent, ...]
    source: SourceStatus | None
    notes: tuple[str, ...]
    recovered: tuple[RefusedAttempt, ...] | None = None
    deleted_at: datetime | None = None
    finalized: bool = False


def read(rollout: Manifest, now: datetime, known: Specified | None = None) -> Reading:
    """All that the object itself tells; `known` is what its spec told before."""
    status = read_status(rollout.get("status") or {})
    annotations = rollout["metadata"].get("annotations") or {}
    said = _specified(rollout, annotations, known)
    return Reading(
        specified=said,
        status=status,
        spec=said.spec,
        problems=said.problems,
        wanted=_wanted(rollout, said, status),
        traffic=traffic(rollout),
        routes=routes(rollout),
        intents=find(annotations, annotated(rollout), now),
        source=read_source(annotations),
        notes=said.notes,
        recovered=read_recovered(annotations),
        deleted_at=_time(rollout["metadata"].get("deletionTimestamp")),
        finalized=finalizers.held(rollout),
    )


def _specified(rollout: Manifest, annotations: Mapping[str, str], known: Specified | None) -> Specified:
    mark = (int(rollout["metadata"].get("generation", 0)), hash(annotations.get(LAST_APPLIED)))
    if known is not None and known.mark == mark:
        return known
    spec, problems = _spec(rollout)
    attempt = attempt_key(spec) if spec is not None else ""
    return Specified(mark, spec, problems, attempt, _pruned(annotations, spec))


def read_status(status: Mapping[str, Any]) -> RolloutStatus:
    """A status as it stands; fields that can't be read count as absent and don't make us forget the rest."""
    kept = dict(status)
    if "stage" not in kept and kept.get("stableRS"):
        # Dropped by an old CRD, or written by Argo Rollouts: a version serves, so this is no first one.
        kept["stage"] = Stage.STABLE if kept.get("currentPodHash") == kept["stableRS"] else Stage.STEPPING
    while True:
        try:
            return RolloutStatus.model_validate(kept)
        except ValidationError as error:
            wrong = {str(details["loc"][0]) for details in error.errors()}
            known = {key for key in kept if key in wrong}
            if not known:
                return RolloutStatus()
            kept = {key: value for key, value in kept.items() if key not in known}


def annotated(manifest: Manifest) -> dict[str, tuple[datetime, str]]:
    """By annotation: when it was last set and by which field manager, as managedFields tell."""
    found: dict[str, tuple[datetime, str]] = {}
    for entry in manifest["metadata"].get("managedFields") or ():
        fields = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        when = _time(entry.get("time"))
        for field in fields:
            name = field.removeprefix("f:")
            if when is not None and (name not in found or when > found[name][0]):
                found[name] = (when, str(entry.get("manager", "unknown")))
    return found


def read_source(annotations: Mapping[str, str]) -> SourceStatus | None:
    """Where the manifest came from, as the Git applier noted it."""
    try:
        told = json.loads(annotations[SOURCE_ANNOTATION])
        commit, branch = str(told.get("commit", "")), str(told.get("branch", ""))
        return SourceStatus(
            git_source=str(told.get("gitSource", "")),
            commit=commit,
            path=str(told.get("path", "")),
            branch=branch,
            revision="@".join(part for part in (branch, commit[:7]) if part),
            subject=str(told.get("subject", ""))[:200],
        )
    except (KeyError, ValueError, AttributeError):
        return None


def read_recovered(annotations: Mapping[str, str]) -> tuple[RefusedAttempt, ...] | None:
    """What was refused in a cluster before this one, as the Git applier noted it; None where it did not."""
    if RECOVERED_ANNOTATION not in annotations:
        return None
    try:
        told = json.loads(annotations[RECOVERED_ANNOTATION])
        return tuple(RefusedAttempt.model_validate(each) for each in told)[-REFUSED_LIMIT:]
    except (ValueError, TypeError):
        return ()


def _spec(rollout: Manifest) -> tuple[RolloutSpec | None, tuple[Problem, ...]]:
    try:
        return parse_rollout(rollout).spec, ()
    except InvalidSpec as invalid:
        return None, invalid.problems


def _wanted(rollout: Manifest, said: Specified, status: RolloutStatus) -> Wanted | None:
    template = (rollout.get("spec") or {}).get("template")
    if not isinstance(template, Mapping):
        return None
    revision = template_hash(template, status.collision_count)
    containers = (template.get("spec") or {}).get("containers") or ()
    images = tuple(str(each.get("image", "")) for each in containers if isinstance(each, Mapping))
    return Wanted(revision, said.attempt or status.attempt, images)


def traffic(rollout: Manifest) -> Traffic | None:
    """The Services that the spec names; in a deletion those that were written last, whatever it names now."""
    written = _at(rollout, "status", "canary", "services")
    if "deletionTimestamp" in rollout["metadata"] and {"stable", "canary"} <= written.keys():
        return Traffic(str(written["stable"]), str(written["canary"]))
    canary = _at(rollout, "spec", "strategy", "canary")
    stable, other = canary.get("stableService"), canary.get("canaryService")
    return Traffic(str(stable), str(other)) if stable and other else None


def routes(rollout: Manifest) -> tuple[RouteName, ...]:
    """The routes that the spec names."""
    gateway = _at(rollout, "spec", "strategy", "canary", "trafficRouting", "gatewayAPI")
    path = "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes"
    listed = gateway.get("httpRoutes")
    return tuple(
        RouteName(str(each.get("name", "")), str(each.get("rule") or ""), f"{path}[{index}]")
        for index, each in enumerate(listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping)
    )


def templates(rollout: Manifest) -> Iterator[tuple[str, bool]]:
    """(name, whether it is a ClusterAnalysisTemplate) of every template that the spec names."""
    canary = _at(rollout, "spec", "strategy", "canary")
    steps = canary.get("steps")
    asking = [canary, *(steps if isinstance(steps, list) else ())]
    for each in asking:
        listed = _at(each, "analysis").get("templates")
        for ref in listed if isinstance(listed, list) else ():
            if isinstance(ref, Mapping):
                yield str(ref.get("templateName", "")), ref.get("clusterScope") is True


def _at(value: Any, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _pruned(annotations: Mapping[str, str], spec: RolloutSpec | None) -> tuple[str, ...]:
    """Fields that somebody applied and the server dropped: named, since they silently do nothing (D6)."""
    if spec is None or LAST_APPLIED not in annotations:
        return ()
    try:
        parse_rollout(json.loads(annotations[LAST_APPLIED]))
    except InvalidSpec as invalid:
        return tuple(f"FieldsPruned: {problem}" for problem in invalid.problems)
    except (ValueError, AttributeError, KeyError):
        return ()
    return ()


def _time(text: object) -> datetime | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return when if when.tzinfo else None
