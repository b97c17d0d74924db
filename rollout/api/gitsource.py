"""A place in Git that holds the desired state, and what is to be done with it."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from rollout.api import rules
from rollout.api.base import Manifest, Model
from rollout.api.errors import Problem
from rollout.api.gitfields import BRANCH_PATTERN, Path, Pause, Range, SecretRef
from rollout.api.images import Image
from rollout.api.meta import ObjectMeta
from rollout.api.parsing import Kind, parse
from rollout.api.rollout import Name
from rollout.api.unsupported import GIT_SOURCE
from rollout.api.writeback import WriteBack, WriteBackMode

URL_PATTERN = r"^(https?|ssh|git|file)://[^ ]+$"
REF_PATTERN = r"^refs/[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$"
POINTER_PATTERN = r"^(/([^~/]|~[01])+)+$"
COMMIT_PATTERN = r"^([0-9a-f]{40}|[0-9a-f]{64})$"
_ON_A_BRANCH = (WriteBackMode.REVERT_COMMIT, WriteBackMode.REVERT_BRANCH)


class Ref(Model):
    """Which commit is wanted: commit, name, semver, tag, branch; the first that is given decides."""

    branch: Annotated[str, Field(pattern=BRANCH_PATTERN)] | None = None
    """The branch to follow. Default: the repository's own default branch."""
    tag: Annotated[str, Field(pattern=BRANCH_PATTERN)] | None = None
    """A tag; followed if it is moved. Goes before `branch`."""
    semver: Range | None = None
    """The highest version of the tags in this range, such as `>=1.0.0 <2.0.0` or `1.x`. Goes before `tag`."""
    name: Annotated[str, Field(pattern=REF_PATTERN)] | None = None
    """Any ref by its full name, such as refs/pull/420/head. Goes before `semver`."""
    commit: Annotated[str, Field(pattern=COMMIT_PATTERN)] | None = None
    """A commit by its full id. Goes before all others."""


class DriftPolicy(StrEnum):
    """What becomes of what somebody changed beside Git."""

    CORRECT = "Correct"
    DETECT = "Detect"
    OFF = "Off"


class DeletionPolicy(StrEnum):
    """What becomes of what was applied when its GitSource is deleted."""

    ORPHAN = "Orphan"
    DELETE = "Delete"


class InvalidPolicy(StrEnum):
    """What becomes of a revision in which an object is wrong."""

    REFUSE_REVISION = "RefuseRevision"
    SKIP_OBJECT = "SkipObject"


class Recovery(StrEnum):
    """With what a Rollout begins that has no stable version yet."""

    NONE = "none"
    FROM_GIT = "fromGit"


class VerifyMode(StrEnum):
    """Which commits have to be signed."""

    HEAD = "head"
    RANGE = "range"


class Verify(Model):
    """Who has to have signed what is applied."""

    mode: VerifyMode = VerifyMode.HEAD
    """head: the commit that is applied. range: every commit since the one that was applied last, too."""
    secret_ref: SecretRef
    """The Secret with public keys: `*.asc` for GPG, `*.sshpub` for SSH."""


class KubeConfigRef(SecretRef):
    """A Secret of the same namespace that holds a kubeconfig."""

    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")] = "value"
    """The key in it."""


class KubeConfig(Model):
    """Another cluster than the operator's own."""

    secret_ref: KubeConfigRef
    """The Secret with a kubeconfig that needs no other file and no program."""


