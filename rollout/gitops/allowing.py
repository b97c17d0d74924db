"""What of a revision a GitSource may apply, by its rules and by what the API server knows of its kinds."""

from collections.abc import Mapping, Sequence
from typing import Any

from rollout.git.manifests import Manifest as Written
from rollout.gitops import policy
from rollout.gitops.refusals import Refusals
from rollout.kube.discovery import Discovery
from rollout.kube.errors import NotServed


async def allowed(
    discovery: Discovery, manifests: Sequence[Written], home: str, refusals: Refusals, *, at_home: bool
) -> tuple[Written, ...]:
    """The manifests of a GitSource as they may be applied: a kind without namespaces has none.

    `home` is the operator's own namespace, and `at_home` whether the GitSource lies there.

    Raises:
        ManifestsRefused: something of it is not a tenant's to apply.
        Retry: the API server can't be reached.
    """
    kept: list[Written] = []
    coming = {
        (spec.get("group"), (spec.get("names") or {}).get("kind")): spec.get("scope") == "Namespaced"
        for each in manifests
        if each.kind == "CustomResourceDefinition" and isinstance(spec := each.body.get("spec"), dict)
    }
    for manifest in manifests:
        namespaced = await _is_namespaced(discovery, manifest, coming)
        placed = manifest if namespaced else manifest.of_the_cluster()
        refusals.note(placed, policy.problems(manifest, home, at_home=at_home, namespaced=namespaced))
        kept.append(placed)
    refusals.settle("PolicyDenied")
    return refusals.spared(kept)


async def _is_namespaced(
    discovery: Discovery, manifest: Written, coming: Mapping[tuple[Any, Any], bool]
) -> bool:
    """As the API server tells; what it does not serve yet as its definition says."""
    kind = (manifest.group, manifest.kind)
    if kind in policy.CLUSTER_SCOPED:
        return False
    try:
        return (await discovery.resource(manifest.api_version, manifest.kind)).namespaced
    except NotServed:
        return coming.get(kind, True)
