"""Commits that we make: written as they are, with no clock and no index, and signed where a key is given."""

from datetime import datetime

from rollout.api.errors import Stalled
from rollout.api.writeback import Author
from rollout.git.clone import Clone
from rollout.git.environment import Extra, as_key
from rollout.git.repository import CommandFailed

_CONFIG = "[gpg]\n\tformat = ssh\n[user]\n\tsigningkey = {home}/signing\n"


def commit(
    clone: Clone, tree: str, parent: str, author: Author, at: datetime, message: str, key: bytes = b""
) -> str:
    """Write a commit object; its id. `key` is an SSH private key, or b'' for none.

    Raises `Stalled(InvalidCredential)` for a key that signs nothing.
    """
    seconds = int(at.timestamp())
    if not key:
        who = f"{author.name} <{author.email}> {seconds} +0000"
        text = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\n{message}"
        written = clone.local("hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode())
        return written.decode().strip()
    parts = {"NAME": author.name, "EMAIL": author.email, "DATE": f"@{seconds} +0000"}
    variables = {
        f"GIT_{role}_{part}": said for role in ("AUTHOR", "COMMITTER") for part, said in parts.items()
    }
    extra = Extra({"signing": as_key(key)}, _CONFIG, variables)
    words = ("commit-tree", "-S", "-p", parent, "-F", "-", tree)
    try:
        return clone.repository.run(*words, stdin=message.encode(), extra=extra).decode().strip()
    except CommandFailed as failure:
        what = "spec.writeBack.signingKeyRef: the key can't sign: it needs an SSH key without passphrase"
        raise Stalled("InvalidCredential", f"{what}; {failure}") from failure
