"""What is asked of Git: the tip of a branch, the manifests at a revision, and the note on a commit.

A mirror belongs to one (URL, owner of the credential): two tenants never read each other's objects. Calls on
one mirror wait for one another; mirrors share a bounded pool of threads. A cancelled call kills its git.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from rollout.api.errors import Retry, Stalled
from rollout.git import notes, tree
from rollout.git.credential import Credential
from rollout.git.errors import NoteRefused
from rollout.git.notes import NOTES_REF
from rollout.git.remote import Remote, check_branch, check_path, check_sha, explain, parse_url
from rollout.git.repository import CommandFailed, GitPolicy, Repository
from rollout.git.revision import Blob, Revision
from rollout.git.tree import TreeLimits

_T = TypeVar("_T")
_PUSH_TRIES = 8
_FETCHES_UNTIL_GC = 200


@dataclass(slots=True)
class Counts:
    """What a mirror has done since it was opened."""

    polls: int = 0
    fetches: int = 0
    blobs_read: int = 0
    pushes: int = 0


@dataclass(frozen=True, slots=True)
class _Reading:
    tree: str
    blobs: tuple[Blob, ...]


class Mirrors:
    """All mirrors of an operator, under one directory that it alone uses."""

    def __init__(
        self,
        directory: Path,
        policy: GitPolicy | None = None,
        limits: TreeLimits | None = None,
        threads: int = 8,
    ) -> None:
        self._directory = directory
        self._policy = policy or GitPolicy()
        self._limits = limits or TreeLimits()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="git")
        self._mirrors: dict[tuple[str, str], Mirror] = {}

    def of(self, url: str, owner: str, credential: Credential | None = None) -> "Mirror":
        """The mirror of a URL for an owner (`namespace/secret`), with the credential as it is now.

        Sources with the same URL and owner share it. Raises `Stalled(InvalidURL)`.
        """
        remote = parse_url(url, self._policy.protocols, local_hosts=self._policy.local_hosts)
        key = (url.rstrip("/"), owner)
        if key not in self._mirrors:
            name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:20]
            repository = Repository(self._directory / name, self._policy)
            self._mirrors[key] = Mirror(remote, repository, self._pool, self._limits)
        mirror = self._mirrors[key]
        mirror.credential = credential or Credential()
        return mirror

    async def close(self) -> None:
        """End every running git and every thread."""
        for mirror in self._mirrors.values():
            mirror.kill()
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


class Mirror:
    """A remote repository as seen by one owner. Raises `Retry` or `Stalled`."""

    def __init__(
        self, remote: Remote, repository: Repository, pool: ThreadPoolExecutor, limits: TreeLimits
    ) -> None:
        self.credential = Credential()
        self.counts = Counts()
        self._remote = remote
        self._repository = repository
        self._pool = pool
        self._limits = limits
        self._turn = asyncio.Lock()
        self._closed = False
        self._tips: dict[str, Revision] = {}
        self._readings: dict[str, _Reading] = {}

    async def poll(self, branch: str = "") -> Revision:
        """Ask the server for the tip of a branch (default: its HEAD), and fetch it if it moved."""
        return await self._in_thread(lambda: self._poll(branch))

    async def read(self, revision: Revision, path: str = "") -> tuple[Blob, ...]:
        """The YAML and JSON files under a path at a polled revision; only contents not read before are read.

        Raises `ManifestsRefused(EntryRefused)` for links, submodules, LFS pointers and files too large,
        `Stalled(PathNotFound)`.
        """
        return await self._in_thread(lambda: self._read(check_sha(revision.sha), check_path(path)))

    async def rewritten(self, old: str, new: str) -> bool:
        """Whether `old` is no longer part of the history of `new`: the branch was reset or force-pushed.

        False where the mirror never held `old` (it begins with the first revision it saw).
        """
        return await self._in_thread(lambda: self._rewritten(check_sha(old), check_sha(new)))

    async def last_commit_touching(self, revision: Revision, path: str, since: str = "") -> Revision | None:
        """The newest commit up to `revision`, and after `since` if given, that changed a file.

        None if no such commit touched it. History begins with the first revision the mirror saw: a file
        not touched afterwards counts as brought by that one.
        """
        return await self._in_thread(lambda: self._touching(revision, check_path(path), since))

    async def note(self, sha: str, content: bytes, ref: str = NOTES_REF) -> None:
        """Write a verdict (one line of JSON, see `notes.merge`) on a commit and push it.

        Another writer's note is never lost; the same content again writes nothing.
        Raises `NoteRefused` where the remote doesn't allow it.
        """
        await self._in_thread(lambda: self._note(check_sha(sha), content, _check_notes_ref(ref)))

    async def read_note(self, sha: str, ref: str = NOTES_REF) -> bytes | None:
        """The note on a commit as the remote has it now; None if there is none."""
        return await self._in_thread(lambda: self._read_note(check_sha(sha), _check_notes_ref(ref)))

    def kill(self) -> None:
        """End the running git; this mirror answers no more."""
        self._closed = True
        self._repository.kill()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        async with self._turn:
            if self._closed:
                raise Retry("the mirror is closed")
            self._repository.resume()
            running = asyncio.get_running_loop().run_in_executor(self._pool, work)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                # The thread must be out of the mirror before the next caller goes in.
                self._repository.kill()
                await asyncio.gather(running, return_exceptions=True)
                raise

    # In the thread from here on.

    def _ask(self, *words: str) -> bytes:
        return self._repository.ask(self._remote, self.credential, *words)

    def _local(self, *words: str, stdin: bytes = b"", max_output: int | None = None) -> bytes:
        """Run a command on what the mirror must hold; a mirror that fails is thrown away and fetched anew."""
        try:
            return self._repository.run(*words, stdin=stdin, max_output=max_output)
        except CommandFailed as failure:
            self._forget()
            raise Retry(f"the mirror is damaged and will be fetched again: {failure}") from failure

    def _forget(self) -> None:
        self._repository.discard()
        self._tips.clear()
        self._readings.clear()

    def _poll(self, branch: str) -> Revision:
        name, sha = self._tip(branch)
        self.counts.polls += 1
        known = self._tips.get(name)
        if known is not None and known.sha == sha:
            return known
        self._fetch(name, sha)
        tip = self._local("rev-parse", "--verify", "--end-of-options", f"{_tracking(name)}^{{commit}}")
        self._tips[name] = self._describe(name, tip.decode().strip())
        return self._tips[name]

    def _tip(self, branch: str) -> tuple[str, str]:
        """Name and commit of a branch on the server; one exchange, no object moves."""
        wanted = f"refs/heads/{check_branch(branch)}" if branch else "HEAD"
        refs, links = _refs(self._ask("ls-remote", "--symref", "--", self._remote.url, wanted))
        if wanted not in refs:
            what = (
                f"branch {branch!r} does not exist" if branch else "the repository has no HEAD: is it empty?"
            )
            raise Stalled("BranchNotFound", f"{what}; push the branch or change spec.ref.branch")
        if branch:
            return branch, refs[wanted]
        if not links.get("HEAD", "").startswith("refs/heads/"):
            raise Stalled("BranchNotFound", "the remote's HEAD is on no branch: set spec.ref.branch")
        return check_branch(links["HEAD"].removeprefix("refs/heads/")), refs["HEAD"]

    def _fetch(self, branch: str, sha: str) -> None:
        """Bring a branch; only a branch's first, unknown commit is fetched without its history.

        Depth 1 on a commit the mirror holds would cut the history of the branches that contain it.
        """
        shallow = not self._has(_tracking(branch)) and not self._has(sha)
        depth = ["--depth=1"] if shallow else []
        self._fetch_ref(f"+refs/heads/{branch}:{_tracking(branch)}", depth)
        if self.counts.fetches % _FETCHES_UNTIL_GC == 0:
            self._local("gc", "--quiet", "--prune=1.day.ago")

    def _fetch_ref(self, refspec: str, depth: Sequence[str]) -> None:
        options = (
            "--quiet",
            "--no-tags",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        )
        self.counts.fetches += 1
        try:
            self._ask("fetch", *options, *depth, "--", self._remote.url, refspec)
        except CommandFailed as failure:
            raise explain(failure.complaint) from failure

    def _has(self, name: str) -> bool:
        return self._answers("cat-file", "-e", f"{name}^{{commit}}")

    def _answers(self, *words: str) -> bool:
        """Whether a command that asks yes or no says yes."""
        try:
            self._repository.run(*words)
        except CommandFailed:
            return False
        return True

    def _describe(self, branch: str, sha: str) -> Revision:
        form = "--format=%H%x00%s%x00%an%x00%cI"
        said = self._local(
            "log", "-1", "--no-show-signature", "--encoding=UTF-8", form, "--end-of-options", sha, "--"
        )
        return _revision(branch, said)

    def _rewritten(self, old: str, new: str) -> bool:
        if old == new or not self._has(old) or not self._has(new):
            return False
        return not self._answers("merge-base", "--is-ancestor", old, new)

    def _touching(self, revision: Revision, path: str, since: str) -> Revision | None:
        new = check_sha(revision.sha)
        known = bool(since) and self._has(check_sha(since))
        commits = f"{since}..{new}" if known else new
        form = "--format=%H%x00%s%x00%an%x00%cI"
        said = self._local(
            "log", "-1", "--no-show-signature", "--encoding=UTF-8", form, commits, "--", path or "."
        )
        return _revision(revision.branch, said) if said.strip() else None

    def _read(self, sha: str, path: str) -> tuple[Blob, ...]:
        if not self._answers("cat-file", "-e", f"{sha}:{path}"):
            if not self._has(sha):
                self._forget()
                raise Retry(f"the mirror has lost {sha[:12]} and will be fetched again")
            raise Stalled("PathNotFound", f"spec.path: {path!r} does not exist at {sha[:12]}")
        top = self._local("rev-parse", "--verify", f"{sha}:{path}").decode().strip()
        before = self._readings.get(path)
        if before is not None and before.tree == top:
            return before.blobs
        listing = self._local(
            "ls-tree", "-r", "-l", "-z", "--full-tree", sha, "--", *([path] if path else [])
        )
        entries = tree.manifests(listing, self._limits)
        held = {blob.oid: blob.data for blob in before.blobs} if before is not None else {}
        held |= self._contents([entry for entry in entries if entry.oid not in held])
        for entry in entries:
            tree.refuse_pointer(entry.path, held[entry.oid])
        blobs = tuple(Blob(entry.path, entry.oid, held[entry.oid]) for entry in entries)
        self._readings[path] = _Reading(top, blobs)
        return blobs

    def _contents(self, entries: Sequence[tree.Entry]) -> dict[str, bytes]:
        """Contents by object id, by one process for all."""
        oids = list(dict.fromkeys(entry.oid for entry in entries))
        if not oids:
            return {}
        room = sum(entry.size + 128 for entry in entries)
        stdin = "".join(f"{oid}\n" for oid in oids).encode()
        contents = _split_batch(self._local("cat-file", "--batch", "--buffer", stdin=stdin, max_output=room))
        self.counts.blobs_read += len(contents)
        return contents

    def _note(self, sha: str, content: bytes, ref: str) -> None:
        for _ in range(_PUSH_TRIES):
            self._fetch_notes(ref)
            old = self._show_note(sha, ref)
            new = notes.merge(old or b"", content)
            if new == old:
                return
            blob = self._local("hash-object", "-w", "--stdin", stdin=new).decode().strip()
            self._local("notes", f"--ref={ref}", "add", "-f", "-C", blob, sha)
            if self._push(ref):
                return
            # Whoever was faster has moved the ref; build upon theirs.
            self._repository.wait(random.uniform(0.05, 0.5))
        raise Retry(f"{ref} was moved by others {_PUSH_TRIES} times while we wrote on {sha[:12]}")

    def _push(self, ref: str) -> bool:
        """Push without force; False if another writer was faster."""
        self.counts.pushes += 1
        try:
            self._ask("push", "--quiet", "--porcelain", "--", self._remote.url, f"{ref}:{ref}")
        except CommandFailed as failure:
            said = f"{failure.output.decode(errors='replace')} {failure.complaint}"
            if any(sign in said for sign in _LOST_RACE):
                return False
            raise NoteRefused(
                f"{ref} can't be pushed, allow it or go without notes: {' '.join(said.split())[:400]}"
            ) from failure
        except Stalled as refusal:
            raise NoteRefused(f"{ref} can't be pushed, allow it or go without notes: {refusal}") from refusal
        return True

    def _fetch_notes(self, ref: str) -> None:
        """Set our copy of a notes ref to the remote's, whatever we had: only what was pushed counts."""
        refs, _ = _refs(self._ask("ls-remote", "--", self._remote.url, ref))
        theirs = refs.get(ref, "")
        ours = self._resolve(ref)
        if theirs == ours:
            return
        if not theirs:
            self._local("update-ref", "-d", ref)
        elif self._has(theirs):
            self._local("update-ref", ref, theirs)
        else:
            self._fetch_ref(f"+{ref}:{ref}", [] if ours else ["--depth=1"])

    def _read_note(self, sha: str, ref: str) -> bytes | None:
        self._fetch_notes(ref)
        return self._show_note(sha, ref)

    def _show_note(self, sha: str, ref: str) -> bytes | None:
        try:
            blob = self._repository.run("notes", f"--ref={ref}", "list", sha).decode().strip()
        except CommandFailed:
            return None
        return self._local("cat-file", "blob", check_sha(blob))

    def _resolve(self, ref: str) -> str:
        try:
            return self._repository.run("rev-parse", "--verify", "--quiet", ref).decode().strip()
        except CommandFailed:
            return ""


_LOST_RACE = ("[rejected]", "cannot lock ref", "failed to update ref", "reference already exists")


def _tracking(branch: str) -> str:
    return f"refs/remotes/origin/{branch}"


def _check_notes_ref(ref: str) -> str:
    if not ref.startswith("refs/notes/"):
        raise Stalled("InvalidRevision", f"{ref[:80]!r} is not under refs/notes/")
    check_branch(ref.removeprefix("refs/notes/"))
    return ref


def _refs(listing: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Commits by ref and targets of symbolic refs, from `ls-remote --symref`."""
    refs: dict[str, str] = {}
    links: dict[str, str] = {}
    for text in listing.decode(errors="replace").splitlines():
        value, _, ref = text.partition("\t")
        if value.startswith("ref: "):
            links[ref] = value.removeprefix("ref: ")
        else:
            refs[ref] = check_sha(value)
    return refs, links


def _revision(branch: str, said: bytes) -> Revision:
    sha, subject, author, committed = said.decode(errors="replace").strip("\n").split("\0")
    return Revision(branch, sha, subject, author, datetime.fromisoformat(committed))


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
