"""What a request is to."""

from dataclasses import dataclass

from rollout.sandbox.apiserver.errors import ApiError, not_found
from rollout.sandbox.apiserver.served import Served


@dataclass(frozen=True, slots=True)
class Target:
    """What a write is to: a kind, a namespace (None for cluster-scoped kinds), a name and a subresource."""

    served: Served
    namespace: str | None
    name: str
    subresource: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Its key in the store."""
        return (self.namespace or "", self.name)

    def missing(self) -> ApiError:
        """404."""
        return not_found(self.served.group, self.served.plural, self.name)
