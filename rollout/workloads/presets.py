"""What a preset stands for: the series that a known data plane writes, and how they tell the versions apart.

The names and labels are those of the vendors' manuals; docs/presets.md says which.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isclose

from rollout.api.compare import Arms, ArmsPreset, Compare, Histogram, LatencyUnit, MetricPreset, Proportion
from rollout.api.errors import InvalidSpec, Problem
from rollout.plan.observed import Backend, Plane

Matchers = Callable[[str, tuple[Backend, ...]], str]
"""The matchers of an arm (`stable` or `canary`), placeholders open, by where the routes name the pair."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A histogram of how long requests took; `edges` in seconds are those that it has by default."""

    buckets: str
    unit: LatencyUnit
    edges: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Who writes the series."""

    matchers: Matchers
    total: str
    bad: str
    latency: Latency | None
    controllers: tuple[str, ...] = ()
    """Beginnings of the `controllerName` by which a route says that this is its data plane."""
    bound: bool = False
    """It sees only requests of routes that are its own."""
    probed: bool = False
    """It sees requests that no route split as well, such as the kubelet's probes."""


def _pods(arm: str, _: tuple[Backend, ...]) -> str:
    return f'namespace="{{{{namespace}}}}",pod=~"{{{{name}}}}-{{{{{arm}.hash}}}}-[a-z0-9]{{5}}"'


def _traefik(arm: str, _: tuple[Backend, ...]) -> str:
    owner = f"{{{{namespace}}}}-{{{{{arm}.service}}}}"
    return f'service=~"httproute-{{{{namespace}}}}-.+-svc-{owner}-[0-9]+@kubernetesgateway"'


def _istio(arm: str, _: tuple[Backend, ...]) -> str:
    return (
        f'reporter="source",destination_service_name="{{{{{arm}.service}}}}",'
        'destination_service_namespace="{{namespace}}"'
    )


def _linkerd(arm: str, backends: tuple[Backend, ...]) -> str:
    return f'direction="inbound",{_pods(arm, backends)}'


def _envoy_gateway(arm: str, backends: tuple[Backend, ...]) -> str:
    """A cluster for each backendRef, named by its place in the route: the Service's name is not in it."""
    places = sorted(
        f"httproute/{{{{namespace}}}}/{each.route}/rule/{each.rule}/backend/{each.at(arm)}"
        for each in backends
    )
    if len(places) == 1:
        return f'envoy_cluster_name="{places[0]}"'
    return f'envoy_cluster_name=~"{"|".join(places)}"'


def _nginx_gateway(arm: str, _: tuple[Backend, ...]) -> str:
    return f'nginx_upstream_name=~"{{{{namespace}}}}_{{{{{arm}.service}}}}_[0-9]+"'


_ENVOY_EDGES = (
    0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600,
)  # fmt: skip
_LINKERD_EDGES = tuple(step * 10.0**power for power in range(-3, 2) for step in (1, 2, 3, 4, 5))

