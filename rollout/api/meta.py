"""The part of an object's metadata that anything here asks for."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import ConfigDict, Field

from rollout.api.base import Model

GROUP = "progressive.delivery"
VERSION = "v1alpha1"
ARGO_GROUP = "argoproj.io"
TRAFFIC_FINALIZER = f"{GROUP}/traffic"
"""On a Rollout while a weight or a selector may be ours: it goes when the traffic is given back."""
APPLIED_FINALIZER = f"{GROUP}/applied"
"""On a GitSource with `deletionPolicy: Delete`: it goes when what was applied is deleted."""


class ObjectMeta(Model):
    """Kubernetes' ObjectMeta, what is not listed here left out."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field("", max_length=253)
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    finalizers: tuple[str, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class LabelRequirement(Model):
    """One expression of a label selector."""

    key: str
    operator: str = Field(pattern="^(In|NotIn|Exists|DoesNotExist)$")
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` satisfy it."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


class LabelSelector(Model):
    """Which pods belong."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[LabelRequirement, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self.match_labels and not self.match_expressions

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` satisfy all of it."""
        return self.match_labels.items() <= labels.items() and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


class ObjectCondition(Model):
    """A condition as Kubernetes writes it, of the kinds that are not a Rollout."""

    type: str
    """What is said."""
    status: str
    """True, False or Unknown."""
    reason: str
    """Why, as one CamelCase word."""
    message: str = ""
    """Why, for people."""
    last_transition_time: datetime
    """When the status last changed."""
