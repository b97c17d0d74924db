"""A bare repository on disk and the only way git is started in it: the one module that imports GitPython.

git gets nothing of our environment, no hooks, no helpers, no prompt, a size limit, and a process group of its
own that is killed as a whole when time is up. Credentials live in files that exist only while the server is
being asked: never in arguments, environment, URL or the mirror's configuration.
"""

import os
import selectors
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from subprocess import Popen, TimeoutExpired

os.environ.setdefault(
    "GIT_PYTHON_REFRESH", "quiet"
)  # importing must not need the git binary; starting it does

from git import Git
from git.exc import GitCommandNotFound

from rollout.api.errors import Retry, Stalled
from rollout.git.credential import Credential
from rollout.git.remote import DEFAULT_PROTOCOLS, Remote, explain


@dataclass(frozen=True, slots=True)
class GitPolicy:
    """What an operator lets Git do; the defaults are for production."""

    protocols: frozenset[str] = DEFAULT_PROTOCOLS
    """`file`, `git` and `http` only where a sandbox or a test asks for them."""
    local_hosts: bool = False
    timeout: timedelta = timedelta(seconds=60)
    fetch_bytes: int = 512 << 20
    """The largest file, that is the largest pack, that git may write."""
    output_bytes: int = 48 << 20
    """The most that one command may print."""


class CommandFailed(Exception):  # noqa: N818 -- named by what happened
    """Git ended with a code other than 0."""

    def __init__(self, code: int, output: bytes, complaint: str) -> None:
        super().__init__(f"git ended with {code}: {complaint.strip()[:400]}")
        self.code = code
        self.output = output
        self.complaint = complaint


class Repository:
    """One bare repository: one thread at a time (its user holds a lock), but `kill` may come from any."""

    def __init__(self, directory: Path, policy: GitPolicy) -> None:
        self.directory = directory
        self.policy = policy
        self._bare = directory / "repository.git"
        self._guard = threading.Lock()
        self._child: Popen[bytes] | None = None
        self._stop = threading.Event()
        self._ready = False

    def run(self, *words: str, stdin: bytes = b"", max_output: int | None = None) -> bytes:
        """Run a git command that asks no server; its output. Raises `CommandFailed`, `Retry` if too slow."""
        self._prepare()
        with _private_directory(self.directory) as private:
            return self._execute(private, words, {}, stdin, max_output)

    def ask(self, remote: Remote, credential: Credential, *words: str) -> bytes:
        """Run a git command that talks to the remote, with the credential; raises `Retry` or `Stalled`."""
        if remote.scheme == "ssh" and not credential.identity:
            raise Stalled(
                "InvalidCredential", "an ssh:// URL needs a Secret with `identity` and `known_hosts`"
            )
        if credential.identity and remote.scheme != "ssh":
            raise Stalled("InvalidCredential", f"an SSH key is of no use for a {remote.scheme}:// URL")
        self._prepare()
        with _private_directory(self.directory) as private:
            extra = _write_credential(private, remote, credential)
            try:
                return self._execute(private, words, extra, b"", None)
            except CommandFailed as failure:
                self._sweep()
                if failure.output:  # a push says on its output which ref was refused
                    raise
                raise explain(failure.complaint) from failure

    def discard(self) -> None:
        """Throw the mirror away; the next command begins with an empty one."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self._ready = False

    def kill(self) -> None:
        """End the running command, and refuse further ones until `resume`."""
        self._stop.set()
        with self._guard:
            if self._child is not None:
                _kill_group(self._child)

    def resume(self) -> None:
        """Let commands start again after `kill`."""
        self._stop.clear()

    def wait(self, seconds: float) -> None:
        """Wait between two tries, shorter if killed."""
        self._stop.wait(seconds)

    def _prepare(self) -> None:
        """Create the mirror if need be, and remove what a killed operator left (we are alone here)."""
        if self._ready:
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for leftover in self.directory.glob("private-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        self._sweep()
        self._ready = True
        try:
            self.run("init", "--quiet", "--bare", "--", str(self._bare))
        except BaseException:
            self._ready = False
            raise

    def _sweep(self) -> None:
        """Remove locks and half-written packs of a killed git; they would block or fill the mirror."""
        for leftover in (*self._bare.rglob("*.lock"), *self._bare.glob("objects/**/tmp_*")):
            with suppress(OSError):
                leftover.unlink()

    def _execute(
        self,
        private: Path,
        words: tuple[str, ...],
        extra: dict[str, str],
        stdin: bytes,
        max_output: int | None,
    ) -> bytes:
        command = [*_clean_environment(private, self.policy, extra), *_size_limit(self.policy), "git", *words]
        with tempfile.TemporaryFile(dir=private) as source:
            source.write(stdin)
            source.seek(0)
            child = self._start(command, source)
        try:
            output, complaint = self._drain(child, max_output or self.policy.output_bytes)
        finally:
            with self._guard:
                self._child = None
            _close(child)
        if child.returncode != 0:
            if self._stop.is_set():
                raise Retry("git was stopped")
            raise CommandFailed(child.returncode, output, complaint.decode(errors="replace"))
        return output

    def _start(self, command: list[str], source: object) -> "Popen[bytes]":
        with self._guard:
            if self._stop.is_set():
                raise Retry("git was stopped")
            cwd = self._bare if self._bare.is_dir() else self.directory
            try:
                started = Git(str(cwd)).execute(
                    command, istream=source, as_process=True, start_new_session=True
                )
            except GitCommandNotFound as missing:
                raise Stalled("GitMissing", "git can't be started: install git 2.32 or later") from missing
            # GitPython's wrapper ends its process when collected; we end the whole group, in `_close`.
            child: Popen[bytes] = started.proc
            started.proc = None
            self._child = child
            return child

    def _drain(self, child: "Popen[bytes]", max_output: int) -> tuple[bytes, bytes]:
        """Read both streams until they end; kills the group when time is up or there is too much."""
        assert child.stdout is not None
        assert child.stderr is not None
        output, complaint = bytearray(), bytearray()
        until = time.monotonic() + self.policy.timeout.total_seconds()
        with selectors.DefaultSelector() as streams:
            streams.register(child.stdout, selectors.EVENT_READ, output)
            streams.register(child.stderr, selectors.EVENT_READ, complaint)
            while streams.get_map():
                left = until - time.monotonic()
                if left <= 0:
                    self._end(child)
                    raise Retry(f"git did not answer within {self.policy.timeout.total_seconds():g} s")
                for key, _ in streams.select(left):
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        streams.unregister(key.fileobj)
                    key.data.extend(chunk)
                if len(output) > max_output or len(complaint) > max_output:
                    self._end(child)
                    raise Stalled("RepositoryTooLarge", f"git printed more than {max_output} bytes")
        try:
            child.wait(max(0.1, until - time.monotonic()))
        except TimeoutExpired:
            self._end(child)
            raise Retry("git closed its output but did not end") from None
        return bytes(output), bytes(complaint)

    def _end(self, child: "Popen[bytes]") -> None:
        _kill_group(child)
        child.wait()
        self._sweep()


def _clean_environment(private: Path, policy: GitPolicy, extra: dict[str, str]) -> list[str]:
    """`env -i` and all that git may know; GitPython's own `env` can only add to ours."""
    (private / "gitconfig").touch(mode=0o600)
    if not (private / "gitconfig").stat().st_size:
        (private / "gitconfig").write_text(_CONFIG)
    git = shutil.which("git")
    path = dict.fromkeys([str(Path(git).parent) if git else "/usr/bin", "/usr/bin", "/bin"])
    environment = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(private / "gitconfig"),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_ALLOW_PROTOCOL": ":".join(sorted(policy.protocols)),
        "HOME": str(private),
        "LC_ALL": "C",
        "PATH": ":".join(path),
        **extra,
    }
    return ["env", "-i", *(f"{key}={value}" for key, value in environment.items())]


