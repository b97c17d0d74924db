"""A bare repository on disk and the only way git is started in it: the one module that imports GitPython.

git gets nothing of our environment, no hooks, no helpers, no prompt, a size limit, and a process group of its
own that is killed as a whole when time is up.
"""

import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import BinaryIO, cast

# Importing must not need the git binary; starting it does.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from git import Git
from git.exc import GitCommandNotFound

from rollout.api.errors import Retry, Stalled
from rollout.git.conversation import Conversation
from rollout.git.credential import Credential
from rollout.git.environment import PREFIX, Extra, GitPolicy, command_line, private_environment
from rollout.git.remote import Remote, explain

OLDEST_GIT = (2, 32)
"""The first that reads GIT_CONFIG_GLOBAL, without which no credential arrives."""


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

    def run(
        self, *words: str, stdin: bytes = b"", max_output: int | None = None, extra: Extra | None = None
    ) -> bytes:
        """Run a git command that asks no server; its output. Raises `CommandFailed`, `Retry` if too slow."""
        self._prepare()
        with private_environment(self.directory, extra=extra) as environment:
            return self._execute(environment, words, stdin, max_output)

    def ask(
        self, remote: Remote, credential: Credential, *words: str, patience: timedelta | None = None
    ) -> bytes:
        """Run a git command that talks to the remote, within `patience` or the policy's timeout; its output.

        Raises `Retry` or `Stalled`, and `CommandFailed` for a push of which a ref was refused.
        """
        _check_way(remote, credential)
        self._prepare()
        with private_environment(self.directory, remote, credential) as environment:
            try:
                return self._execute(environment, words, patience=patience)
            except CommandFailed as failure:
                self._sweep()
                if failure.output:  # a push says on its output which ref was refused
                    raise
                raise explain(failure.complaint) from failure

    @contextmanager
    def talk(self, *words: str) -> Iterator[Conversation]:
        """A git command that asks no server, to be asked line by line; it ends with the context."""
        self._prepare()
        with private_environment(self.directory) as environment:
            child = self._start(command_line(environment, self.policy, words), subprocess.PIPE)
            try:
                yield Conversation(child, self.policy.timeout.total_seconds())
            finally:
                with self._guard:
                    self._child = None
                _close(child)

    def discard(self) -> None:
        """Throw the repository away; the next command begins with an empty one."""
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
        """Create the repository if need be, and remove what a killed operator left (we are alone here)."""
        if self._ready:
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for leftover in self.directory.glob(f"{PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        self._sweep()
        with private_environment(self.directory) as environment:
            self._execute(environment, ("init", "--quiet", "--bare", "--template=", "--", str(self._bare)))
        self._ready = True

    def _sweep(self) -> None:
        """Remove locks and half-written packs of a killed git; they would block or fill the repository."""
        for leftover in (*self._bare.rglob("*.lock"), *self._bare.glob("objects/**/tmp_*")):
            with suppress(OSError):
                leftover.unlink()

    def _execute(
        self,
        environment: Mapping[str, str],
        words: tuple[str, ...],
        stdin: bytes = b"",
        max_output: int | None = None,
        patience: timedelta | None = None,
    ) -> bytes:
        seconds = (patience or self.policy.timeout).total_seconds()
        with tempfile.TemporaryFile(dir=self.directory) as source:
            source.write(stdin)
            source.seek(0)
            child = self._start(command_line(environment, self.policy, words), cast("BinaryIO", source))
        try:
            output, complaint = self._drain(child, max_output or self.policy.output_bytes, seconds)
        finally:
            with self._guard:
                self._child = None
            _close(child)
        if child.returncode == 0:
            return output
        if self._stop.is_set():
            raise Retry("git was stopped")
        if child.returncode == -signal.SIGKILL:
            self._sweep()
            raise Retry("git was killed, for lack of memory perhaps: what it was asked is not answered")
        # The private directory has a new name each time; a message that changes would be written each time.
        said = complaint.decode(errors="replace").replace(f"{environment['HOME']}/", "")
        raise CommandFailed(child.returncode, output, said)

    def _start(self, command: list[str], source: BinaryIO | int) -> "Popen[bytes]":
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
            # GitPython's wrapper would end its process when collected; `_close` ends the whole group.
            child: Popen[bytes] = started.proc
            started.proc = None
            self._child = child
            return child

    def _drain(self, child: "Popen[bytes]", max_output: int, seconds: float) -> tuple[bytes, bytes]:
        """Read both streams until they end; kills the group when time is up or there is too much."""
        assert child.stdout is not None
        assert child.stderr is not None
        output, complaint = bytearray(), bytearray()
        until = time.monotonic() + seconds
        with selectors.DefaultSelector() as streams:
            streams.register(child.stdout, selectors.EVENT_READ, output)
            streams.register(child.stderr, selectors.EVENT_READ, complaint)
            while streams.get_map():
                left = until - time.monotonic()
                if left <= 0:
                    self._end(child)
                    raise Retry(f"git did not answer within {seconds:g} s")
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


def check_git() -> str:
    """The version of git, for the log at start; raises `Stalled(GitMissing)` if it is missing or too old."""
    with tempfile.TemporaryDirectory() as directory:
        said = Repository(Path(directory) / "probe", GitPolicy()).run("version").decode().strip()
    version = re.search(r"(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_GIT:
        raise Stalled("GitMissing", f"{said} is too old: install git 2.32 or later")
    return said


def _check_way(remote: Remote, credential: Credential) -> None:
    if remote.scheme == "ssh" and not credential.identity:
        raise Stalled("InvalidCredential", "an ssh:// URL needs a Secret with `identity` and `known_hosts`")
    if credential.identity and remote.scheme != "ssh":
        raise Stalled("InvalidCredential", f"an SSH key is of no use for a {remote.scheme}:// URL")


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
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