SOURCES: Mapping[ArmsPreset, Source] = {
    ArmsPreset.PODS: Source(
        _pods,
        total="http_requests_total",
        bad='http_requests_total{code=~"5.."}',
        latency=Latency(
            "http_request_duration_seconds_bucket",
            LatencyUnit.SECONDS,
            (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        ),
    ),
    ArmsPreset.TRAEFIK: Source(
        _traefik,
        total="traefik_service_requests_total",
        bad='traefik_service_requests_total{code=~"5.."}',
        latency=Latency(
            "traefik_service_request_duration_seconds_bucket", LatencyUnit.SECONDS, (0.1, 0.3, 1.2, 5)
        ),
        controllers=("traefik.io/",),
        bound=True,
    ),
    ArmsPreset.ISTIO: Source(
        _istio,
        total="istio_requests_total",
        bad='istio_requests_total{response_code=~"5.."}',
        latency=Latency("istio_request_duration_milliseconds_bucket", LatencyUnit.MILLISECONDS, _ENVOY_EDGES),
        controllers=("istio.io/",),
        bound=True,
    ),
    ArmsPreset.ENVOY_GATEWAY: Source(
        _envoy_gateway,
        total="envoy_cluster_upstream_rq_xx",
        bad='envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}',
        latency=Latency("envoy_cluster_upstream_rq_time_bucket", LatencyUnit.MILLISECONDS, _ENVOY_EDGES),
        controllers=("gateway.envoyproxy.io/",),
        bound=True,
    ),
    ArmsPreset.LINKERD: Source(
        _linkerd,
        total="response_total",
        bad='response_total{classification="failure"}',
        latency=Latency("response_latency_ms_bucket", LatencyUnit.MILLISECONDS, _LINKERD_EDGES),
        controllers=("linkerd.io/",),
        probed=True,
    ),
    ArmsPreset.NGINX_GATEWAY: Source(
        _nginx_gateway,
        total="nginx_http_upstream_peer_responses_total",
        bad='nginx_http_upstream_peer_responses_total{nginx_status_range="5xx"}',
        latency=None,
        controllers=("gateway.nginx.org/",),
        bound=True,
    ),
}

UNTOLD = "no route says yet which data plane serves it"
_OWN = "write arms: {preset: pods} for the application's own series"


def resolved(compare: Compare, plane: Plane, path: str) -> Compare:
    """`compare` without presets: its series named, its arms as matchers, with placeholders left open.

    Raises:
        InvalidSpec: what it asks for is not there; the problem is at `path`.
    """
    preset = source_of(compare, plane, path)
    given = compare.arms.label is not None or compare.arms.stable is not None
    found = () if given else tuple(_amiss(compare, preset, plane, path))
    if found:
        raise InvalidSpec(found)
    arms = compare.arms if given else Arms(preset=preset)
    told: dict[str, object] = {
        "arms": Arms(stable=_matchers(arms, "stable", plane), canary=_matchers(arms, "canary", plane))
    }
    if compare.preset is not None and SOURCES[preset].probed:
        told |= {"routed": False}
    return compare.model_copy(update=told | _measure(compare, SOURCES[preset]))


def strange_edges(preset: ArmsPreset, compare: Compare) -> tuple[float, ...]:
    """Edges, in seconds, that the latency of `preset` does not have by default."""
    latency = SOURCES[preset].latency
    known = latency.edges if latency else ()
    asked = [edge.total_seconds() for edge in compare.slo or ()]
    return tuple(edge for edge in asked if not any(isclose(edge, each) for each in known))


def source_of(compare: Compare, plane: Plane, path: str) -> ArmsPreset:
    """Whose series a preset takes: a data plane's, or (`pods`) the application's own.

    Raises:
        InvalidSpec: nobody says which data plane it is; the problem is at `path`.
    """
    if compare.preset is not None and "arms" not in compare.model_fields_set:
        return _serving(plane, path)
    return compare.arms.preset or ArmsPreset.PODS


def _measure(compare: Compare, source: Source) -> dict[str, object]:
    match compare.preset:
        case MetricPreset.ERRORS:
            return {"preset": None, "proportion": Proportion(bad=source.bad, total=source.total)}
        case MetricPreset.LATENCY:
            assert source.latency is not None, "refused where there is none"
            assert compare.slo is not None, "a latency has edges"
            latency = Histogram(buckets=source.latency.buckets, slo=compare.slo, unit=source.latency.unit)
            return {"preset": None, "slo": None, "histogram": latency}
        case None:
            return {}


def _matchers(arms: Arms, arm: str, plane: Plane) -> str:
    if arms.label is not None:
        return f'{arms.label}="{{{{{arm}.hash}}}}"'
    if arms.preset is not None:
        return SOURCES[arms.preset].matchers(arm, plane.backends)
    text = arms.stable if arm == "stable" else arms.canary
    assert text is not None, "arms without preset and label have both matchers"
    return text


def _serving(plane: Plane, path: str) -> ArmsPreset:
    """The one preset whose data plane serves the routes. Raises InvalidSpec."""
    found = {preset for preset, source in SOURCES.items() if _is_of(source, plane)}
    if len(found) == 1:
        return found.pop()
    known = ", ".join(sorted(SOURCES))
    if not plane.controllers:
        what = UNTOLD
        remedy = (
            f"write arms: {{preset: ...}}: {known}; or give its Gateway and GatewayClass to lint and plan"
        )
    elif found:
        what, remedy = f"{_served(plane)}, more than one data plane", f"write arms: {{preset: ...}}: {known}"
    else:
        what, remedy = f"{_served(plane)}, which has no preset", f"{_OWN}, or name the series"
    raise InvalidSpec((Problem(path, what, remedy),))


def _is_of(source: Source, plane: Plane) -> bool:
    return any(name.startswith(source.controllers) for name in plane.controllers)


def _served(plane: Plane) -> str:
    return f"the routes are served by {' and '.join(plane.controllers)}"


def _amiss(compare: Compare, preset: ArmsPreset, plane: Plane, path: str) -> Iterator[Problem]:
    source = SOURCES[preset]
    if source.bound and plane.controllers and not _is_of(source, plane):
        yield Problem(path, f"{_served(plane)}, which does not write the series of {preset}", _OWN)
    if compare.preset is MetricPreset.LATENCY and source.latency is None:
        yield Problem(path, f"{preset} has no histogram of latencies", _OWN)
    if preset is ArmsPreset.ENVOY_GATEWAY:
        yield from _not_apart(plane, path)


def _not_apart(plane: Plane, path: str) -> Iterator[Problem]:
    """Envoy Gateway makes one cluster of a rule, unless a backendRef has filters of its own."""
    if not plane.backends:
        yield Problem(path, "no route is known that names both Services", "give the route")
    for each in plane.backends:
        if not each.filtered:
            yield Problem(
                path,
                f"Envoy Gateway counts all backends of rule {each.rule} of route {each.route!r} together",
                f"give one of its backendRefs a filter, such as responseHeaderModifier, or {_OWN}",
            )
