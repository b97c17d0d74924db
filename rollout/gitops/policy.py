"""What a GitSource may hold: not what reaches beyond its namespace, no Secret that people can read. Pure."""

from collections.abc import Iterator

from rollout.api.meta import GROUP
from rollout.git.errors import FileProblem
from rollout.git.manifests import Manifest as Written

CLUSTER_SCOPED = frozenset(
    {
        ("", "Namespace"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("progressive.delivery", "ClusterAnalysisTemplate"),
    }
)
"""Known before the API server was asked; the others it tells."""


def problems(manifest: Written, home: str, *, at_home: bool, namespaced: bool) -> Iterator[FileProblem]:
    """What keeps an object from being applied, whatever the API server would say.

    `at_home`: whether the GitSource lies in the operator's own namespace, `home`.
    """
    if not namespaced and not at_home:
        yield manifest.problem(
            "kind",
            f"a {manifest.kind} belongs to the cluster, not to a tenant: have it applied by an "
            f"administrator, or by a GitSource in the namespace {home}",
        )
    if (manifest.group, manifest.kind) == (GROUP, "GitSource") and not at_home:
        yield manifest.problem(
            "kind",
            "a GitSource decides by whom and from where things are applied: have an administrator apply it",
        )
    if (manifest.group, manifest.kind) == ("", "Secret"):
        yield from _readable(manifest)


def _readable(secret: Written) -> Iterator[FileProblem]:
    for field in ("data", "stringData"):
        if secret.body.get(field):
            yield secret.problem(
                field,
                "whoever can read the repository can read this: commit a SealedSecret or an ExternalSecret "
                "instead, and renew what was committed",
            )
