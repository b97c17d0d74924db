"""Credentials: which Secrets are understood, and to whom they are shown."""

import base64
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from git_servers import Upstream, WebServer

from rollout.api.errors import Retry, Stalled
from rollout.git.credential import Credential
from rollout.git.environment import private_environment
from rollout.git.mirror import Mirrors
from rollout.git.remote import parse_url

KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("data", "header"),
    [
        pytest.param({"token": b"t"}, basic("git:t"), id="a token goes with any user name"),
        pytest.param({"token": b"t", "username": b"oauth2"}, basic("oauth2:t"), id="or with the one given"),
        pytest.param(
            {"username": b"ann", "password": b"p:w"}, basic("ann:p:w"), id="a password may hold a colon"
        ),
        pytest.param({"bearerToken": b"abc"}, "Bearer abc", id="a bearer token goes as it is"),
        pytest.param({"token": b"t\n"}, basic("git:t"), id="the newline of an editor is dropped"),
        pytest.param({"ca.crt": b"PEM"}, "", id="an authority alone is enough for a public repository"),
        pytest.param({"identity": KEY, "known_hosts": b"h ssh-ed25519 x"}, "", id="a key sends no header"),
    ],
)
def test_a_secret_becomes_a_header(data: dict[str, bytes], header: str) -> None:
    assert Credential.from_secret(data).authorization == header


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        pytest.param({}, "none of `token`", id="an empty secret"),
        pytest.param({"Token": b"t"}, "none of `token`", id="a key in the wrong case"),
        pytest.param({"password": b"p"}, "needs `username`", id="a password without a user"),
        pytest.param({"token": b"a", "bearerToken": b"b"}, "are given together", id="two ways at once"),
        pytest.param({"identity": KEY}, "`identity` needs `known_hosts`", id="a key without known hosts"),
        pytest.param({"identity": KEY, "password": b"p"}, "without one", id="a key with a passphrase"),
        pytest.param(
            {"identity": b"ssh-ed25519 AAA", "known_hosts": b"x"}, "not a private key", id="a public key"
        ),
        pytest.param({"bearerToken": b"a\r\nX-Evil: 1"}, "control characters", id="a header smuggled in"),
        pytest.param({"bearerToken": b'a" b'}, "no header may hold", id="a bearer token with spaces"),
        pytest.param(
            {"username": b"a:b", "password": b"p"}, "may not hold a colon", id="a user with a colon"
        ),
        pytest.param({"tls.crt": b"PEM"}, "go together", id="a certificate without its key"),
        pytest.param(
            {"tls.crt": b"PEM", "tls.key": b"BEGIN ENCRYPTED"}, "`tls.key` is not", id="a locked key"
        ),
        pytest.param({"token": b""}, "`token` is empty", id="an empty token"),
        pytest.param({"token": b"\xff"}, "not UTF-8", id="bytes that are no text"),
    ],
)
def test_a_secret_that_can_not_work_is_refused_by_its_keys(data: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(Stalled, match=complaint) as refusal:
        Credential.from_secret(data)
    assert refusal.value.reason == "InvalidCredential"


def test_a_credential_never_prints_itself() -> None:
    assert "hush" not in repr(Credential.from_secret({"bearerToken": b"hush", "ca.crt": b"hush"}))


async def test_the_right_password_opens_and_the_note_is_pushed(
    mirrors: Mirrors, upstream: Upstream, web: Callable[..., WebServer]
) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    upstream.git("--git-dir", str(upstream.bare), "config", "http.receivepack", "true")
    server = web(password="pw")
    credential = Credential.from_secret({"token": b"pw"})
    mirror = mirrors.of(f"{server.origin}/upstream.git", "shop/git", credential)
    assert (await mirror.poll()).sha == sha
    await mirror.note(sha, b'{"rollout":"shop/web","attempt":"1"}')
    assert await mirror.read_note(sha) == b'{"rollout":"shop/web","attempt":"1"}\n'


async def test_a_bearer_token_is_sent_as_one(
    mirrors: Mirrors, upstream: Upstream, web: Callable[..., WebServer]
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    server = web(password="pw")
    credential = Credential.from_secret({"bearerToken": b"pw"})
    await mirrors.of(f"{server.origin}/upstream.git", "shop/git", credential).poll()
    assert set(server.seen) == {"Bearer pw"}


@pytest.mark.parametrize("data", [None, {"token": b"wrong"}], ids=["no password", "a wrong password"])
async def test_who_is_not_let_in_stalls_and_is_let_in_with_a_new_secret(
    mirrors: Mirrors, upstream: Upstream, web: Callable[..., WebServer], data: dict[str, bytes] | None
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    url = f"{web(password='pw').origin}/upstream.git"
    with pytest.raises(Stalled, match=r"spec\.secretRef") as refusal:
        await mirrors.of(url, "shop/git", Credential.from_secret(data) if data else None).poll()
    assert refusal.value.reason == "AuthenticationFailed"
    assert "wrong" not in str(refusal.value)
    assert (
        await mirrors.of(url, "shop/git", Credential.from_secret({"token": b"pw"})).poll()
    ).branch == "main"


async def test_a_repository_the_server_does_not_know_stalls(
    mirrors: Mirrors, web: Callable[..., WebServer]
) -> None:
    with pytest.raises((Stalled, Retry)) as refusal:
        await mirrors.of(f"{web().origin}/nowhere.git", "shop/git").poll()
    assert isinstance(refusal.value, Stalled)


async def test_a_header_goes_to_the_server_it_is_for_and_not_to_where_that_redirects(
    mirrors: Mirrors, upstream: Upstream, web: Callable[..., WebServer]
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    other = web()
    first = web(redirect_to=other.origin)
    credential = Credential.from_secret({"bearerToken": b"pw"})
    with pytest.raises(Stalled, match="write the final address") as refusal:
        await mirrors.of(f"{first.origin}/upstream.git", "shop/git", credential).poll()
    assert refusal.value.reason == "InvalidURL"
    assert (set(first.seen), other.seen) == ({"Bearer pw"}, [])


async def test_without_a_credential_a_redirect_is_followed(
    mirrors: Mirrors, upstream: Upstream, web: Callable[..., WebServer]
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    url = f"{web(redirect_to=web().origin).origin}/upstream.git"
    assert (await mirrors.of(url, "shop/git").poll()).branch == "main"


async def test_a_private_authority_is_trusted_if_the_secret_names_it(
    mirrors: Mirrors, upstream: Upstream, web: Callable[..., WebServer]
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    authority, stranger = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    url = f"{web(tls=tls).origin}/upstream.git"
    said = set()
    for _ in range(2):
        wrong = Credential.from_secret({"ca.crt": stranger.cert_pem.bytes()})
        with pytest.raises(Stalled) as refusal:
            await mirrors.of(url, "shop/git", wrong).poll()
        assert refusal.value.reason == "CertificateRefused"
        said.add(str(refusal.value))
    assert len(said) == 1, "a message that names our temporary files would change at each poll"
    right = Credential.from_secret({"ca.crt": authority.cert_pem.bytes()})
    assert (await mirrors.of(url, "shop/git", right).poll()).branch == "main"


async def test_a_token_goes_over_https_to_a_server_that_asks_for_our_certificate_too(
    mirrors: Mirrors, upstream: Upstream, web: Callable[..., WebServer]
) -> None:
    sha = upstream.commit({"a.yaml": "a: 1\n"})
    authority = trustme.CA()
    ours = authority.issue_cert("rollout@example.com")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    url = f"{web(password='pw', tls=tls).origin}/upstream.git"
    data = {"token": b"pw", "ca.crt": authority.cert_pem.bytes()}
    with pytest.raises((Stalled, Retry)):  # by an alert, or by a connection that is cut
        await mirrors.of(url, "shop/git", Credential.from_secret(data)).poll()
    chain = b"".join(each.bytes() for each in ours.cert_chain_pems)
    data |= {"tls.crt": chain, "tls.key": ours.private_key_pem.bytes()}
    assert (await mirrors.of(url, "shop/git", Credential.from_secret(data)).poll()).sha == sha


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs ssh to say what it understands")
def test_ssh_understands_where_its_files_are_whatever_the_directory_is_called(tmp_path: Path) -> None:
    credential = Credential.from_secret({"identity": KEY, "known_hosts": b"h ssh-ed25519 x"})
    remote = parse_url("ssh://git@git.example.com/web.git")
    parent = tmp_path / "100% of mirrors"
    parent.mkdir()
    with private_environment(parent, remote, credential) as environment:
        words = shlex.split(environment["GIT_SSH_COMMAND"])
        said = subprocess.run(
            [*words, "-G", "git.example.com"], capture_output=True, text=True, check=True
        ).stdout
        options = dict(line.split(" ", 1) for line in said.splitlines())
        # What ssh will expand once more when it connects.
        files = [options[name].replace("%%", "%") for name in ("identityfile", "userknownhostsfile")]
        assert files == [f"{environment['HOME']}/{name}" for name in ("identity", "known_hosts")]
        assert [oct(Path(file).stat().st_mode & 0o777) for file in files] == ["0o600", "0o600"]
        assert (options["stricthostkeychecking"], options["batchmode"]) == ("true", "yes")
    assert list(parent.iterdir()) == []


async def test_a_key_for_https_and_a_token_for_ssh_are_refused_before_anything_is_sent(
    mirrors: Mirrors,
) -> None:
    key = Credential.from_secret({"identity": KEY, "known_hosts": b"h ssh-ed25519 x"})
    with pytest.raises(Stalled, match="no use for a https"):
        await mirrors.of("https://git.example.com/web.git", "shop/a", key).poll()
    with pytest.raises(Stalled, match="needs a Secret with `identity`"):
        await mirrors.of("ssh://git@git.example.com/web.git", "shop/b").poll()
