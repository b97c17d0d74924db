"""A place in Git that holds the desired state, and what came of reading it."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from semantic_version import NpmSpec

from rollout.api import rules
from rollout.api.base import Duration, Manifest, Model
from rollout.api.errors import Problem
from rollout.api.meta import ObjectCondition, ObjectMeta
from rollout.api.parsing import Kind, parse
from rollout.api.rollout import Name
from rollout.api.unsupported import GIT_SOURCE

INVENTORY_LIMIT = 5000
URL_PATTERN = r"^(https?|ssh|git|file)://[^ ]+$"
BRANCH_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$"
REF_PATTERN = r"^refs/[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$"
POINTER_PATTERN = r"^(/([^~/]|~[01])+)+$"
_REPEATS, _REPEATED = 3, 16
"""Of a tag filter: endless repetitions, and from how many times on one counts as endless."""
COMMIT_PATTERN = r"^([0-9a-f]{40}|[0-9a-f]{64})$"
REPOSITORY_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$"


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


def _is_pattern(text: str) -> str:
    """A regular expression that can't take for ever: whoever may write a GitSource must not stop us."""
    try:
        re.compile(text)
        unbounded = _repeats(re._parser.parse(text))  # type: ignore[attr-defined]  # the same parser
    except (re.error, RecursionError, OverflowError):
        raise ValueError("is not a regular expression, as Python's re reads it") from None
    if unbounded > _REPEATS:
        raise ValueError(f"must not repeat without end more than {_REPEATS} times, nor one within another")
    return text


def _repeats(parsed: Iterable[Any], *, within: bool = False) -> int:
    """Endless repetitions in a parsed pattern; too many where one is within another, or it refers back."""
    found = 0
    for kind, value in parsed:
        name = str(kind)
        if name in ("GROUPREF", "GROUPREF_EXISTS") or (within and name == "BRANCH"):
            return _REPEATS + 1
        endless = name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and value[1] > _REPEATED
        if endless and within:
            return _REPEATS + 1
        found += endless
        for part in _parts(name, value):
            found += _repeats(part, within=within or endless)
    return found


def _parts(name: str, value: Any) -> list[Any]:
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [value[2]]
    if name == "BRANCH":
        return list(value[1])
    if name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        return [value[-1]]
    return [value] if name == "ATOMIC_GROUP" else []


class Ref(Model):
    """Which commit is wanted: commit, name, semver, tag, branch; the first that is given decides."""

    branch: Annotated[str, Field(pattern=BRANCH_PATTERN)] | None = None
    """The branch to follow. Default: the repository's own default branch."""
    tag: Annotated[str, Field(pattern=BRANCH_PATTERN)] | None = None
    """A tag; followed if it is moved. Goes before `branch`."""
    semver: Annotated[str, Field(max_length=200), AfterValidator(_is_range)] | None = None
    """The highest version of the tags in this range, such as `>=1.0.0 <2.0.0` or `1.x`. Goes before `tag`."""
    name: Annotated[str, Field(pattern=REF_PATTERN)] | None = None
    """Any ref by its full name, such as refs/pull/420/head. Goes before `semver`."""
    commit: Annotated[str, Field(pattern=COMMIT_PATTERN)] | None = None
    """A commit by its full id. Goes before all others."""


class SecretRef(Model):
    """A Secret of the same namespace."""

    name: Name


class WriteBackMode(StrEnum):
    """How a verdict goes back to Git."""

    NOTES = "notes"
    COMMIT_STATUS = "commitStatus"
    REVERT_BRANCH = "revertBranch"
    REVERT_COMMIT = "revertCommit"


class DriftPolicy(StrEnum):
    """What becomes of what somebody changed beside Git."""

    CORRECT = "Correct"
    DETECT = "Detect"
    OFF = "Off"


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


_ON_A_BRANCH = (WriteBackMode.REVERT_COMMIT, WriteBackMode.REVERT_BRANCH)


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


