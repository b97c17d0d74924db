"""Newer tags of images written on a branch: one commit, a few bytes of a few files, pushed without force.

Where people have to agree the commit goes on a branch of its own, which grows until they merge it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from rollout.api.errors import Retry
from rollout.api.writeback import Author
from rollout.git import branches, signing
from rollout.git.clone import Clone
from rollout.git.errors import WriteBackRefused
from rollout.git.remote import check_branch, check_path
from rollout.git.scalar_edits import NotEditable, edited

_TRIES = 5
_LOOKED_THROUGH = 500
PER_HOUR = 12
"""Commits on one branch: more in an hour is a loop."""
TRAILER = "Rollout-Image"
_OURS = "refs/rollout/images/"

Change = Callable[[str], str | None]
"""The new text of a field from the one that is there; None where this document is not meant."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One field of one file."""

    path: str
    where: str
    """The field, such as spec.template.spec.containers[name=app].image."""
    image: str
    """As it is to be: `shop:v1.5.1`."""
    change: Change = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tagging:
    """What is to be written, by whom, when."""

    branch: str
    edits: tuple[Edit, ...]
    at: datetime
    author: Author
    proposed: str = ""
    """The branch that people are to merge; '': the commit goes on `branch` itself."""
    signing_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it: '' where Git says all of it already."""

    commit: str
    images: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Edits that could not be made, each with its file."""


def write(clone: Clone, order: Tagging) -> Written:
    """Make the edits that change something, in one commit, and push.

    Raises:
        WriteBackRefused: a guard against loops holds, or the remote refuses.
        Retry: others were faster every time.
    """
    check_branch(order.branch)
    target = check_branch(order.proposed) if order.proposed else order.branch
    for _ in range(_TRIES):
        parent = branches.follow(clone, order.branch)
        tree, made, problems = _edited(clone, parent, order.edits, order.branch)
        if made and order.proposed:
            parent, tree, made = _proposed(clone, parent, tree, made, order)
        if not made:
            return Written("", (), problems)
        _refuse_loops(clone, parent, order)
        images = tuple(each.image for each in made)
        message = _message(made)
        commit = signing.commit(clone, tree, parent, order.author, order.at, message, order.signing_key)
        if branches.push(clone, commit, target):
            clone.local("update-ref", _OURS + target, commit)
            return Written(commit, images, problems)
        # Whoever was faster has moved the branch; build upon theirs.
        clone.repository.wait(random.uniform(0.05, 0.5))
    raise Retry(f"{target} was moved by others {_TRIES} times while images were written")


def _proposed(
    clone: Clone, head: str, tree: str, made: tuple[Edit, ...], order: Tagging
) -> tuple[str, str, tuple[Edit, ...]]:
    """The commit to build upon, the tree, and the edits that the branch for people lacks."""
    theirs = branches.find(clone, order.proposed)
    if not theirs:
        return head, tree, () if _is_declined(clone, head, tree, made, order) else made
    clone.deepen(head)
    if clone.answers("merge-base", "--is-ancestor", theirs, head):
        return head, tree, made  # merged: it begins anew, and still goes forward
    if not any(trailers.strip() for _, trailers in _ours(clone, f"{head}..{theirs}")):
        raise WriteBackRefused(f"the branch {order.proposed} is there and not ours: remove it")
    upon, left, _ = _edited(clone, theirs, made, order.proposed)
    return theirs, upon, left


def _is_declined(clone: Clone, head: str, tree: str, made: tuple[Edit, ...], order: Tagging) -> bool:
    """Whether people removed our branch, unmerged, with this very content."""
    last = clone.resolve(_OURS + order.proposed)
    if not last or clone.answers("merge-base", "--is-ancestor", last, head):
        return False
    return all(clone.resolve(f"{tree}:{each.path}") == clone.resolve(f"{last}:{each.path}") for each in made)


def _edited(
    clone: Clone, head: str, edits: tuple[Edit, ...], branch: str
) -> tuple[str, tuple[Edit, ...], tuple[str, ...]]:
    tree = clone.resolve(f"{head}^{{tree}}")
    made: list[Edit] = []
    problems: list[str] = []
    for edit in edits:
        path = check_path(edit.path)
        blob = clone.resolve(f"{tree}:{path}")
        if not blob:
            problems.append(f"{path}: is not there on {branch}")
            continue
        before = clone.local("cat-file", "blob", blob)
        try:
            after = edited(before, edit.where, edit.change)
        except NotEditable as wrong:
            problems.append(f"{path}: {wrong}")
            continue
        if after != before:
            oid = clone.local("hash-object", "-w", "--stdin", stdin=after).decode().strip()
            tree = branches.replaced(clone, tree, path.split("/"), oid)
            made.append(edit)
    return tree, tuple(made), tuple(problems)


def _refuse_loops(clone: Clone, head: str, order: Tagging) -> None:
    written = (float(when) for when, trailers in _ours(clone, head) if trailers.strip())
    lately = sum(0 <= order.at.timestamp() - when < 3600 for when in written)
    if lately >= PER_HOUR:
        raise WriteBackRefused(f"{lately} commits of images on {order.branch} within an hour: is it a loop?")


def _ours(clone: Clone, commits: str) -> list[tuple[str, str]]:
    """(time, trailers) of the newest commits."""
    form = f"--format=%ct%x00%(trailers:key={TRAILER},valueonly)%x1e"
    said = clone.local("log", f"-{_LOOKED_THROUGH}", form, "--end-of-options", commits)
    records = (each.partition("\0") for each in said.decode(errors="replace").split("\x1e"))
    return [(when, trailers) for when, _, trailers in records if trailers]


def _message(made: tuple[Edit, ...]) -> str:
    names = ", ".join(each.image.rpartition("/")[2] for each in made)
    lines = "\n".join(f"{each.path}: {each.image}" for each in made)
    trailers = "\n".join(f"{TRAILER}: {each.image}" for each in made)
    return f"Update to {names}\n\n{lines}\n\n{trailers}\n"
