"""Signatures: real keys, made on the spot, and commits that real git signed with them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from git_servers import Upstream

from rollout.api.errors import Stalled
from rollout.git.mirror import Mirrors
from rollout.git.signers import Signers

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg: apt-get install gnupg")
THEN = "20200101T000000"
"""When the expired key was good."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Key pairs of people: for GPG in a home of its own, for SSH as files."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "GNUPGHOME": str(self.home), "HOME": str(self.home)}

    def run(self, *words: str) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def make(self) -> None:
        new = ("gpg", "--batch", "--passphrase", "")
        for name in ("ann", "eve"):
            self.run(*new, "--quick-generate-key", f"{name}@example.com", "ed25519", "sign", "never")
            self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.home / name))
        old = (*new, "--faked-system-time", THEN)
        self.run(*old, "--quick-generate-key", "old@example.com", "ed25519", "sign", "2020-02-01")
        then = self.home / "then"
        then.write_text(f'#!/bin/sh\nexec gpg --faked-system-time {THEN} "$@"\n')
        then.chmod(0o700)

    def signers(self) -> Signers:
        """Ann by both of her keys, and whose key has expired."""
        gpg = {name: self.run("gpg", "--armor", "--export", f"{name}@example.com") for name in ("ann", "old")}
        data = {f"{name}.asc": text.encode() for name, text in gpg.items()}
        return Signers.from_secret({**data, "ann.sshpub": (self.home / "ann.pub").read_bytes()})

    def commit(self, upstream: Upstream, how: str, message: str) -> str:
        """A commit signed as told, pushed."""
        upstream.commit({"a.yaml": f"a: {message}\n"}, message)
        with_ssh = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.home / how.removesuffix('-ssh')}")
        with_gpg = ("-c", f"user.signingkey={how}@example.com")
        program = self.home / "then" if how == "old" else "gpg"
        chosen = with_ssh if how.endswith("-ssh") else with_gpg
        if how != "nobody":
            self.amend(upstream, "-c", f"gpg.program={program}", *chosen)
        return upstream.git("rev-parse", "HEAD")

    def amend(self, upstream: Upstream, *options: str) -> None:
        words = ("git", *options, "commit", "--amend", "--quiet", "--no-edit", "-S")
        identity = {
            f"GIT_{role}_{part}": "ann@example.com"
            for role in ("AUTHOR", "COMMITTER")
            for part in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            words, cwd=upstream.work, env={**self.environment, **identity}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        upstream.push("main", "--force")


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    # An agent's socket has to have a short path.
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as home:
        keys = Keys(Path(home))
        keys.make()
        yield keys
        keys.run("gpgconf", "--kill", "all")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        pytest.param("ann", "", id="git-24 a known GPG key is good"),
        pytest.param("ann-ssh", "", id="git-24 a known SSH key is good"),
        pytest.param("nobody", "is not signed", id="git-24 no signature is not"),
        pytest.param("eve", "not among the signers", id="git-24 nor an unknown GPG key"),
        pytest.param("eve-ssh", "not among the signers", id="git-24 nor an unknown SSH key"),
        pytest.param("old", "has expired", id="git-24 nor a known GPG key that has expired"),
    ],
)
async def test_a_commit_counts_by_who_signed_it(
    mirrors: Mirrors, upstream: Upstream, keys: Keys, how: str, why: str
) -> None:
    sha = keys.commit(upstream, how, "one")
    mirror = mirrors.of(upstream.url, "shop/")
    revision = await mirror.poll()
    assert revision.sha == sha
    if not why:
        await mirror.verify(revision, keys.signers())
        return
    with pytest.raises(Stalled, match=why) as refusal:
        await mirror.verify(revision, keys.signers())
    assert refusal.value.reason == "VerificationFailed"
    assert f"{sha[:12]} 'one'" in str(refusal.value)


async def test_a_signature_of_something_else_is_none(
    mirrors: Mirrors, upstream: Upstream, keys: Keys
) -> None:
    keys.commit(upstream, "ann-ssh", "one")
    altered = upstream.git("cat-file", "commit", "HEAD").replace("one", "two").encode() + b"\n"
    forged = upstream.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=altered)
    upstream.git("push", "--quiet", "--force", "origin", f"{forged}:refs/heads/main")
    mirror = mirrors.of(upstream.url, "shop/")
    with pytest.raises(Stalled, match="not of its content"):
        await mirror.verify(await mirror.poll(), keys.signers())


async def test_under_a_signed_head_an_unsigned_commit_is_found_by_range_even_by_a_new_mirror(
    mirrors: Mirrors, upstream: Upstream, keys: Keys
) -> None:
    first = keys.commit(upstream, "ann-ssh", "one")
    keys.commit(upstream, "nobody", "sneaky")
    keys.commit(upstream, "ann", "three")
    mirror = mirrors.of(upstream.url, "shop/")
    revision = await mirror.poll()
    await mirror.verify(revision, keys.signers())
    with pytest.raises(Stalled, match="'sneaky' is not signed"):
        await mirror.verify(revision, keys.signers(), since=first)
    with pytest.raises(Stalled, match="is gone from the repository"):
        await mirror.verify(revision, keys.signers(), since="a" * 40)


async def test_going_back_to_a_commit_is_checked_too(
    mirrors: Mirrors, upstream: Upstream, keys: Keys
) -> None:
    keys.commit(upstream, "nobody", "one")
    mirror = mirrors.of(upstream.url, "shop/")
    await mirror.poll()
    second = keys.commit(upstream, "ann-ssh", "two")
    await mirror.poll()
    upstream.git("push", "--quiet", "--force", "origin", "HEAD~1:refs/heads/main")
    with pytest.raises(Stalled, match="'one' is not signed"):
        await mirror.verify(await mirror.poll(), keys.signers(), since=second)


async def test_no_agent_is_left_and_no_key_either(
    mirrors: Mirrors, upstream: Upstream, keys: Keys, tmp_path: Path
) -> None:
    keys.commit(upstream, "ann", "one")
    mirror = mirrors.of(upstream.url, "shop/")
    await mirror.verify(await mirror.poll(), keys.signers())
    assert not [each for each in command_lines() if b"gpg" in each and str(tmp_path).encode() in each]
    assert not keyrings(tmp_path)


def command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes())
    return found


def keyrings(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith("pubring")]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param({}, "no key that ends in", id="an empty Secret"),
        pytest.param({"a.pub": b"ssh-ed25519 AAAA"}, "no key that ends in", id="another ending"),
        pytest.param({"a.sshpub": b'command="x" ssh-ed25519 AAAA'}, "`a.sshpub` holds a line", id="options"),
        pytest.param({"a.asc": b"no key"}, "`a.asc` holds no public key", id="no armor"),
        pytest.param(
            {"a.asc": b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!\n-----END PGP PUBLIC KEY BLOCK-----"},
            "`a.asc` is damaged",
            id="no base64",
        ),
    ],
)
def test_a_secret_without_keys_is_refused(data: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(Stalled, match=complaint) as refusal:
        Signers.from_secret(data)
    assert refusal.value.reason == "InvalidSigners"
