"""What a GitSource writes back to Git, as whom, and by which host's API."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from rollout.api import rules
from rollout.api.base import Model
from rollout.api.errors import Problem
from rollout.api.gitfields import SecretRef

REPOSITORY_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$"


class WriteBackMode(StrEnum):
    """How a verdict goes back to Git."""

    NOTES = "notes"
    COMMIT_STATUS = "commitStatus"
    REVERT_BRANCH = "revertBranch"
    REVERT_COMMIT = "revertCommit"


class Author(Model):
    """Who is named by our commits."""

    name: Annotated[str, Field(pattern=r"^[^<>\n\x00-\x1f]{1,100}$")] = "rollout"
    email: Annotated[str, Field(pattern=r"^[^<>\s]{1,200}$")] = "rollout@progressive.delivery"


class ForgeKind(StrEnum):
    """Who hosts a repository."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    BITBUCKET = "bitbucket"


class Provider(Model):
    """The API of the repository's host."""

    type: ForgeKind
    """github, gitlab, gitea, forgejo or bitbucket (Cloud); their own servers too."""
    address: Annotated[str, Field(pattern=r"^(https?://[^ ]+)?$", max_length=2048)] = ""
    """Where the API is. Default: where the host of spec.url has it, such as https://api.github.com."""
    repository: Annotated[str, Field(pattern=REPOSITORY_PATTERN, max_length=400)] | None = None
    """OWNER/NAME, for GitLab with all groups. Default: from spec.url."""
    secret_ref: SecretRef
    """The Secret with token, or username and password; and ca.crt for a server of your own."""


class WriteBack(Model):
    """What goes back to Git."""

    modes: tuple[WriteBackMode, ...] = Field((WriteBackMode.NOTES,), max_length=4)
    """notes: the verdict as JSON on the commit, under refs/notes/rollout. commitStatus: a status on the
    commit. revertCommit: a manifest that was rolled back or aborted is put back on the branch. revertBranch:
    the same on a branch of its own, with a pull request. Empty: nothing is written."""
    author: Author = Author()
    """Of the commits of revertCommit and revertBranch."""
    provider: Provider | None = None
    """The host's API: for commitStatus, and for the pull request of revertBranch."""
    signing_key_ref: SecretRef | None = None
    """The Secret with `identity`, an SSH private key without passphrase that signs our commits."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        modes = self.modes
        if WriteBackMode.COMMIT_STATUS in modes and self.provider is None:
            remedy = "name its type and the Secret with its token"
            raise rules.WrongFieldsError(Problem(".provider", "commitStatus needs it", remedy))
        if WriteBackMode.REVERT_COMMIT in modes and WriteBackMode.REVERT_BRANCH in modes:
            remedy = "keep revertBranch where people approve, revertCommit where nobody has to"
            raise rules.WrongFieldsError(Problem(".modes", "two ways to revert exclude each other", remedy))
        return self
