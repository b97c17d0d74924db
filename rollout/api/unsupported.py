"""Fields of the contract that are not built yet: each is refused by its name, never half-working.

The CRDs declare them, with a rule that refuses them, so that `kubectl` gives the same answer as the parser. A
field leaves this table on the day its room is built.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A field that exists in the contract, and what to do without it."""

    path: str
    """Where it stands; `[]` is any item of a list."""
    type: str = "object"
    """Its JSON type: object, array, string, integer, boolean; any: text or number; scalars: list of any."""
    remedy: str = "remove it"

    @property
    def parent(self) -> str:
        """The path of what it stands in."""
        return self.path.rpartition(".")[0]

    @property
    def field(self) -> str:
        """Its own name."""
        return self.path.rpartition(".")[2]


def _below(parent: str, remedy: str, **types: str) -> tuple[Unsupported, ...]:
    return tuple(Unsupported(f"{parent}.{name}", kind, remedy) for name, kind in types.items())


_CANARY = "spec.strategy.canary"
_ROUTING = f"{_CANARY}.trafficRouting"
_BACKGROUND = f"{_CANARY}.analysis"
_INLINE = f"{_CANARY}.steps[].analysis"
_GATEWAY = "route by trafficRouting.gatewayAPI.httpRoutes"
_SELECTOR = "selectors know {{namespace}}, {{canary.hash}} and {{stable.hash}} without an argument"
_FIELDS = "queries know {{name}} and {{namespace}} without an argument"


def _arguments(parent: str) -> tuple[Unsupported, ...]:
    return (Unsupported(f"{parent}.args[].valueFrom.fieldRef", remedy=_FIELDS),)


ROLLOUT: tuple[Unsupported, ...] = (
    Unsupported("spec.workloadRef", remedy="give the pods by spec.template"),
    Unsupported("spec.restartAt", "string", "change an annotation of spec.template to restart the pods"),
    Unsupported("spec.analysis", remedy="finished runs are removed with their ReplicaSet"),
    Unsupported("spec.strategy.blueGreen", remedy="use strategy.canary"),
    *_below(_CANARY, "remove it: the pods carry the label rollouts-pod-template-hash",
            canaryMetadata="object", stableMetadata="object"),
    Unsupported(f"{_CANARY}.antiAffinity", remedy="write the affinity into spec.template"),
    Unsupported(f"{_CANARY}.pingPong", remedy="name canaryService and stableService"),
    Unsupported(f"{_CANARY}.dynamicStableScale", "boolean", "stable stays fully scaled until promotion"),
    Unsupported(f"{_CANARY}.replicaProgressThreshold", remedy="remove it: all canary pods must be available"),
    *_below(_ROUTING, _GATEWAY, istio="object", nginx="object", alb="object", smi="object", plugins="object",
            ambassador="object", appMesh="object", traefik="object", apisix="object"),
    Unsupported(f"{_ROUTING}.managedRoutes", "array"),
    Unsupported(f"{_ROUTING}.maxTrafficWeight", "integer", "remove it: weights are percent"),
    Unsupported(f"{_ROUTING}.gatewayAPI.grpcRoutes", "array", _GATEWAY),
    *_below(f"{_CANARY}.steps[]", "use setWeight, pause, analysis or judge", setCanaryScale="object",
            setHeaderRoute="object", setMirrorRoute="object", experiment="object", plugin="object",
            replicaProgressThreshold="object"),
    *(
        row
        for place in (_BACKGROUND, _INLINE)
        for row in (
            Unsupported(f"{place}.analysisRunMetadata"),
            *_arguments(place),
        )
    ),
)  # fmt: skip

_PROVIDER = "use provider.prometheus"
_METRIC = "spec.metrics[]"

_METRICS: tuple[Unsupported, ...] = (
    *_below(f"{_METRIC}.provider", _PROVIDER, job="object", web="object", datadog="object", newRelic="object",
            cloudWatch="object", wavefront="object", graphite="object", influxdb="object", kayenta="object",
            skywalking="object", plugin="object"),
    Unsupported(f"{_METRIC}.provider.prometheus.authentication.sigv4",
                remedy="name a proxy that signs, such as aws-sigv4-proxy, as the address"),
    Unsupported(f"{_METRIC}.provider.prometheus.caCert", "string",
                "have the server's certificate signed by an authority that the operator's image trusts"),
)  # fmt: skip

ANALYSIS_TEMPLATE: tuple[Unsupported, ...] = (
    Unsupported("spec.templates", "array", "name every template in the Rollout"),
    Unsupported("spec.args[].valueFrom.fieldRef", remedy=_FIELDS),
    *_METRICS,
)

ANALYSIS_RUN: tuple[Unsupported, ...] = (
    Unsupported("spec.ttlStrategy", remedy="a run is removed with its ReplicaSet"),
    Unsupported("spec.args[].valueFrom", remedy=_SELECTOR),
    *_METRICS,
)

GIT_SOURCE: tuple[Unsupported, ...] = (
    Unsupported("spec.selfHeal", "boolean", "write driftPolicy: Correct or Detect"),
    Unsupported(
        "spec.decryption", remedy="commit a SealedSecret or an ExternalSecret, which the cluster opens"
    ),
    Unsupported(
        "spec.targetNamespace", "string", "put the GitSource into the namespace that it is applied to"
    ),
)
