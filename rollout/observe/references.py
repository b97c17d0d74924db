"""What is wrong with the objects that a Rollout refers to: each problem at the field that names it. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from rollout.api.base import Manifest
from rollout.api.errors import Problem
from rollout.observe.memory import Claim, Name
from rollout.observe.reading import Reading
from rollout.plan.observed import Plane, Run
from rollout.plan.transitions import UNDER_WAY
from rollout.routers import gateway_api
from rollout.workloads import presets, runs, services

_CANARY = "spec.strategy.canary"


def _named(reading: Reading) -> tuple[tuple[str, str], ...]:
    """(Service, field that names it)"""
    traffic = reading.traffic
    if reading.spec is None or traffic is None:
        return ()
    return (
        (traffic.stable_service, f"{_CANARY}.stableService"),
        (traffic.canary_service, f"{_CANARY}.canaryService"),
    )


def service_problems(reading: Reading, found: Mapping[str, Manifest]) -> Iterator[Problem]:
    """Services that are missing, or do not reach the pods of the template."""
    for name, path in _named(reading):
        assert reading.spec is not None
        labels = (reading.spec.template.get("metadata") or {}).get("labels") or {}
        yield from services.problems(found.get(name), name, labels, path)


def claimed_twice(reading: Reading, ours: Claim, rivals: Mapping[Name, Claim]) -> Iterator[Problem]:
    """Services that an older Rollout of the namespace writes already: one writer a Service."""
    for (_, name), claim in rivals.items():
        older = claim.age < ours.age
        for service, path in _named(reading):
            if older and service in claim.services:
                yield Problem(
                    path,
                    f"the Service {service!r} is used by the older Rollout {name!r} already",
                    "give each Rollout Services of its own",
                )


def route_problems(reading: Reading, found: Mapping[str, Manifest]) -> Iterator[Problem]:
    """Routes that are missing, or hold no pair of ours."""
    traffic = reading.traffic
    if reading.spec is None or traffic is None:
        return
    for route in reading.routes:
        yield from gateway_api.problems(
            found.get(route.name),
            route.name,
            traffic.stable_service,
            traffic.canary_service,
            route.rule or None,
            route.path,
        )


def analysis_problems(
    reading: Reading,
    templates: runs.Templates,
    broken: Mapping[runs.TemplateKey, str],
    plane: Plane,
    begun: Sequence[Run],
) -> Iterator[Problem]:
    """What keeps the analyses from being asked. That no implementation has taken a route yet is one only
    where a run is about to begin: at a first deploy everything comes at once.
    """
    if reading.spec is None:
        return
    status = reading.status
    asked = any(run.attempt == status.attempt for run in begun)
    for problem in runs.problems(reading.spec, templates, broken, plane):
        begins = status.stage in UNDER_WAY and not asked
        if begins or not problem.message.endswith(presets.UNTOLD):
            yield problem
