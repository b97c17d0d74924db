"""What every process that is started for Git was given, by its own words: no secret is among it.

A program of the same name comes first on the PATH, writes down what it was given, and becomes the real one.
"""

import base64
import logging
import os
import shutil
import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from git_servers import Upstream, WebServer, git
from test_git_reverting import BAD, GOOD, PATH, order
from test_git_ssh import SSHD, SshServer, new_key, ssh

from rollout.api.errors import Retry, Stalled
from rollout.git.credential import Credential
from rollout.git.mirror import Mirrors

__all__ = ["ssh"]  # a fixture
TOKEN, WRONG = "planted-t0ken", "planted-wr0ng"
SHORT = 16
"""Of a key's lines: what is not longer may be anywhere."""
PROGRAMS = ("git", "ssh", "ssh-keygen")
SHIM = """\
#!/bin/sh
/usr/bin/printf '%s\\0' "$0" "$@" >> {record}/$$
/usr/bin/env -0 >> {record}/$$
exec {real} "$@"
"""


@dataclass(frozen=True, slots=True)
class Children:
    """Where each wrote what it was given."""

    record: Path

    def said(self) -> bytes:
        return b"\0".join(each.read_bytes() for each in self.record.iterdir())


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Children:
    record, programs = tmp_path / "record", tmp_path / "programs"
    record.mkdir()
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(SHIM.format(record=record, real=shutil.which(name)))
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return Children(record)


def forms(secret: str | bytes) -> list[bytes]:
    """A secret as it is and as headers carry it; of a key, each of its lines."""
    if isinstance(secret, bytes):
        return [line for line in secret.splitlines() if len(line) > SHORT and b"-----" not in line]
    coded = [base64.b64encode(each.encode()).rstrip(b"=")[:-1] for each in (secret, f"git:{secret}")]
    return [secret.encode(), *coded]


async def at_work(
    mirrors: Mirrors, upstream: Upstream, url: str, right: Credential, wrong: Credential, signing: bytes
) -> str:
    """All that is ever asked of a remote; what is said where it refuses us."""
    good = upstream.commit({PATH: GOOD}, "v1")
    mirror = mirrors.of(url, "shop/git", right)
    await mirror.read(await mirror.poll())
    bad = upstream.commit({PATH: BAD}, "v2")
    await mirror.read(await mirror.poll(expected=True))
    await mirror.note(bad, b'{"rollout":"shop/shop","attempt":"a"}')
    await mirror.revert(order(bad, good, signing_key=signing))
    assert git(upstream.bare, "log", "-1", "--format=%s", "main").startswith("Revert"), "it was pushed"
    with pytest.raises((Retry, Stalled)) as refused:
        await mirrors.of(url, "shop/other", wrong).poll()
    return str(refused.value)


def unseen(children: Children, told: str, mirrors: Path, *secrets: str | bytes) -> None:
    words = [form for secret in secrets for form in forms(secret)]
    given = children.said()
    assert given.count(b"ls-remote") > 2, "the children were seen at work"
    assert [word for word in words if word in given] == []
    assert [word for word in words if word in told.encode()] == []
    kept = [path for path in mirrors.rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if any(word in path.read_bytes() for word in words)] == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"token": TOKEN}, id="a token"),
        pytest.param({"bearerToken": TOKEN}, id="a bearer token"),
        pytest.param({"username": "git", "password": TOKEN}, id="a user's password"),
    ],
)
async def test_no_child_is_given_what_opens_a_web_server(
    mirrors: Mirrors,
    upstream: Upstream,
    web: Callable[..., WebServer],
    children: Children,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    data: dict[str, str],
) -> None:
    caplog.set_level(logging.DEBUG)
    git(upstream.bare, "config", "http.receivepack", "true")
    authority, signing = trustme.CA(), new_key(tmp_path / "signing")
    client = authority.issue_cert("operator@example.org")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    ours = {
        "ca.crt": authority.cert_pem.bytes(),
        "tls.crt": client.cert_chain_pems[0].bytes(),
        "tls.key": client.private_key_pem.bytes(),
    }
    right = Credential.from_secret({**ours, **{key: value.encode() for key, value in data.items()}})
    wrong = Credential.from_secret({**ours, "token": WRONG.encode()})
    url = f"{web(TOKEN, tls=tls).origin}/upstream.git"
    said = await at_work(mirrors, upstream, url, right, wrong, signing)
    key = client.private_key_pem.bytes()
    unseen(children, said + caplog.text, tmp_path / "mirrors", TOKEN, WRONG, key, signing)


@pytest.mark.skipif(not SSHD, reason="needs sshd: apt-get install openssh-server")
async def test_no_child_is_given_the_key_that_opens_an_ssh_server(
    mirrors: Mirrors,
    upstream: Upstream,
    ssh: SshServer,
    children: Children,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    signing, other = new_key(tmp_path / "signing"), new_key(tmp_path / "other")
    wrong = Credential.from_secret({"identity": other, "known_hosts": ssh.known_hosts})
    said = await at_work(mirrors, upstream, ssh.url(), ssh.credential(), wrong, signing)
    assert b"/ssh\0" in children.said()
    assert b"/ssh-keygen\0" in children.said()
    unseen(children, said + caplog.text, tmp_path / "mirrors", ssh.identity, other, signing)