class Order(StrEnum):
    """Which end of an order is the newest."""

    ASC = "asc"
    DESC = "desc"


class ImagePolicy(Model):
    """Which of an image's tags is wanted: exactly one of semver, numeric and alphabetical."""

    semver: Annotated[str, Field(max_length=200), AfterValidator(_is_range)] | None = None
    """The highest version in this range, such as `>=1.0.0 <2.0.0` or `1.x`."""
    numeric: Order | None = None
    """asc: the largest number; desc: the smallest."""
    alphabetical: Order | None = None
    """asc: the last in the alphabet; desc: the first."""
    filter: Annotated[str, Field(max_length=200), AfterValidator(_is_pattern)] | None = None
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
    OFF = "off"


class ImageUpdate(Model):
    """Where a tag is written in Git."""

    path: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_path_inside)]
    """The file, from the root of the repository."""
    field: Annotated[str, Field(min_length=1, max_length=500)]
    """The field in it, such as spec.template.spec.containers[name=app].image."""
    mode: UpdateMode = UpdateMode.PUSH
    """push: one commit on the branch. off: only told."""


class Image(Model):
    """An image whose newest tag goes to Git by itself."""

    image: Annotated[str, Field(min_length=1, max_length=400)]
    """Its name without a tag, such as ghcr.io/team/shop."""
    policy: ImagePolicy
    """Which tag."""
    interval: Annotated[Duration, AfterValidator(_a_second)] = timedelta(minutes=2)
    """How often the registry is asked."""
    secret_ref: SecretRef | None = None
    """A Secret for pulling images (.dockerconfigjson), or with username and password."""
    update: ImageUpdate
    """Where it is written."""
    hold_during_canary: bool = True
    """Whether to wait while a Rollout of that file is under way."""
    pin_digest: bool = False
    """Whether the digest is written behind the tag."""


class Webhook(Model):
    """Who may say that something was pushed."""

    secret_ref: SecretRef
    """The Secret whose `token` the sender signs with."""


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
    path: Annotated[str, Field(max_length=1024), AfterValidator(_path_inside)] = ""
    """The directory or file that is read. Default: all of the repository."""
    interval: Annotated[Duration, AfterValidator(_a_second)] = timedelta(minutes=1)
    """How often to look."""
    secret_ref: SecretRef | None = None
    """The Secret with token, or username and password, or bearerToken, or identity and known_hosts."""
    prune: bool = True
    """Whether what leaves Git is deleted. Never on an error, and never most of it without approval."""
    drift_policy: DriftPolicy = DriftPolicy.CORRECT
    """Correct: what somebody changes beside Git is changed back. Detect: it is told. Off: neither."""
    drift_interval: Annotated[Duration, AfterValidator(_a_second)] = timedelta(minutes=5)
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
        return self


class AppliedRevision(Model):
    """What became of a commit."""

    commit: str
    result: str
    time: datetime
    author: str = ""
    subject: str = ""
    message: str = ""


class InventoryEntry(Model):
    """An object that this source applied."""

    api_version: str
    kind: str
    namespace: str = ""
    name: str
    stale: bool = False
    """Whether it left Git and is still there."""

    def __str__(self) -> str:
        """Render as `Service shop/web`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class GitSourceStatus(Model):
    """What came of reading it."""

    excluded_tags: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    """IMAGE:TAG that failed here: they are not committed again."""

    observed_generation: int = 0
    last_attempted_revision: str = ""
    """BRANCH@COMMIT that was read last."""
    last_applied_revision: str = ""
    """BRANCH@COMMIT whose objects stand in the cluster."""
    last_handled_reconcile_at: str = ""
    conditions: tuple[ObjectCondition, ...] = ()
    """Ready, FetchFailed, Stalled, Reconciling."""
    history: tuple[AppliedRevision, ...] = ()
    """The last 10 commits that were read."""
    inventory: Annotated[tuple[InventoryEntry, ...], Field(max_length=INVENTORY_LIMIT)] = ()
    """What was applied, and may be deleted when it leaves Git."""


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
