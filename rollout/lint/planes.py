"""Which data plane serves a Rollout's routes, as far as manifests tell, and what presets come to there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rollout.api.analysis import Metric
from rollout.api.base import Manifest
from rollout.api.compare import ArmsPreset
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.rollout import Argument, GivenArgument, Rollout
from rollout.api.selectors import filled
from rollout.lint.alone import namespace
from rollout.lint.findings import Document, Finding, Severity, finding
from rollout.lint.seeking import find
from rollout.plan.observed import Plane
from rollout.routers.planes import read_plane
from rollout.workloads import presets, runs


def plane_of(document: Document, rollout: Rollout, known: Sequence[Document]) -> Plane:
    """By the routes' status where it is given, and by their Gateways and GatewayClasses."""
    canary, where = rollout.spec.strategy.canary, namespace(document.body)
    refs = canary.traffic_routing.gateway_api.http_routes
    given = [(find(known, "HTTPRoute", ref.name, where), ref.rule or None) for ref in refs]
    routes = [(route, rule) for route, rule in given if route is not None]
    plane = read_plane(routes, canary.stable_service, canary.canary_service)
    named = {name for route, _ in routes for name in _controllers(route, where, known)}
    return replace(plane, controllers=tuple(sorted({*plane.controllers, *named})))


def _controllers(route: Manifest, where: str, known: Sequence[Document]) -> Iterator[str]:
    for ref in route["spec"].get("parentRefs") or ():
        gateway = find(known, "Gateway", str(ref.get("name")), str(ref.get("namespace") or where))
        chosen = str(gateway["spec"].get("gatewayClassName")) if gateway is not None else ""
        kind = find(known, "GatewayClass", chosen, None)
        if kind is not None:
            yield str(kind["spec"].get("controllerName"))


def resolutions(
    document: Document, rollout: Rollout, templates: runs.Templates, plane: Plane
) -> Iterator[Finding]:
    """What each metric with a preset counts; the hashes of the two versions are known only when it runs."""
    values = _values(document, rollout)
    for path, _, analysis in runs.asked_by(rollout.spec):
        for index, ref in enumerate(analysis.templates):
            template = templates.get((ref.template_name, ref.cluster_scope))
            where = f"{path}.templates[{index}]"
            for metric in template.compared if template else ():
                if metric.compare.preset or metric.compare.arms.preset not in (None, ArmsPreset.PODS):
                    args = _arguments(template.args if template else (), analysis.args)
                    yield from _resolution(document, metric, plane, where, {**values, **args})


def _resolution(
    document: Document, metric: Metric, plane: Plane, where: str, values: Mapping[str, str]
) -> Iterator[Finding]:
    try:
        preset = presets.source_of(metric.compare, plane, where)
        compare = presets.resolved(metric.compare, plane, where)
    except InvalidSpec:
        return  # said already
    said = [f"{path.rpartition('.')[2]} {filled(text, values)}" for path, text in compare.selectors]
    *counted, stable, canary = said
    arms = f"stable {{{stable.partition(' ')[2]}}}, canary {{{canary.partition(' ')[2]}}}"
    what = f"metric {metric.name!r} ({preset}): {', '.join(counted)}; {arms}"
    yield finding(document, Problem(where, what), Severity.NOTE)
    for edge in presets.strange_edges(preset, metric.compare):
        what = f"metric {metric.name!r}: {edge:g} s is no edge of the histogram that {preset} has by default"
        remedy = f"use one of {_edges(preset)}, or give the histogram that edge"
        yield finding(document, Problem(where, what, remedy), Severity.WARNING)


def _edges(preset: ArmsPreset) -> str:
    latency = presets.SOURCES[preset].latency
    return ", ".join(f"{edge:g} s" for edge in latency.edges) if latency else "none"


def _values(document: Document, rollout: Rollout) -> dict[str, str]:
    """What placeholders stand for; those that only a run knows stand for themselves."""
    open_ones = {f"{arm}.{fact}" for arm in ("stable", "canary") for fact in ("hash", "revision")}
    canary = rollout.spec.strategy.canary
    return {
        **{name: f"{{{{{name}}}}}" for name in open_ones},
        "namespace": namespace(document.body) or "{{namespace}}",
        "name": rollout.metadata.name,
        "stable.service": canary.stable_service,
        "canary.service": canary.canary_service,
    }


def _arguments(declared: Sequence[Argument], given: Sequence[GivenArgument]) -> dict[str, str]:
    """Values by placeholder; one that is not known yet stands for itself."""
    defaults = {each.name: each.value for each in declared}
    told = {each.name: each.placeholder if each.value is None else each.value for each in given}
    values = defaults | {name: value for name, value in told.items() if value is not None}
    return {
        f"args.{name}": f"{{{{args.{name}}}}}" if value is None else value for name, value in values.items()
    }
