"""A branch of the remote that we write on: as it is now, a tree of it with one file changed, a push."""

from rollout.git.clone import Clone, PushRefused
from rollout.git.errors import WriteBackRefused
from rollout.git.remote import check_sha


def follow(clone: Clone, branch: str) -> str:
    """The branch's commit as the remote has it now, held by the mirror. Raises `WriteBackRefused`."""
    found = find(clone, branch)
    if not found:
        raise WriteBackRefused(f"the branch {branch} is gone")
    return found


def find(clone: Clone, branch: str) -> str:
    """The same; '' where there is no such branch."""
    ref = f"refs/heads/{branch}"
    theirs = clone.refs(ref)[0].get(ref)
    if theirs is None:
        return ""
    if not clone.has(theirs):
        clone.fetch(f"+{ref}:refs/remotes/origin/{branch}", shallow=False)
    return check_sha(theirs)


def replaced(clone: Clone, tree: str, parts: list[str], blob: str) -> str:
    """A tree with another blob at a path; all else stays, modes included."""
    entries = []
    for entry in clone.local("ls-tree", "-z", tree).split(b"\0"):
        if not entry:
            continue
        meta, _, name = entry.partition(b"\t")
        mode, kind, oid = meta.decode().split(" ")
        if name == parts[0].encode():
            oid = replaced(clone, oid, parts[1:], blob) if parts[1:] else blob
        entries.append(f"{mode} {kind} {oid}\t".encode() + name)
    return clone.local("mktree", "-z", stdin=b"".join(each + b"\0" for each in entries)).decode().strip()


def push(clone: Clone, commit: str, branch: str) -> bool:
    """Push without force; False if another writer was faster. Raises `WriteBackRefused`."""
    try:
        return clone.push(f"{commit}:refs/heads/{branch}")
    except PushRefused as refused:
        message = f"refs/heads/{branch} can't be pushed: allow it, or take what writes on it out of the spec"
        raise WriteBackRefused(f"{message}; {refused}") from refused
