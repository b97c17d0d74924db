"""Plumbing on one mirror and its remote: commands in, values out. Blocking; one thread at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rollout.api.errors import Retry, Stalled
from rollout.git import tree
from rollout.git.credential import Credential
from rollout.git.environment import Extra
from rollout.git.objects import Objects
from rollout.git.remote import Remote, check_sha, explain
from rollout.git.repository import CommandFailed, Repository
from rollout.git.revision import Revision

_FETCHES_UNTIL_GC = 200
_LOST_RACE = (
    *("[rejected]", "cannot lock ref", "failed to update ref"),
    *("reference already exists", "incorrect old value"),
)
_FORM = "--format=%H%x00%s%x00%an%x00%ct"


@dataclass(slots=True)
class Counts:
    """What a mirror has done since it was opened."""

    polls: int = 0
    fetches: int = 0
    blobs_read: int = 0
    pushes: int = 0


class PushRefused(Exception):  # noqa: N818 -- named by what happened
    """What the remote said of a push that it did not take."""


class Clone:
    """A bare repository that follows a remote. One that fails where it must not is thrown away (`Retry`)."""

    def __init__(self, remote: Remote, repository: Repository) -> None:
        self.remote = remote
        self.repository = repository
        self.credential = Credential()
        self.patience: timedelta | None = None
        """How long a command that asks the remote may take; None: as any command."""
        self.counts = Counts()
        self.generation = 0
        """Grows whenever all that was known of the repository's contents is void."""

    def refs(self, *wanted: str) -> tuple[dict[str, str], dict[str, str]]:
        """Commits by ref, and targets of symbolic refs, as the server has them now; no object moves."""
        return _refs(self._ask("ls-remote", "--symref", "--", self.remote.url, *wanted))

    def fetch(self, refspec: str, *, shallow: bool) -> None:
        """Bring a ref, with what is new of its history or (`shallow`) without any."""
        options = ["--quiet", "--no-tags", "--no-auto-maintenance", "--no-recurse-submodules"]
        options += ["--no-write-fetch-head", *(["--depth=1"] if shallow else [])]
        self.counts.fetches += 1
        try:
            self._ask("fetch", *options, "--", self.remote.url, refspec)
        except CommandFailed as failure:
            raise explain(failure.complaint) from failure
        if self.counts.fetches % _FETCHES_UNTIL_GC == 0:
            self.answers("gc", "--quiet", "--prune=1.day.ago")  # a fetch leaves about 15 loose objects

    def deepen(self, sha: str) -> None:
        """Bring the whole history of a commit, where it was cut."""
        if self.repository.run("rev-parse", "--is-shallow-repository").strip() == b"true":
            options = ("--quiet", "--no-tags", "--no-auto-maintenance", "--no-write-fetch-head")
            try:
                self._ask("fetch", *options, "--unshallow", "--", self.remote.url, sha)
            except CommandFailed as failure:
                raise explain(failure.complaint) from failure

    def push(self, refspec: str) -> bool:
        """Push `FROM:TO`, without force; False if another writer was faster.

        Raises:
            PushRefused: the remote does not let us.
            Retry: it can't be reached.
        """
        self.counts.pushes += 1
        try:
            self._ask("push", "--quiet", "--porcelain", "--", self.remote.url, refspec)
        except CommandFailed as failure:
            said = " ".join(f"{failure.output.decode(errors='replace')} {failure.complaint}".split())
            if any(sign in said for sign in _LOST_RACE):
                return False
            raise PushRefused(said[:400]) from failure
        except Stalled as refusal:
            raise PushRefused(str(refusal)[:400]) from refusal
        return True

    def local(
        self, *words: str, stdin: bytes = b"", max_output: int | None = None, extra: Extra | None = None
    ) -> bytes:
        """Run a command on what the repository must hold."""
        try:
            return self.repository.run(*words, stdin=stdin, max_output=max_output, extra=extra)
        except CommandFailed as failure:
            self.forget()
            raise Retry(f"the mirror is damaged and will be fetched again: {failure}") from failure

    def answers(self, *words: str) -> bool:
        """Whether a command that asks yes or no says yes."""
        try:
            self.repository.run(*words)
        except CommandFailed:
            return False
        return True

    def has(self, name: str) -> bool:
        """Whether the repository holds a commit."""
        return self.answers("cat-file", "-e", f"{name}^{{commit}}")

    def resolve(self, name: str) -> str:
        """The object id that a name stands for; empty if there is none."""
        try:
            return self.repository.run("rev-parse", "--verify", "--quiet", name).decode().strip()
        except CommandFailed:
            return ""

    @contextmanager
    def objects(self, most: int) -> Iterator[Objects]:
        """Read objects by one process; those larger than `most` bytes are unusual."""
        with self.repository.talk("cat-file", "--batch") as conversation:
            yield Objects(conversation, most)

    def newest(self, branch: str, commits: str, path: str = "") -> Revision | None:
        """The newest of some commits that changed a path."""
        options = ("-1", "--no-show-signature", "--encoding=UTF-8", _FORM)
        said = self.local("log", *options, "--end-of-options", commits, "--", *([path] if path else []))
        return _revision(branch, said) if said.strip() else None

    def contents(self, entries: Sequence[tree.Entry]) -> dict[str, bytes]:
        """Contents by object id, by one process for all."""
        oids = list(dict.fromkeys(entry.oid for entry in entries))
        if not oids:
            return {}
        room = sum(entry.size + 128 for entry in entries)
        stdin = "".join(f"{oid}\n" for oid in oids).encode()
        contents = _split_batch(self.local("cat-file", "--batch", "--buffer", stdin=stdin, max_output=room))
        self.counts.blobs_read += len(contents)
        return contents

    def forget(self) -> None:
        """Throw the repository away."""
        self.generation += 1
        self.repository.discard()

    def _ask(self, *words: str) -> bytes:
        return self.repository.ask(self.remote, self.credential, *words, patience=self.patience)


