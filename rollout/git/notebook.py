"""Reading and writing notes on the remote: only what was pushed counts, and nobody's push is overwritten."""

import random

from rollout.api.errors import Retry, Stalled
from rollout.git import notes, tree
from rollout.git.clone import Clone, PushRefused
from rollout.git.errors import NoteRefused
from rollout.git.remote import check_branch, check_sha
from rollout.git.repository import CommandFailed

_TRIES = 8


def write(clone: Clone, sha: str, record: bytes, ref: str) -> None:
    """Merge a record into the note on a commit and push it, again if another writer was faster."""
    check_ref(ref)
    for _ in range(_TRIES):
        _follow(clone, ref)
        old = _show(clone, sha, ref)
        new = notes.merge(old or b"", record)
        if new == old:
            return
        blob = clone.local("hash-object", "-w", "--stdin", stdin=new).decode().strip()
        clone.local("notes", f"--ref={ref}", "add", "-f", "-C", blob, sha)
        if _push(clone, ref):
            return
        # Whoever was faster has moved the ref; build upon theirs.
        clone.repository.wait(random.uniform(0.05, 0.5))
    raise Retry(f"{ref} was moved by others {_TRIES} times while we wrote on {sha[:12]}")


def read(clone: Clone, sha: str, ref: str) -> bytes | None:
    """The note on a commit as the remote has it now."""
    check_ref(ref)
    _follow(clone, ref)
    return _show(clone, sha, ref)


def every(clone: Clone, ref: str) -> dict[str, bytes]:
    """All notes as the remote has them now, by commit."""
    check_ref(ref)
    _follow(clone, ref)
    if not clone.resolve(ref):
        return {}
    # A notes tree fans out: ab/cd01.. is the note on abcd01...
    listing = clone.local("ls-tree", "-r", "-l", "-z", "--full-tree", ref)
    entries = tree.entries(listing)
    contents = clone.contents(entries)
    return {each.path.replace("/", ""): contents[each.oid] for each in entries}


def check_ref(ref: str) -> None:
    """Refuse what is no ref of notes: `Stalled(InvalidRevision)`."""
    if not ref.startswith("refs/notes/"):
        raise Stalled("InvalidRevision", f"{ref[:80]!r} is not under refs/notes/")
    check_branch(ref.removeprefix("refs/notes/"))


def _follow(clone: Clone, ref: str) -> None:
    """Set our copy of a ref to the remote's, whatever we had written but not pushed."""
    theirs = clone.refs(ref)[0].get(ref, "")
    ours = clone.resolve(ref)
    if theirs == ours:
        return
    if not theirs:
        clone.local("update-ref", "-d", ref)
    elif clone.has(theirs):
        clone.local("update-ref", ref, theirs)
    else:
        clone.fetch(f"+{ref}:{ref}", shallow=not ours)


def _show(clone: Clone, sha: str, ref: str) -> bytes | None:
    try:
        blob = clone.repository.run("notes", f"--ref={ref}", "list", sha).decode().strip()
    except CommandFailed:
        return None
    return clone.local("cat-file", "blob", check_sha(blob))


def _push(clone: Clone, ref: str) -> bool:
    """Push; False if another writer was faster."""
    try:
        return clone.push(f"{ref}:{ref}")
    except PushRefused as refused:
        message = f"{ref} can't be pushed: allow it, or take notes out of spec.writeBack; {refused}"
        raise NoteRefused(message) from refused
