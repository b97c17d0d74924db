"""SSH: the real `sshd` of Debian on loopback, with keys made on the spot."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from git_servers import Upstream

from rollout.api.errors import Retry, Stalled
from rollout.git.credential import Credential
from rollout.git.mirror import Mirrors

SSHD = shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if os.access(path, os.X_OK)), "")
pytestmark = pytest.mark.skipif(
    not SSHD or shutil.which("ssh-keygen") is None, reason="needs sshd: apt-get install openssh-server"
)


def new_key(path: Path) -> bytes:
    """A key pair; the private key."""
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(make, check=True)
    return path.read_bytes()


@dataclass(frozen=True, slots=True)
class SshServer:
    """Lets one key in, and that one do nothing but git in one folder."""

    port: int
    identity: bytes
    known_hosts: bytes
    folder: Path

    def credential(self, **data: bytes) -> Credential:
        return Credential.from_secret({"identity": self.identity, "known_hosts": self.known_hosts, **data})

    def url(self, name: str = "upstream.git") -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.folder}/{name}"


@pytest.fixture
def ssh(tmp_path: Path, upstream: Upstream) -> Iterator[SshServer]:
    home = tmp_path / "sshd"
    home.mkdir(mode=0o700)
    new_key(home / "host")
    identity = new_key(home / "client")
    (home / "authorized").write_bytes((home / "client.pub").read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": home / "host",
        "AuthorizedKeysFile": home / "authorized",
        "PidFile": home / "pid",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "UsePAM": "no",
        "StrictModes": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (home / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = home / "log"
    server = subprocess.Popen(
        [SSHD, "-D", "-f", str(home / "config"), "-E", str(log)], stdin=subprocess.DEVNULL
    )
    try:
        _answers(port, server, log)
        public = (home / "host.pub").read_text()
        known = f"[127.0.0.1]:{port} {public}".encode()
        yield SshServer(port, identity, known, upstream.bare.parent)
    finally:
        server.terminate()
        server.wait()


def _answers(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"sshd never answered: {log.read_text()}")


async def test_a_known_key_fetches_and_pushes_the_note(
    mirrors: Mirrors, upstream: Upstream, ssh: SshServer
) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(ssh.url(), "shop/git", ssh.credential())
    revision = await mirror.poll()
    assert revision.sha == sha
    assert [blob.data for blob in await mirror.read(revision)] == [b"a: 1\n"]
    await mirror.note(sha, b'{"rollout":"shop/web","attempt":"1"}')
    assert "shop/web" in upstream.git(
        "--git-dir", str(upstream.bare), "notes", "--ref=refs/notes/rollout", "show", sha
    )


async def test_who_is_not_who_they_say_is_refused_and_named(
    mirrors: Mirrors, upstream: Upstream, ssh: SshServer, tmp_path: Path
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    new_key(tmp_path / "other")
    public = (tmp_path / "other.pub").read_text()
    other = f"[127.0.0.1]:{ssh.port} {public}".encode()
    cases = {
        "HostKeyRefused": ssh.credential(known_hosts=other),
        "AuthenticationFailed": ssh.credential(identity=(tmp_path / "other").read_bytes()),
    }
    for reason, credential in cases.items():
        with pytest.raises(Stalled) as refusal:
            await mirrors.of(ssh.url(), "shop/git", credential).poll()
        assert refusal.value.reason == reason
        assert "PRIVATE KEY" not in str(refusal.value)
    unknown = ssh.credential(known_hosts=b"git.example.com ssh-ed25519 AAAA\n")
    with pytest.raises(Stalled) as refusal:
        await mirrors.of(ssh.url(), "shop/git", unknown).poll()
    assert refusal.value.reason == "HostKeyRefused"
    with pytest.raises((Stalled, Retry)) as refusal:
        await mirrors.of(ssh.url("nowhere.git"), "shop/git", ssh.credential()).poll()
    assert isinstance(refusal.value, Stalled)
    assert refusal.value.reason == "RepositoryNotFound"


async def test_a_key_that_lost_its_last_newline_is_a_key(
    mirrors: Mirrors, upstream: Upstream, ssh: SshServer
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    credential = ssh.credential(identity=ssh.identity.replace(b"\n", b"\r\n").rstrip())
    assert (await mirrors.of(ssh.url(), "shop/git", credential).poll()).branch == "main"