def _refs(listing: bytes) -> tuple[dict[str, str], dict[str, str]]:
    refs: dict[str, str] = {}
    links: dict[str, str] = {}
    for text in listing.decode(errors="replace").splitlines():
        value, _, ref = text.partition("\t")
        if value.startswith("ref: "):
            links[ref] = value.removeprefix("ref: ")
        else:
            refs[ref] = check_sha(value)
    return refs, links


def told(branch: str, sha: str, commit: bytes) -> Revision | None:
    """What a commit object says; None where it needs git to read it: it is in another encoding."""
    head, _, message = commit.partition(b"\n\n")
    lines = dict(line.split(b" ", 1) for line in head.split(b"\n") if b" " in line)
    if b"encoding" in lines or not {b"author", b"committer"} <= lines.keys():
        return None
    paragraph = message.lstrip(b"\n").split(b"\n\n", 1)[0].splitlines()
    subject = b" ".join(line.rstrip() for line in paragraph if line.strip())
    author = lines[b"author"].partition(b"<")[0].strip()
    seconds = lines[b"committer"].rpartition(b">")[2].split()
    at = seconds[0].decode(errors="replace") if seconds else ""
    said, by = (_printable(each.decode(errors="replace")) for each in (subject, author))
    return Revision(branch, sha, said, by, _instant(at))


def _revision(branch: str, said: bytes) -> Revision:
    sha, subject, author, seconds = said.decode(errors="replace").strip("\n").split("\0")
    return Revision(branch, sha, _printable(subject), _printable(author), _instant(seconds))


def _printable(text: str) -> str:
    """Without what could move a terminal's cursor: whoever commits chooses this text."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _instant(seconds: str) -> datetime:
    """A committer's clock may say anything; what is no date is the beginning of time."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _split_batch(output: bytes) -> dict[str, bytes]:
    """Contents by object id, from `cat-file --batch`."""
    contents: dict[str, bytes] = {}
    start = 0
    while start < len(output):
        end = output.index(b"\n", start)
        oid, _, size = output[start:end].decode().split(" ")
        contents[oid] = output[end + 1 : end + 1 + int(size)]
        start = end + 2 + int(size)
    return contents
