"""What Rollouts refer to: Services, routes and templates, and whether each has one owner."""

from collections.abc import Iterator, Sequence

from rollout.api.analysis import (
    CLUSTER_TEMPLATE_KIND,
    TEMPLATE_KIND,
    AnalysisTemplate,
    AnalysisTemplateSpec,
)
from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.parsing import Kind, parse
from rollout.api.rollout import Rollout
from rollout.lint.alone import namespace
from rollout.lint.findings import Document, Finding, Severity, finding
from rollout.lint.planes import plane_of, resolutions
from rollout.lint.seeking import find
from rollout.routers import gateway_api
from rollout.workloads import presets, runs, services

_CANARY = "spec.strategy.canary"


def referring(document: Document, rollout: Rollout, known: Sequence[Document]) -> Iterator[Finding]:
    """What is wrong with the objects that a Rollout refers to."""
    where = namespace(document.body)
    problems = (*_services(rollout, where, known), *_routes(rollout, where, known))
    yield from (finding(document, problem) for problem in problems)
    yield from _templates(document, rollout, known)


def _services(rollout: Rollout, where: str, known: Sequence[Document]) -> Iterator[Problem]:
    canary = rollout.spec.strategy.canary
    labels = rollout.spec.template["metadata"]["labels"]
    named = (("stableService", canary.stable_service), ("canaryService", canary.canary_service))
    for key, name in named:
        service = find(known, "Service", name, where)
        yield from services.problems(service, name, labels, f"{_CANARY}.{key}")


def _routes(rollout: Rollout, where: str, known: Sequence[Document]) -> Iterator[Problem]:
    canary = rollout.spec.strategy.canary
    for index, ref in enumerate(canary.traffic_routing.gateway_api.http_routes):
        route = find(known, "HTTPRoute", ref.name, where)
        path = f"{_CANARY}.trafficRouting.gatewayAPI.httpRoutes[{index}]"
        yield from gateway_api.problems(
            route, ref.name, canary.stable_service, canary.canary_service, ref.rule or None, path
        )


def _templates(document: Document, rollout: Rollout, known: Sequence[Document]) -> Iterator[Finding]:
    templates, broken, elsewhere = templates_of(document, rollout, known)
    plane = plane_of(document, rollout, known)
    for problem in runs.problems(rollout.spec, templates, broken, plane):
        untold = problem.message.endswith(presets.UNTOLD)
        severity = Severity.WARNING if problem.path in elsewhere or untold else Severity.ERROR
        yield finding(document, problem, severity)
    yield from resolutions(document, rollout, templates, plane)


def templates_of(
    document: Document, rollout: Rollout, known: Sequence[Document]
) -> tuple[dict[runs.TemplateKey, AnalysisTemplateSpec], dict[runs.TemplateKey, str], set[str]]:
    """(templates that a Rollout refers to, why others can't be parsed, fields whose template may be in the
    cluster).
    """
    templates: dict[runs.TemplateKey, AnalysisTemplateSpec] = {}
    broken: dict[runs.TemplateKey, str] = {}
    elsewhere: set[str] = set()
    for path, key in runs.references(rollout.spec):
        name, cluster = key
        kind = CLUSTER_TEMPLATE_KIND if cluster else TEMPLATE_KIND
        body = find(known, kind.name, name, None if cluster else namespace(document.body))
        if body is None and cluster:
            elsewhere.add(path)
        elif body is not None:
            _parse_template(kind, key, body, templates, broken)
    return templates, broken, elsewhere


def _parse_template(
    kind: Kind[AnalysisTemplate],
    key: runs.TemplateKey,
    body: Manifest,
    templates: dict[runs.TemplateKey, AnalysisTemplateSpec],
    broken: dict[runs.TemplateKey, str],
) -> None:
    try:
        templates[key] = parse(kind, body).spec
    except InvalidSpec as invalid:
        broken[key] = str(invalid.problems[0])


def claimed_twice(
    rollouts: Sequence[tuple[Document, Rollout]], known: Sequence[Document]
) -> Iterator[Finding]:
    """Services and rules of routes have one writer: a Rollout alone."""
    owners: dict[tuple[str, ...], str] = {}
    for document, rollout in rollouts:
        for path, claim in _claims(rollout, namespace(document.body), known):
            name = rollout.metadata.name
            owner = owners.setdefault(claim, name)
            if owner != name:
                what = f"{' '.join(claim[1:])} belongs to Rollout {owner} already"
                yield finding(document, Problem(path, what, "give each Rollout its own"))


def _claims(rollout: Rollout, where: str, known: Sequence[Document]) -> Iterator[tuple[str, tuple[str, ...]]]:
    canary = rollout.spec.strategy.canary
    stable, other = canary.stable_service, canary.canary_service
    yield f"{_CANARY}.stableService", (where, "Service", stable)
    yield f"{_CANARY}.canaryService", (where, "Service", other)
    for index, ref in enumerate(canary.traffic_routing.gateway_api.http_routes):
        route = find(known, "HTTPRoute", ref.name, where)
        rules = gateway_api.read(route, stable, other, ref.rule or None).rules if route else ()
        path = f"{_CANARY}.trafficRouting.gatewayAPI.httpRoutes[{index}]"
        yield from ((path, (where, "HTTPRoute", ref.name, "rule", rule)) for rule in rules)
