"""A real repository in a time that is not its own: git runs at once, whatever the virtual clock says."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from rollout.api.errors import Retry
from rollout.git.credential import Credential
from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirror, Mirrors
from rollout.git.repository import Repository as Bare

LOCAL = GitPolicy(protocols=frozenset({"file"}), local_hosts=True)
AUTHOR = ("-c", "user.name=Shop", "-c", "user.email=shop@example.org", "-c", "commit.gpgsign=false")


class Repository:
    """The author's side: a bare repository, which the operator reads, and a clone to commit in."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bare = home / "shop.git"
        self.clone = home / "shop"
        self.hangs = False
        """Whether its server takes connections and says nothing."""
        for folder, words in ((self.bare, ("--bare",)), (self.clone, ())):
            folder.mkdir(parents=True)
            _git(folder, "init", "--quiet", "--initial-branch=main", *words)
        _git(self.clone, "remote", "add", "origin", self.url)

    @property
    def url(self) -> str:
        """Where the operator finds it."""
        return self.bare.as_uri()

    @property
    def tip(self) -> str:
        """The author's last commit."""
        return _git(self.clone, "rev-parse", "HEAD").strip()

    @property
    def head(self) -> str:
        """The last commit of the server, whoever pushed it; '' while that is gone."""
        ref = self.bare / "refs/heads/main"
        return ref.read_text().strip() if ref.exists() else ""

    def ask(self, *words: str) -> str:
        """What git says of the bare repository."""
        return _git(self.bare, *words)

    def commit(self, files: Mapping[str, str | None]) -> None:
        """Write files (None deletes), commit and push; while the server is gone, nobody can."""
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        _git(self.clone, "add", "--all")
        _git(self.clone, "commit", "--quiet", "--message", "a change")
        self.push()

    def rewrite(self) -> None:
        """The last commit anew, by another id."""
        _git(self.clone, "commit", "--quiet", "--amend", "--message", "the same again")
        self.push()

    def push(self) -> None:
        """Push, where there is something to push to."""
        if self.bare.exists():
            _git(self.clone, "push", "--quiet", "--force", "origin", "main")

    def hide(self) -> None:
        """The server is gone."""
        if self.bare.exists():
            self.bare.rename(self.home / "gone.git")

    def show(self) -> None:
        """It is back, and who could not push does so now."""
        if not self.bare.exists():
            (self.home / "gone.git").rename(self.bare)
            self.push()


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *AUTHOR, *words], capture_output=True, text=True, check=True
    )
    return done.stdout


class _Inline(ThreadPoolExecutor):
    """Does what is submitted at once, in the caller's thread: no virtual time passes."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Done already."""
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 -- whoever waits for it gets it
            done.set_exception(error)
        return done


Started = Callable[[str, "subprocess.Popen[bytes]"], None]


class _Mortal(Bare):
    """As the operator's; `started` hears of each git that it starts."""

    def __init__(self, other: Bare, started: Started) -> None:
        super().__init__(other.directory, other.policy)
        self._started = started

    def _start(self, command: list[str], source: BinaryIO | int) -> "subprocess.Popen[bytes]":
        child = super()._start(command, source)
        self._started(f"git {command[command.index('git') + 1]}", child)
        return child


class InlineMirrors(Mirrors):
    """An operator's mirrors of that repository."""

    def __init__(
        self, directory: Path, repository: Repository, started: Started = lambda _word, _child: None
    ) -> None:
        super().__init__(directory, LOCAL)
        self._pool.shutdown()
        self._pool = _Inline(1)
        self._repository = repository
        self._started = started

    def of(self, url: str, owner: str, credential: Credential | None = None) -> Mirror:
        """As `Mirrors`; a server that hangs is given up as git's own time limit gives it up."""
        if self._repository.hangs:
            raise Retry(f"{url}: no answer in time")
        mirror = super().of(url, owner, credential)
        if not isinstance(mirror._clone.repository, _Mortal):
            mirror._clone.repository = _Mortal(mirror._clone.repository, self._started)
        return mirror


GRACE_S = 2.0
_WAITS = b"--batch\0"
"""A git that ends when nobody asks it any more."""
READS = {f"git {each}" for each in ("cat-file", "log", "ls-remote", "ls-tree", "merge-base", "rev-parse")}
_LOCKS = (
    *("HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock", "refs/notes/rollout.lock"),
    *("refs/remotes/origin/main.lock", "refs/rollout/ours/main.lock", "objects/pack/tmp_pack_d3ad"),
)
"""What a git that is killed may leave behind."""


def left_alone(home: Path) -> None:
    """Whoever started the gits of a directory is gone: they end by themselves."""
    until = time.monotonic() + GRACE_S
    while working := gits(home):
        for pid, command in working.items():
            if command.endswith(_WAITS) or time.monotonic() > until:
                _kill(pid)
        time.sleep(0.002)


def killed(home: Path, server: Path, mirrors: Path, *, locks: bool = True) -> None:
    """All gits of a directory are killed at once, and leave `locks`; the server, which was none of them in
    truth, recovers.
    """
    while working := gits(home):
        for pid in working:
            _kill(pid)
        time.sleep(0.002)
    for lock in server.rglob("*.lock"):
        lock.unlink()
    for mirror in mirrors.glob("*/repository.git") if locks else ():
        for name in _LOCKS:
            path = mirror / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")


def gits(home: Path) -> dict[int, bytes]:
    """Living processes that were told of a directory, by their command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            if str(home).encode() in command + environment:
                zombie = b"\nState:\tZ" in (entry / "status").read_bytes()
                found |= {} if zombie else {int(entry.name): command}
    found.pop(os.getpid(), None)
    return found


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
