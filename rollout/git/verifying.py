"""Whether commits are signed by somebody who may: git's own verification, with no key but those given.

`git verify-commit` says "good" of keys that nobody named. Here the keyring and the list of signers are made
for the one command and hold the named keys alone, so that `G` means: a valid signature by one of them.
"""

import shutil

from rollout.api.errors import Stalled
from rollout.git.clone import Clone
from rollout.git.environment import Extra
from rollout.git.remote import check_sha
from rollout.git.signers import Signers

MOST = 1000
"""Commits of one range; each costs a process."""
_GOOD = "G"
_WHY = {
    "N": "is not signed",
    "B": "has a signature that is not of its content",
    "U": "is signed by a key that is not among the signers",
    "E": "is signed by a key that is not among the signers",
    "X": "has a signature that has expired",
    "Y": "is signed by a key that has expired",
    "R": "is signed by a key that was revoked",
}
_CONFIG = '[gpg]\n\tprogram = gpg\n[gpg "ssh"]\n\tallowedSignersFile = {home}/allowed_signers\n'
_GPG = (
    "batch\nno-tty\nno-autostart\nno-auto-check-trustdb\nno-auto-key-retrieve\nno-auto-key-locate\n"
    "trust-model always\n"
)


def verify(clone: Clone, signers: Signers, new: str, since: str = "") -> None:
    """Check the signature of a commit and, with `since`, of every commit that came with it after that one.

    Raises `Stalled(VerificationFailed)`, which names the first commit that fails, and why.
    """
    if signers.gpg and shutil.which("gpg") is None:
        raise Stalled("GpgMissing", "gpg can't be started: install gnupg beside the operator")
    extra = Extra(
        {
            "allowed_signers": signers.allowed.encode(),
            "pubring.gpg": signers.gpg,
            "gpg.conf": _GPG.encode(),
        },
        _CONFIG,
        {"GNUPGHOME": "{home}"},
    )
    _check(clone, extra, 1, check_sha(new))
    if since:
        _check(clone, extra, MOST, new, f"^{_known(clone, new, check_sha(since))}")


def _check(clone: Clone, extra: Extra, most: int, *commits: str) -> None:
    form = ("--no-show-signature", "--encoding=UTF-8", "--format=%H%x00%G?%x00%s")
    beyond = most if most == 1 else most + 1
    said = clone.local("log", f"--max-count={beyond}", *form, *commits, "--", extra=extra)
    lines = said.decode(errors="replace").splitlines()
    if len(lines) > most:
        raise _failed(f"more than {most} commits came at once", "push them in parts, or use mode: head")
    for line in lines:
        sha, found, subject = line.split("\0", 2)
        if found != _GOOD:
            why = _WHY.get(found, "can't be verified")
            raise _failed(f"{sha[:12]} {subject[:80]!r} {why}", "sign it, or name its signer")


def _known(clone: Clone, new: str, since: str) -> str:
    """`since`, whose history is at hand; it is not where the mirror was begun anew."""
    if not clone.has(since):
        clone.deepen(new)
    if not clone.has(since):
        what = f"{since[:12]}, which was applied, is gone from the repository, so what came since is unknown"
        raise _failed(what, "push it back, or use mode: head until the next commit is applied")
    return since


def _failed(what: str, remedy: str) -> Stalled:
    printable = "".join(letter if letter.isprintable() else " " for letter in what)
    return Stalled("VerificationFailed", f"{printable}: {remedy}")