def _size_limit(policy: GitPolicy) -> list[str]:
    return ["prlimit", f"--fsize={policy.fetch_bytes}", "--"] if shutil.which("prlimit") else []


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
	lowSpeedLimit = 1000
	lowSpeedTime = 30
[user]
	name = rollout
	email = rollout@progressive.delivery
[advice]
	pushUpdateRejected = false
"""


def _write_credential(private: Path, remote: Remote, credential: Credential) -> dict[str, str]:
    """Write the credential to private files; the environment that names (and only names) them."""
    lines = [_CONFIG]
    if credential.authorization and remote.origin:
        value = credential.authorization.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'[http "{remote.origin}"]\n\textraHeader = "Authorization: {value}"\n')
        # After a redirect git asks the new address itself, header included: a redirect would hand it out.
        lines.append("[http]\n\tfollowRedirects = false\n")
    if credential.ca:
        _write_private(private / "ca.crt", credential.ca)
        lines.append(f'[http "{remote.origin}"]\n\tsslCAInfo = "{private / "ca.crt"}"\n')
    _write_private(private / "gitconfig", "".join(lines).encode())
    if not credential.identity:
        return {}
    _write_private(private / "identity", credential.identity.replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n")
    _write_private(private / "known_hosts", credential.known_hosts)
    words = [
        *("ssh", "-F", "/dev/null", "-i", str(private / "identity")),
        *("-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={private / 'known_hosts'}"),
        *("-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    ]
    return {"GIT_SSH_COMMAND": shlex.join(words)}


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


@contextmanager
def _private_directory(parent: Path) -> Iterator[Path]:
    """A directory only we can enter, gone when the command has ended."""
    directory = Path(tempfile.mkdtemp(prefix="private-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _kill_group(child: "Popen[bytes]") -> None:
    if child.returncode is not None:
        return  # reaped: its number may belong to somebody else by now
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _close(child: "Popen[bytes]") -> None:
    """Leave nothing behind, whichever way the command ended."""
    if child.poll() is None:
        _kill_group(child)
        child.wait()
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()
