"""Addresses and names before git sees them, and what git's complaints mean."""

import pytest

from rollout.api.errors import Retry, Stalled
from rollout.git.remote import check_branch, explain, parse_url


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://git.example.com/team/env.git", "https://git.example.com/"),
        ("https://git.example.com:8443/env", "https://git.example.com:8443/"),
        ("ssh://git@git.example.com:2222/team/env.git", ""),
        ("ssh://git.example.com/~ann/env.git", ""),
        ("https://[2001:db8::1]/env.git", "https://[2001:db8::1]/"),
    ],
)
def test_a_plain_address_is_taken(url: str, origin: str) -> None:
    assert parse_url(url).origin == origin


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        pytest.param("git@github.com:team/env.git", "write ssh://git@host/path", id="the short form of ssh"),
        pytest.param("file:///etc", "must begin with one of https://, ssh://", id="a path on our disk"),
        pytest.param("/etc", "must begin with", id="a bare path"),
        pytest.param("git://git.example.com/x", "must begin with", id="the protocol without encryption"),
        pytest.param("http://git.example.com/x", "must begin with", id="http"),
        pytest.param("ext::sh -c evil", "spaces", id="a command"),
        pytest.param("https:git.example.com/x", "must begin with", id="a scheme without slashes"),
        pytest.param("--upload-pack=evil", "must begin with", id="an option"),
        pytest.param("ssh://-oProxyCommand=evil/x", "host name", id="an option as a host"),
        pytest.param("ssh://-oProxyCommand=evil@host/x", "user name holds", id="an option as a user"),
        pytest.param("https://ann:pw@git.example.com/x", "spec.secretRef", id="a password"),
        pytest.param("https://token@git.example.com/x", "spec.secretRef", id="a token as the user"),
        pytest.param("ssh://git:pw@git.example.com/x", "spec.secretRef", id="a password over ssh"),
        pytest.param("https://git.example.com/x?ref=main", "query", id="a query"),
        pytest.param("https://git.example.com/", "names no repository", id="no repository"),
        pytest.param("https:///x", "host name", id="no host"),
        pytest.param("https://git.example.com:port/x", "can't be read", id="no port number"),
        pytest.param("https://git.example.com/x\n[core]", "spaces", id="a line break"),
        pytest.param("https://git.exämple.com/x", "ASCII", id="a host outside ASCII"),
        pytest.param("https://127.0.0.1/x", "this machine", id="loopback"),
        pytest.param("https://localhost/x", "this machine", id="loopback by name"),
        pytest.param("https://[::1]/x", "this machine", id="loopback in IPv6"),
        pytest.param("https://[::ffff:127.0.0.1]/x", "this machine", id="loopback in disguise"),
        pytest.param("https://2130706433/x", "this machine", id="loopback as a number"),
        pytest.param("https://127.1/x", "this machine", id="loopback in short"),
        pytest.param("https://0x7f.1/x", "this machine", id="loopback in base 16"),
        pytest.param("https://169.254.169.254/latest", "link-local", id="the cloud's metadata service"),
    ],
)
def test_an_address_that_could_harm_is_refused_without_repeating_it(url: str, complaint: str) -> None:
    with pytest.raises(Stalled, match=complaint) as refusal:
        parse_url(url)
    assert refusal.value.reason == "InvalidURL"
    assert "pw" not in str(refusal.value)
    assert "token@" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["file:///srv/env.git", "git://127.0.0.1:9418/env.git", "http://localhost:3000/env"]
)
def test_a_sandbox_may_allow_more(url: str) -> None:
    assert parse_url(url, frozenset({"file", "git", "http"}), local_hosts=True).url == url


@pytest.mark.parametrize("branch", ["main", "team/production", "release-1.2", "v1.x", "a_b"])
def test_a_branch_name_is_taken(branch: str) -> None:
    assert check_branch(branch) == branch


@pytest.mark.parametrize(
    "branch",
    [
        *(
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a@{1}",
            "a.lock",
            "a.lock/b",
            "a/.b",
            "/a",
            "a/",
            "a//b",
            "a b",
        ),
        *("a\nb", "a:b", "a*", "a~1", "a^", "refs/heads/main", "a.", "ä", "+main", "x" * 300),
    ],
)
def test_what_is_no_branch_name_is_refused(branch: str) -> None:
    with pytest.raises(Stalled) as refusal:
        check_branch(branch)
    assert refusal.value.reason == "InvalidBranch"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("fatal: Authentication failed for 'https://git.example.com/x/'", "AuthenticationFailed"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "AuthenticationFailed"),
        ("git@github.com: Permission denied (publickey).", "AuthenticationFailed"),
        (
            "fatal: unable to access 'https://x/': The requested URL returned error: 403",
            "AuthenticationFailed",
        ),
        ("Host key verification failed.", "HostKeyRefused"),
        ("ERROR: Repository not found.", "RepositoryNotFound"),
        ("fatal: repository 'https://x/y/' not found", "RepositoryNotFound"),
        ("fatal: '/x' does not appear to be a git repository", "RepositoryNotFound"),
        ("server certificate verification failed. CAfile: none CRLfile: none", "CertificateRefused"),
        ("fatal: transport 'file' not allowed", "InvalidURL"),
    ],
)
def test_what_somebody_must_mend_stalls(said: str, reason: str) -> None:
    mended = explain(said)
    assert isinstance(mended, Stalled)
    assert mended.reason == reason


@pytest.mark.parametrize(
    "said",
    [
        "fatal: unable to access 'https://x/': Could not resolve host: x",
        "ssh: connect to host x port 22: Connection timed out",
        "fatal: the remote end hung up unexpectedly",
        "fatal: unable to access 'https://x/': The requested URL returned error: 503",
        "fatal: early EOF",
        "",
    ],
)
def test_what_passes_by_itself_is_tried_again(said: str) -> None:
    assert isinstance(explain(said), Retry)


def test_the_same_complaint_reads_the_same_at_each_poll() -> None:
    said = "Failed to connect to x port 443 after {} ms: Couldn't connect to server"
    assert str(explain(said.format(3))) == str(explain(said.format(71)))


def test_a_complaint_is_repeated_in_one_short_line() -> None:
    said = str(explain("first\n\x1b[31msecond\t" + "x" * 5000))
    assert "first [31msecond" in said
    assert len(said) < 500
