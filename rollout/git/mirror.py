"""What is asked of Git: the commit that a ref means, the manifests at a revision, and the note on a commit.

A mirror belongs to one (URL, owner of the credential): two tenants never read each other's objects. Calls on
one mirror wait for one another; mirrors share a bounded pool of threads. A cancelled call kills its git.
"""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from rollout.api.errors import Retry, Stalled
from rollout.api.gitsource import Ref
from rollout.git import notebook, refs, reverting, tagging, tree, verifying
from rollout.git.clone import Clone, Counts, told
from rollout.git.conversation import Hangup
from rollout.git.credential import Credential
from rollout.git.environment import GitPolicy
from rollout.git.errors import ManifestsRefused
from rollout.git.notes import NOTES_REF
from rollout.git.objects import Objects, Unusual
from rollout.git.refs import Tip
from rollout.git.remote import check_branch, check_path, check_sha, parse_url
from rollout.git.repository import Repository
from rollout.git.reverting import Order
from rollout.git.revision import Blob, Revision
from rollout.git.signers import Signers
from rollout.git.tagging import Tagging, Written
from rollout.git.tree import TreeLimits

__all__ = ["GitPolicy", "Mirror", "Mirrors", "TreeLimits"]

_T = TypeVar("_T")
DEFAULT_BRANCH = Ref()
_CHANGES = 1000
"""Files of a commit that are read one by one; more are listed as if for the first time."""


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
            made = Clone(remote, Repository(self._directory / name, self._policy))
            self._mirrors[key] = Mirror(made, self._pool, self._limits)
        mirror = self._mirrors[key]
        mirror.use(credential or Credential())
        return mirror

    async def drop(self, url: str, owner: str) -> None:
        """Remove a mirror that no source uses any more, from the disk too."""
        if mirror := self._mirrors.pop((url.rstrip("/"), owner), None):
            await mirror.discard()

    async def close(self) -> None:
        """End every running git and every thread; the mirrors stay on disk."""
        for mirror in self._mirrors.values():
            mirror.kill()
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Reading:
    branch: str
    sha: str
    tree: str
    blobs: tuple[Blob, ...]


