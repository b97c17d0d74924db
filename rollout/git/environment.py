"""All that a git process gets to know: a clean environment, and files that exist as long as one command.

The credential is in those files alone, and only for a command that asks the server.
"""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

from rollout.git.credential import Credential
from rollout.git.remote import DEFAULT_PROTOCOLS, Remote

PREFIX = "private-"


@dataclass(frozen=True, slots=True)
class GitPolicy:
    """What an operator lets Git do; the defaults are for production."""

    protocols: frozenset[str] = DEFAULT_PROTOCOLS
    """`file`, `git` and `http` only where a sandbox or a test asks for them."""
    local_hosts: bool = False
    """Whether URLs may point at this machine or at link-local addresses."""
    timeout: timedelta = timedelta(seconds=60)
    """Of one git command; of one that asks the server where nobody says how long that may take."""
    fetch_bytes: int = 512 << 20
    """The largest file, that is the largest pack, that git may write."""
    output_bytes: int = 48 << 20
    """The most that one command may print."""


@dataclass(frozen=True, slots=True)
class Extra:
    """What one command needs besides: files that only it can read; configuration and variables, which name
    their directory as `{home}`.
    """

    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    config: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def private_environment(
    parent: Path,
    remote: Remote | None = None,
    credential: Credential | None = None,
    extra: Extra | None = None,
) -> Iterator[Mapping[str, str]]:
    """The environment of one command, in a directory only we can enter; both are gone when it has ended."""
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        config = [_CONFIG]
        ssh: dict[str, str] = {}
        if remote is not None and credential is not None:
            config += _http_config(directory, remote, credential)
            ssh = _ssh_command(directory, credential)
        extra = extra or Extra()
        for name, content in extra.files.items():
            _write_private(directory / name, content)
        config.append(extra.config.replace("{home}", str(directory)))
        _write_private(directory / "gitconfig", "".join(config).encode())
        yield {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(directory / "gitconfig"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "HOME": str(directory),
            "LC_ALL": "C",
            "PATH": ":".join(dict.fromkeys([_directory_of_git(), "/usr/bin", "/bin"])),
            **ssh,
            **{name: said.replace("{home}", str(directory)) for name, said in extra.variables.items()},
        }
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def command_line(environment: Mapping[str, str], policy: GitPolicy, words: tuple[str, ...]) -> list[str]:
    """Start git with this environment and no other, and a limit to what it may write.

    GitPython's own `env` can only add to ours.
    """
    protocols = f"GIT_ALLOW_PROTOCOL={':'.join(sorted(policy.protocols))}"
    variables = [f"{key}={value}" for key, value in environment.items()]
    limited = words[0] not in _WRITE_NOTHING and _program("prlimit")
    limit = ["prlimit", f"--fsize={policy.fetch_bytes}", "--"] if limited else []
    return ["env", "-i", protocols, *variables, *limit, "git", *words]


_WRITE_NOTHING = frozenset({"cat-file", "log", "ls-remote", "ls-tree", "merge-base", "rev-parse"})
"""They are asked at every poll, and need no limit to what they write."""


def _directory_of_git() -> str:
    git = _program("git")
    return str(Path(git).parent) if git else "/usr/bin"


def _program(name: str) -> str | None:
    return _found(name, os.environ.get("PATH"))


@cache
def _found(name: str, path: str | None) -> str | None:
    return shutil.which(name, path=path)


# receive.autogc and the like of the server are not ours to set: over file:// it reads this file, too.
_CONFIG = """\
[safe]
	directory = *
[core]
	hooksPath = /dev/null
	symlinks = false
[gc]
	auto = 0
[maintenance]
	auto = false
[fetch]
	fsckObjects = true
[submodule]
	recurse = false
[credential]
	helper =
[http]
	followRedirects = initial
[user]
	name = rollout
	email = rollout@progressive.delivery
"""


def _http_config(directory: Path, remote: Remote, credential: Credential) -> Iterator[str]:
    if credential.authorization and remote.origin:
        value = credential.authorization.replace("\\", "\\\\").replace('"', '\\"')
        yield f'[http "{remote.origin}"]\n\textraHeader = "Authorization: {value}"\n'
        # After a redirect git asks the new address itself, header included: a redirect would hand it out.
        yield "[http]\n\tfollowRedirects = false\n"
    if credential.ca and remote.origin:
        _write_private(directory / "ca.crt", credential.ca)
        yield f'[http "{remote.origin}"]\n\tsslCAInfo = "{directory / "ca.crt"}"\n'
    if credential.certificate and remote.origin:
        _write_private(directory / "tls.crt", credential.certificate)
        _write_private(directory / "tls.key", credential.key)
        files = f'sslCert = "{directory / "tls.crt"}"\n\tsslKey = "{directory / "tls.key"}"'
        yield f'[http "{remote.origin}"]\n\t{files}\n'


def _ssh_command(directory: Path, credential: Credential) -> dict[str, str]:
    if not credential.identity:
        return {}
    _write_private(directory / "identity", as_key(credential.identity))
    _write_private(directory / "known_hosts", credential.known_hosts)
    options = ["IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "BatchMode=yes", "ConnectTimeout=10"]
    options += [f"UserKnownHostsFile={_for_ssh(directory / 'known_hosts')}", "GlobalKnownHostsFile=/dev/null"]
    options += [f"IdentityFile={_for_ssh(directory / 'identity')}"]
    words = ["ssh", "-F", "/dev/null"]
    return {"GIT_SSH_COMMAND": shlex.join([*words, *(word for option in options for word in ("-o", option))])}


def as_key(identity: bytes) -> bytes:
    """A private key as ssh reads it: it refuses one whose last newline an editor or a Secret has lost."""
    return identity.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"


def _for_ssh(path: Path) -> str:
    """Quoted for a value in which ssh splits at spaces and expands percent signs."""
    return f'"{str(path).replace("%", "%%")}"'


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
