"""Images of a GitSource whose newest tag goes to Git by itself."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rollout.api import rules
from rollout.api.base import Model
from rollout.api.errors import Problem
from rollout.api.gitfields import BRANCH_PATTERN, Path, Pause, Range, SecretRef
from rollout.api.patterns import is_pattern


class Order(StrEnum):
    """Which end of an order is the newest."""

    ASC = "asc"
    DESC = "desc"


class ImagePolicy(Model):
    """Which of an image's tags is wanted: exactly one of semver, numeric and alphabetical."""

    semver: Range | None = None
    """The highest version in this range, such as `>=1.0.0 <2.0.0` or `1.x`."""
    numeric: Order | None = None
    """asc: the largest number; desc: the smallest."""
    alphabetical: Order | None = None
    """asc: the last in the alphabet; desc: the first."""
    filter: Annotated[str, Field(max_length=200), AfterValidator(is_pattern)] | None = None
    """A regular expression; tags in which it is not found are left out."""
    extract: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=50)] | None = None
    """The named group of the filter that is compared instead of the whole tag."""

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if sum(each is not None for each in (self.semver, self.numeric, self.alphabetical)) != 1:
            remedy = "keep one of semver, numeric, alphabetical"
            raise rules.WrongFieldsError(Problem("", "tags have exactly one order", remedy))
        groups = re.compile(self.filter).groupindex if self.filter else {}
        if self.extract is not None and self.extract not in groups:
            remedy = f"write (?P<{self.extract}>...) in the filter"
            raise rules.WrongFieldsError(Problem(".extract", "is no named group of the filter", remedy))
        return self


class UpdateMode(StrEnum):
    """What is done about a newer tag."""

    PUSH = "push"
    BRANCH = "branch"
    OFF = "off"


class ImageUpdate(Model):
    """Where a tag is written in Git."""

    path: Annotated[Path, Field(min_length=1)]
    """The file, from the root of the repository."""
    field: Annotated[str, Field(min_length=1, max_length=500)]
    """The field in it, such as spec.template.spec.containers[name=app].image."""
    mode: UpdateMode = UpdateMode.PUSH
    """push: one commit on the branch. branch: one on a branch of its own, with a pull request. off: told."""
    branch: Annotated[str, Field(pattern=BRANCH_PATTERN)] | None = None
    """The branch of mode branch. Default: rollout/images-NAMESPACE-NAME."""

    @model_validator(mode="after")
    def _on_purpose(self) -> Self:
        if self.branch is not None and self.mode is not UpdateMode.BRANCH:
            remedy = "write mode: branch, or remove it"
            raise rules.WrongFieldsError(Problem(".branch", "is for the mode branch alone", remedy))
        return self


class Image(Model):
    """An image whose newest tag goes to Git by itself."""

    image: Annotated[str, Field(min_length=1, max_length=400)]
    """Its name without a tag, such as ghcr.io/team/shop."""
    policy: ImagePolicy
    """Which tag."""
    interval: Pause = timedelta(minutes=2)
    """How often the registry is asked."""
    secret_ref: SecretRef | None = None
    """A Secret for pulling images (.dockerconfigjson), or with username and password."""
    update: ImageUpdate
    """Where it is written."""
    hold_during_canary: bool = True
    """Whether to wait while a Rollout of that file is under way."""
    pin_digest: bool = False
    """Whether the digest is written behind the tag."""
