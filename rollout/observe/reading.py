"""From a live Rollout object to values, leniently: an abort works while all else is wrong. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.identity import attempt_key, template_hash
from rollout.api.intents import Intent, find
from rollout.api.rollout import RolloutSpec, parse_rollout
from rollout.api.status import RolloutStatus, SourceStatus, Stage
from rollout.plan.observed import Traffic, Wanted
from rollout.workloads import finalizers

SOURCE_ANNOTATION = "progressive.delivery/source"
"""On an object that a GitSource applied: JSON with gitSource, commit, branch, path, subject and blob."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class RouteName:
    """A route that the spec names, and the field that names it."""

    name: str
    rule: str
    path: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What one Rollout object says."""

    status: RolloutStatus
    spec: RolloutSpec | None
    problems: tuple[Problem, ...]
    wanted: Wanted | None
    traffic: Traffic | None
    routes: tuple[RouteName, ...]
    intents: tuple[Intent, ...]
    source: SourceStatus | None
    notes: tuple[str, ...]
    deleted_at: datetime | None = None
    finalized: bool = False


def read(rollout: Manifest, now: datetime) -> Reading:
    """All that the object itself tells."""
    status = read_status(rollout.get("status") or {})
    spec, problems = _spec(rollout)
    annotations = rollout["metadata"].get("annotations") or {}
    return Reading(
        status=status,
        spec=spec,
        problems=problems,
        wanted=_wanted(rollout, spec, status),
        traffic=_traffic(rollout, status),
        routes=_routes(rollout),
        intents=find(annotations, annotated(rollout), now),
        source=read_source(annotations),
        notes=_pruned(annotations, spec),
        deleted_at=_time(rollout["metadata"].get("deletionTimestamp")),
        finalized=finalizers.held(rollout),
    )


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
            revision=f"{branch}@{commit[:7]}",
            subject=str(told.get("subject", ""))[:200],
        )
    except (KeyError, ValueError, AttributeError):
        return None


def _spec(rollout: Manifest) -> tuple[RolloutSpec | None, tuple[Problem, ...]]:
    try:
        return parse_rollout(rollout).spec, ()
    except InvalidSpec as invalid:
        return None, invalid.problems


def _wanted(rollout: Manifest, spec: RolloutSpec | None, status: RolloutStatus) -> Wanted | None:
    template = (rollout.get("spec") or {}).get("template")
    if not isinstance(template, Mapping):
        return None
    revision = template_hash(template, status.collision_count)
    containers = (template.get("spec") or {}).get("containers") or ()
    images = tuple(str(each.get("image", "")) for each in containers if isinstance(each, Mapping))
    return Wanted(revision, attempt_key(spec) if spec is not None else status.attempt, images)


def _traffic(rollout: Manifest, status: RolloutStatus) -> Traffic | None:
    """The Services that the spec names; in a deletion those that were written last, whatever it names now."""
    written = status.canary.services
    if "deletionTimestamp" in rollout["metadata"] and written is not None:
        return Traffic(written.stable, written.canary)
    canary = _at(rollout, "spec", "strategy", "canary")
    stable, other = canary.get("stableService"), canary.get("canaryService")
    return Traffic(str(stable), str(other)) if stable and other else None


def _routes(rollout: Manifest) -> tuple[RouteName, ...]:
    gateway = _at(rollout, "spec", "strategy", "canary", "trafficRouting", "gatewayAPI")
    path = "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes"
    listed = gateway.get("httpRoutes")
    return tuple(
        RouteName(str(each.get("name", "")), str(each.get("rule") or ""), f"{path}[{index}]")
        for index, each in enumerate(listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping)
    )


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