class IgnoreTarget(Model):
    """Which objects a rule is about: those of which everything that is given holds."""

    kind: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")] | None = None
    """Their kind."""
    name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Their name."""


class Ignore(Model):
    """Fields that Git does not decide once the object is there."""

    paths: tuple[Annotated[str, Field(pattern=POINTER_PATTERN)], ...] = Field(min_length=1, max_length=32)
    """JSON pointers, such as /spec/replicas."""
    target: IgnoreTarget = IgnoreTarget()
    """Which objects. Default: all of the source."""


class Webhook(Model):
    """Who may say that something was pushed."""

    secret_ref: SecretRef
    """The Secret whose `token` the sender signs with."""


def _ten_minutes(timeout: timedelta) -> timedelta:
    if timeout > timedelta(minutes=10):
        raise ValueError("must be at most 10m: others wait for their turn meanwhile")
    return timeout


def _without_password(url: str) -> str:
    if re.match(r"^[a-z]+://[^/@]*:[^/@]*@", url):
        raise ValueError("must not hold a password: put it into the Secret that secretRef names")
    return url


class GitSourceSpec(Model):
    """Where the desired state is."""

    url: Annotated[str, Field(pattern=URL_PATTERN, max_length=2048), AfterValidator(_without_password)]
    """The repository: https://, ssh://; git://, http:// and file:// only where the operator allows them."""
    ref: Ref = Ref()
    """Which commit is wanted."""
    path: Path = ""
    """The directory or file that is read. Default: all of the repository."""
    interval: Pause = timedelta(minutes=1)
    """How often to look."""
    timeout: Annotated[Pause, AfterValidator(_ten_minutes)] = timedelta(minutes=1)
    """How long one exchange with the server may take; what takes longer is ended, and tried again."""
    secret_ref: SecretRef | None = None
    """The Secret with token, or username and password, or bearerToken, or identity and known_hosts."""
    prune: bool = True
    """Whether what leaves Git is deleted. Never on an error, and never most of it without approval."""
    on_invalid: InvalidPolicy = InvalidPolicy.REFUSE_REVISION
    """RefuseRevision: nothing of a revision with a mistake is applied. SkipObject: the rest of it is."""
    deletion_policy: DeletionPolicy = DeletionPolicy.ORPHAN
    """What becomes of what was applied when this GitSource is deleted. Orphan: it stays. Delete: it goes."""
    drift_policy: DriftPolicy = DriftPolicy.CORRECT
    """Correct: what somebody changes beside Git is changed back. Detect: it is told. Off: neither."""
    drift_interval: Pause = timedelta(minutes=5)
    """How often kinds that are not followed all the time are compared with Git."""
    ignore: Annotated[tuple[Ignore, ...], Field(max_length=32)] = ()
    """Fields that keep their live value, whatever Git says."""
    service_account_name: Name | None = None
    """The ServiceAccount of this namespace that all is applied as. Default: what the operator was told."""
    kube_config: KubeConfig | None = None
    """The cluster that is applied to. Default: the operator's own."""
    verify: Verify | None = None
    """Who has to have signed the commits."""
    allow_history_rewrite: bool = True
    """Whether a branch that was reset or force-pushed is followed."""
    recovery: Recovery = Recovery.NONE
    """fromGit: in a cluster that was rebuilt a Rollout begins with the version that was good last, as the
    notes in Git tell, unless what Git asks for is good itself. none: with what Git asks for."""
    suspend: bool = False
    """Whether nothing is read and nothing applied until this is false again."""
    images: tuple[Image, ...] = Field((), max_length=32)
    """Images whose tags are followed: a newer one is committed."""
    webhook: Webhook | None = None
    """Webhooks at /hooks/NAMESPACE/NAME, which make it look at once. Default: none is heard."""
    write_back: WriteBack = WriteBack()
    """What goes back to Git. Default: notes."""

    @model_validator(mode="after")
    def _writes_on_a_branch(self) -> Self:
        ref = self.ref
        writing = [mode.value for mode in self.write_back.modes if mode in _ON_A_BRANCH]
        path = ".writeBack.modes" if writing else ".images"
        writing += ["images"] if self.images else []
        if writing and (ref.commit or ref.name or ref.semver or ref.tag):
            remedy = f"follow a branch by ref.branch, or leave {writing[0]} out"
            raise rules.WrongFieldsError(Problem(path, f"{writing[0]} needs a branch to write on", remedy))
        for index, each in enumerate(self.images):
            if each.update.branch and each.update.branch == ref.branch:
                field, remedy = f".images[{index}].update.branch", "name another one, or write mode: push"
                raise rules.WrongFieldsError(Problem(field, "is the branch that is followed", remedy))
        return self


class GitSource(Model):
    """A place in Git whose manifests are applied to this namespace."""

    metadata: ObjectMeta
    spec: GitSourceSpec


KIND = Kind("GitSource", GitSource, GIT_SOURCE)


def parse_git_source(manifest: Manifest) -> GitSource:
    """The GitSource that `manifest` describes.

    Raises:
        InvalidSpec: with every problem that is found, not only the first.
    """
    return parse(KIND, manifest)
