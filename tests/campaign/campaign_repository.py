"""A real repository in a time that is not its own: git runs at once, whatever the virtual clock says."""

import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rollout.api.errors import Retry
from rollout.git.credential import Credential
from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirror, Mirrors

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
        """The last commit."""
        return _git(self.clone, "rev-parse", "HEAD").strip()

    def commit(self, files: Mapping[str, str]) -> None:
        """Write files, commit and push; while the server is gone, nobody can."""
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
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


class InlineMirrors(Mirrors):
    """An operator's mirrors of that repository."""

    def __init__(self, directory: Path, repository: Repository) -> None:
        super().__init__(directory, LOCAL)
        self._pool.shutdown()
        self._pool = _Inline(1)
        self._repository = repository

    def of(self, url: str, owner: str, credential: Credential | None = None) -> Mirror:
        """As `Mirrors`; a server that hangs is given up as git's own time limit gives it up."""
        if self._repository.hangs:
            raise Retry(f"{url}: no answer in time")
        return super().of(url, owner, credential)
