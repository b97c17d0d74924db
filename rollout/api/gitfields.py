"""What several parts of a GitSource are written with: a Secret's name, a path, a length of time, a range."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field
from semantic_version import NpmSpec

from rollout.api.base import Duration, Model
from rollout.api.rollout import Name

BRANCH_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$"


class SecretRef(Model):
    """A Secret of the same namespace."""

    name: Name


def _is_range(text: str) -> str:
    try:
        NpmSpec(text)
    except ValueError:
        raise ValueError("is not a range of versions: write for example >=1.0.0 <2.0.0, or 1.x") from None
    return text


def _path_inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("must lie inside the repository: no leading / and no ..")
    return path


def _a_second(interval: timedelta) -> timedelta:
    if interval < timedelta(seconds=1):
        raise ValueError("must be at least 1s")
    return interval


Range = Annotated[str, Field(max_length=200), AfterValidator(_is_range)]
"""Of versions, as npm writes it."""
Path = Annotated[str, Field(max_length=1024), AfterValidator(_path_inside)]
"""Inside the repository, from its root."""
Pause = Annotated[Duration, AfterValidator(_a_second)]
"""A length of time that is not busy waiting."""
