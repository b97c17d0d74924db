"""A refused manifest put back in Git: one commit of one path, pushed without force to the branch itself or to
one of its own that people merge.

The branch is built upon as it is now, and only while it still holds what was refused: whoever wrote that path
since has the last word.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime

from rollout.api.errors import Retry, Stalled
from rollout.api.writeback import Author
from rollout.git import branches, signing
from rollout.git.clone import Clone
from rollout.git.errors import WriteBackRefused
from rollout.git.remote import check_branch, check_path, check_sha

_TRIES = 5
_LOOKED_THROUGH = 500
"""Commits in which our own traces are looked for."""
PER_HOUR = 3
"""Reverts on one branch: more in an hour is a loop, or a day on which people should look."""
_OURS = "refs/rollout/reverts/"
REVERTS, ATTEMPT = "Rollout-Reverts", "Rollout-Attempt"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be put back, and why."""

    branch: str
    path: str
    bad: str
    """The commit that brought what was refused."""
    good: str
    """The commit whose content of the path is put back."""
    attempt: str
    subject: str
    body: str
    trailers: tuple[tuple[str, str], ...]
    at: datetime
    """When the verdict fell; the commit bears this time, so that writing it twice writes the same."""
    author: Author
    proposed: str = ""
    """The branch that people are to merge; '': the commit goes on `branch` itself."""
    signing_key: bytes = field(default=b"", repr=False)
    """An SSH private key; b'': the commit is not signed."""

    @property
    def message(self) -> str:
        """Of the commit."""
        told = (*self.trailers, (REVERTS, self.bad), (ATTEMPT, self.attempt))
        lines = "\n".join(f"{key}: {value}" for key, value in told)
        return f"{self.subject}\n\n{self.body}\n\n{lines}\n"


def write(clone: Clone, order: Order) -> str:
    """Put it back and push; the commit, or '' where there is nothing to do: it was done, or Git is good.

    Raises:
        WriteBackRefused: somebody changed the path since, a guard against loops holds, or the remote refuses.
        Retry: others were faster every time.
    """
    check_branch(order.branch)
    check_path(order.path)
    for _ in range(_TRIES):
        head = branches.follow(clone, order.branch)
        if _done(clone, head, order):
            return ""
        tree = _restored(clone, head, order)
        if not tree:
            return ""
        if order.proposed and (known := _proposed(clone, head, order)) is not None:
            return known
        commit = _commit(clone, tree, head, order)
        if branches.push(clone, commit, order.proposed or order.branch):
            clone.local("update-ref", _OURS + (order.proposed or order.branch), commit)
            return commit
        # Whoever was faster has moved the branch; build upon theirs.
        clone.repository.wait(random.uniform(0.05, 0.5))
    raise Retry(f"{order.branch} was moved by others {_TRIES} times while {order.path} was put back")


def _done(clone: Clone, head: str, order: Order) -> bool:
    """Whether this attempt was reverted before; refuses what would go round in circles."""
    reverts, attempt = (f"%(trailers:key={key},valueonly)" for key in (REVERTS, ATTEMPT))
    form = f"--format=%H%x00%ct%x00{reverts}%x00{attempt}%x1e"
    said = clone.local("log", f"-{_LOOKED_THROUGH}", form, "--end-of-options", head).decode(errors="replace")
    lately = 0
    for record in said.split("\x1e"):
        fields = [each.strip() for each in record.split("\0")]
        if len(fields) != 4 or not fields[2]:
            continue
        if order.attempt in fields[3].split():
            return True
        if fields[0] == order.bad:
            raise WriteBackRefused(f"{order.bad[:12]} is a revert of ours; nothing reverts it but people")
        lately += order.at.timestamp() - float(fields[1]) < 3600
    if lately >= PER_HOUR:
        raise WriteBackRefused(f"{lately} reverts on {order.branch} within an hour; put it back by hand")
    return False


def _proposed(clone: Clone, head: str, order: Order) -> str | None:
    """What is on the branch for people already, '' where they removed it; None where it is to be made.

    Refuses to make another where many wait, or where the branch is somebody else's.
    """
    check_branch(order.proposed)
    ref, kin = f"refs/heads/{order.proposed}", order.proposed.rpartition("-")[0]
    theirs = clone.refs(f"refs/heads/{kin}-*")[0]
    if ref in theirs:
        _bring(clone, theirs[ref], ref)
        if order.attempt in _trailer(clone, theirs[ref], ATTEMPT).split():
            return check_sha(theirs[ref])
        raise WriteBackRefused(f"the branch {order.proposed} is there and not ours: remove it")
    if clone.has(_OURS + order.proposed):
        return ""
    lately = 0
    for name, sha in theirs.items():
        _bring(clone, sha, name)
        waits = not clone.answers("merge-base", "--is-ancestor", sha, head)
        when = clone.local("log", "-1", "--format=%ct", "--end-of-options", sha)
        lately += waits and order.at.timestamp() - float(when) < 3600
    if lately >= PER_HOUR:
        raise WriteBackRefused(
            f"{lately} branches {kin}-* of the last hour wait for people: merge or remove them"
        )
    return None


def _bring(clone: Clone, sha: str, ref: str) -> None:
    if not clone.has(check_sha(sha)):
        clone.fetch(f"+{ref}:{_OURS}seen/{sha}", shallow=False)


def _trailer(clone: Clone, commit: str, key: str) -> str:
    form = f"--format=%(trailers:key={key},valueonly)"
    return clone.local("log", "-1", form, "--end-of-options", commit).decode(errors="replace").strip()


def _restored(clone: Clone, head: str, order: Order) -> str:
    """The branch's tree with the good content at the path; '' where it is there already."""
    now, bad = (clone.resolve(f"{commit}:{order.path}") for commit in (head, order.bad))
    good = _good(clone, order)
    if now == good:
        return ""
    if now != bad or not bad:
        raise WriteBackRefused(f"{order.path} was changed after {order.bad[:12]}; it is left as it is")
    return branches.replaced(clone, f"{head}^{{tree}}", order.path.split("/"), good)


def _good(clone: Clone, order: Order) -> str:
    if not clone.has(check_sha(order.good)):
        try:
            clone.fetch(f"+{order.good}:{_OURS}{order.good}", shallow=True)
        except Stalled as refusal:
            raise WriteBackRefused(
                f"the last good commit {order.good[:12]} can't be had: {refusal}"
            ) from refusal
    found = clone.resolve(f"{order.good}:{order.path}")
    if not found:
        raise WriteBackRefused(f"{order.path} did not exist at the last good commit {order.good[:12]}")
    return found


def _commit(clone: Clone, tree: str, parent: str, order: Order) -> str:
    """A commit object, written as it is: no clock and no environment has a part in it."""
    return signing.commit(clone, tree, parent, order.author, order.at, order.message, order.signing_key)
