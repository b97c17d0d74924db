"""What a Rollout writes and refers to, from its object alone: cheap, and told of invalid ones too. Pure."""

from rollout.api.base import Manifest
from rollout.kube import kinds
from rollout.observe import reading
from rollout.observe.memory import Claim


def claimed(rollout: Manifest) -> Claim:
    """The claim of a Rollout."""
    metadata, traffic = rollout["metadata"], reading.traffic(rollout)
    namespace = metadata["namespace"]
    services = frozenset((traffic.stable_service, traffic.canary_service) if traffic else ())
    return Claim(
        created=metadata.get("creationTimestamp", ""),
        serves=bool((rollout.get("status") or {}).get("stableRS")),
        uid=metadata["uid"],
        services=services,
        references=frozenset(
            {(namespace, kinds.SERVICES.kind, name) for name in services}
            | {(namespace, kinds.HTTP_ROUTES.kind, route.name) for route in reading.routes(rollout)}
            | {
                ("", kinds.CLUSTER_ANALYSIS_TEMPLATES.kind, name)
                if cluster
                else (namespace, kinds.ANALYSIS_TEMPLATES.kind, name)
                for name, cluster in reading.templates(rollout)
            }
        ),
    )