@dataclass(slots=True)
class _Shared:
    """What all who use one mirror have in common."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    closed: bool = False
    generation: int = 0
    tips: dict[str, Revision] = field(default_factory=dict)
    followed: dict[Ref, Tip] = field(default_factory=dict)
    readings: dict[str, _Reading] = field(default_factory=dict)


class Mirror:
    """A remote repository as seen by one owner. Raises `Retry` or `Stalled`."""

    def __init__(
        self,
        clone: Clone,
        pool: ThreadPoolExecutor,
        limits: TreeLimits,
        patience: timedelta | None = None,
        shared: "_Shared | None" = None,
    ) -> None:
        self._clone = clone
        self._pool = pool
        self._limits = limits
        self._patience = patience
        self._shared = shared or _Shared()

    def within(self, patience: timedelta) -> "Mirror":
        """The same mirror for somebody who gives each command that asks the server so long."""
        return Mirror(self._clone, self._pool, self._limits, patience, self._shared)

    @property
    def counts(self) -> Counts:
        """What it has done so far."""
        return self._clone.counts

    async def poll(self, ref: Ref = DEFAULT_BRANCH, *, expected: bool = False) -> Revision:
        """Ask the server which commit a ref means now (default: its HEAD), and fetch it if it moved.

        A commit that is named by its id is asked for once. `expected`: a branch has probably moved, so that
        it is fetched without asking before.
        """
        return await self._in_thread(lambda: self._expected(ref) if expected else self._poll(ref))

    async def read(self, revision: Revision, path: str = "") -> tuple[Blob, ...]:
        """The YAML and JSON files under a path at a polled revision; only contents not read before are read.

        Raises `ManifestsRefused(EntryRefused)` for links, submodules, LFS pointers and files too large,
        `Stalled(PathNotFound)`.
        """
        check_sha(revision.sha)
        return await self._in_thread(lambda: self._read(revision, check_path(path)))

    async def holds(self, revision: Revision) -> bool:
        """Whether a revision can be read without asking the server."""
        return await self._in_thread(lambda: self._clone.has(check_sha(revision.sha)))

    async def rewritten(self, old: str, new: str) -> bool:
        """Whether `old` is no longer part of the history of `new`: the branch was reset or force-pushed.

        False where the mirror never held `old` (it begins with the first revision it saw).
        """
        return await self._in_thread(lambda: self._rewritten(check_sha(old), check_sha(new)))

    async def verify(self, revision: Revision, signers: Signers, since: str = "") -> None:
        """Check that a revision, and what came with it after the commit `since`, is signed by these.

        Raises `Stalled(VerificationFailed)`.
        """
        await self._in_thread(lambda: verifying.verify(self._clone, signers, revision.sha, since))

    async def last_commit_touching(self, revision: Revision, path: str, since: str = "") -> Revision | None:
        """The newest commit up to `revision`, and after `since` if given, that changed a file.

        None if no such commit touched it. History begins with the first revision the mirror saw: a file
        not touched afterwards counts as brought by that one.
        """
        return await self._in_thread(lambda: self._touching(revision, check_path(path), since))

    async def past(self, revision: Revision, commit: str) -> Revision | None:
        """A commit of the history of `revision`, which is fetched where it was cut; None if it is not."""
        return await self._in_thread(lambda: self._past(revision, check_sha(commit)))

    async def note(self, sha: str, content: bytes, ref: str = NOTES_REF) -> None:
        """Write a verdict (one line of JSON, see `notes.merge`) on a commit and push it.

        Another writer's note is never lost; the same content again writes nothing.
        Raises `NoteRefused` where the remote doesn't allow it.
        """
        await self._in_thread(lambda: notebook.write(self._clone, check_sha(sha), content, ref))

    async def read_note(self, sha: str, ref: str = NOTES_REF) -> bytes | None:
        """The note on a commit as the remote has it now; None if there is none."""
        return await self._in_thread(lambda: notebook.read(self._clone, check_sha(sha), ref))

    async def notes(self, ref: str = NOTES_REF) -> dict[str, bytes]:
        """All notes as the remote has them now, by commit."""
        return await self._in_thread(lambda: notebook.every(self._clone, ref))

    async def revert(self, order: Order) -> str:
        """Put a path back on its branch and push; the commit, or '' where there was nothing to do.

        Raises `WriteBackRefused` where somebody changed it since, or the remote doesn't allow it.
        """
        return await self._in_thread(lambda: reverting.write(self._clone, order))

    async def tag(self, order: Tagging) -> Written:
        """Write tags of images on a branch and push. Raises `WriteBackRefused`."""
        return await self._in_thread(lambda: tagging.write(self._clone, order))

    def use(self, credential: Credential) -> None:
        """Ask with this credential from the next command on."""
        self._clone.credential = credential

    def kill(self) -> None:
        """End the running git; this mirror answers no more."""
        self._shared.closed = True
        self._clone.repository.kill()

    async def discard(self) -> None:
        """End the running git and remove the mirror from the disk."""
        self.kill()
        async with self._shared.turn:
            await asyncio.to_thread(self._clone.forget)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        async with self._shared.turn:
            if self._shared.closed:
                raise Retry("the mirror is closed")
            self._clone.repository.resume()
            self._clone.patience = self._patience
            job = self._pool.submit(work)
            running = asyncio.wrap_future(job)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                if not job.cancel():
                    # The thread must be out of the mirror before the next caller goes in.
                    self._clone.repository.kill()
                    await asyncio.gather(running, return_exceptions=True)
                raise

    # In the thread from here on.

    def _poll(self, ref: Ref) -> Revision:
        tip = self._tip(ref)
        self._shared.followed[ref] = tip
        self.counts.polls += 1
        self._drop_what_is_void()
        known = self._shared.tips.get(tip.tracking)
        if known is not None and known.sha == tip.sha:
            return known
        self._fetch(tip, known=known is not None)
        return self._arrived(tip)

    def _expected(self, ref: Ref) -> Revision:
        """As `_poll`, without asking first whether the branch has moved: somebody says that it has."""
        tip = self._shared.followed.get(ref)
        if tip is None or not tip.ref.startswith("refs/heads/") or tip.tracking not in self._shared.tips:
            return self._poll(ref)
        self._drop_what_is_void()
        try:
            self._clone.fetch(tip.refspec, shallow=False)
        except (Retry, Stalled):
            return self._poll(ref)  # which says what is wrong
        self.counts.polls += 1
        return self._arrived(replace(tip, sha=tip.tracking))

    def _arrived(self, tip: Tip) -> Revision:
        fetched = self._look_through(tip) or self._clone.newest(tip.label, tip.tracking)
        assert fetched is not None, "a ref has a newest commit: itself"
        self._shared.tips[tip.tracking] = fetched
        return fetched

    def _tip(self, ref: Ref) -> Tip:
        """The commit that is meant, as the server has it now."""
        wanted = refs.asked(ref)
        offered, links = self._clone.refs(*wanted) if wanted else ({}, {})
        tip = refs.chosen(ref, offered, links)
        check_sha(tip.sha)
        if tip.ref.startswith("refs/heads/"):
            check_branch(tip.label)
        return tip

    def _fetch(self, tip: Tip, *, known: bool) -> None:
        """Bring a tip; only a ref's first, unknown commit is fetched without its history.

        Depth 1 on a commit the mirror holds would cut the history of the branches that contain it.
        """
        if known and tip.ref:
            self._clone.fetch(tip.refspec, shallow=False)
            return
        held = self._clone.has(tip.sha)
        if not tip.ref and held:
            self._clone.local("update-ref", tip.tracking, tip.sha)
            return
        first = not self._clone.has(tip.tracking) and not held
        self._clone.fetch(tip.refspec, shallow=first)

    def _look_through(self, tip: Tip) -> Revision | None:
        """A tip that was just fetched, and in the same go what it changes of all that is read of its branch.

        None where that is unusual: it is read as if for the first time then, and refused with its reason.
        """
        read = {path: each for path, each in self._shared.readings.items() if each.branch == tip.label}
        if not read:
            return None
        try:
            with self._clone.objects(self._limits.manifest_bytes) as objects:
                sha, commit = objects.read(tip.sha, "commit")
                for path, before in read.items():
                    self._shared.readings[path] = self._changed(objects, tip.label, sha, path, before)
        except (Unusual, Hangup, ManifestsRefused):
            return None
        return told(tip.label, sha, commit)

    def _changed(self, objects: Objects, branch: str, sha: str, path: str, before: _Reading) -> _Reading:
        top, _ = objects.read(f"{sha}:{path}", "tree")
        prefix = f"{path}/" if path else ""
        changes = objects.changes(before.tree, top, _CHANGES)
        if not changes:
            return _Reading(branch, sha, top, before.blobs)
        blobs = {each.path: each for each in before.blobs}
        for change in changes:
            name = prefix + change.path
            blobs.pop(name, None)
            if change.oid and tree.is_manifest(name):
                data = objects.read(change.oid, "blob")[1]
                tree.refuse_pointer(name, data)
                blobs[name] = Blob(name, change.oid, data)
                self.counts.blobs_read += 1
        if len(blobs) > self._limits.manifests:
            raise Unusual(path)
        if sum(len(each.data) for each in blobs.values()) > self._limits.total_bytes:
            raise Unusual(path)
        ordered = sorted(blobs.values(), key=lambda each: each.path.encode())
        return _Reading(branch, sha, top, tuple(ordered))

    def _rewritten(self, old: str, new: str) -> bool:
        if old == new or not self._clone.has(old) or not self._clone.has(new):
            return False
        return not self._clone.answers("merge-base", "--is-ancestor", old, new)

    def _touching(self, revision: Revision, path: str, since: str) -> Revision | None:
        new = check_sha(revision.sha)
        known = bool(since) and self._clone.has(check_sha(since))
        return self._clone.newest(revision.branch, f"{since}..{new}" if known else new, path)

    def _past(self, revision: Revision, commit: str) -> Revision | None:
        new = check_sha(revision.sha)
        self._clone.deepen(new)
        if not self._clone.answers("merge-base", "--is-ancestor", commit, new):
            return None
        return self._clone.newest(revision.branch, commit)

    def _read(self, revision: Revision, path: str) -> tuple[Blob, ...]:
        self._drop_what_is_void()
        sha, before = revision.sha, self._shared.readings.get(path)
        if before is not None and before.sha == sha:
            return before.blobs
        top = self._clone.resolve(f"{sha}:{path}")
        if not top:
            if self._clone.has(sha):
                raise Stalled("PathNotFound", f"spec.path: {path!r} does not exist at {sha[:12]}")
            self._clone.forget()
            raise Retry(f"the mirror has lost {sha[:12]} and will be fetched again")
        same = before is not None and before.tree == top
        old = before.blobs if before is not None else ()
        blobs = old if same else self._blobs(sha, path, old)
        self._shared.readings[path] = _Reading(revision.branch, sha, top, blobs)
        return blobs

    def _blobs(self, sha: str, path: str, before: tuple[Blob, ...]) -> tuple[Blob, ...]:
        listing = self._clone.local(
            "ls-tree", "-r", "-l", "-z", "--full-tree", sha, "--", *([path] if path else [])
        )
        entries = tree.manifests(listing, self._limits)
        held = {blob.oid: blob.data for blob in before}
        held |= self._clone.contents([entry for entry in entries if entry.oid not in held])
        for entry in entries:
            tree.refuse_pointer(entry.path, held[entry.oid])
        return tuple(Blob(entry.path, entry.oid, held[entry.oid]) for entry in entries)

    def _drop_what_is_void(self) -> None:
        """Forget what was read from a repository that was thrown away since."""
        if self._shared.generation != self._clone.generation:
            self._shared.generation = self._clone.generation
            self._shared.tips.clear()
            self._shared.readings.clear()
