"""The author's side of Git: a bare repository and a clone to commit in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from manifests import API, NAME, Manifest

from rollout.demo.repository import NOTES, GitFailedError, git


@dataclass(frozen=True, slots=True)
class Repository:
    """`bare` is what the operator reads."""

    bare: Path
    clone: Path

    @property
    def url(self) -> str:
        return self.bare.as_uri()

    @classmethod
    async def with_files(cls, folder: Path, files: Mapping[str, str]) -> "Repository":
        """A new one with a first commit."""
        made = cls(folder / "shop.git", folder / "shop")
        made.bare.mkdir()
        made.clone.mkdir()
        await git(made.bare, "init", "--quiet", "--bare", "--initial-branch=main")
        await git(made.clone, "init", "--quiet", "--initial-branch=main")
        await git(made.clone, "remote", "add", "origin", made.url)
        await made.commit("the first", files)
        return made

    async def commit(self, subject: str, files: Mapping[str, str | None]) -> str:
        """Write files (None deletes), commit and push; the commit."""
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        await git(self.clone, "add", "--all")
        await git(self.clone, "commit", "--quiet", "--message", subject)
        return await self._push()

    async def revert(self, commit: str) -> str:
        """`git revert`, and push; the new commit."""
        await git(self.clone, "revert", "--no-edit", commit)
        return await self._push()

    async def pull(self) -> None:
        """Take over what others pushed."""
        await git(self.clone, "pull", "--quiet", "--rebase", "origin", "main")

    async def merge(self, branch: str) -> str:
        """Merge a branch of the remote, as a person does by a button; the new commit."""
        await git(self.clone, "fetch", "--quiet", "origin", branch)
        await git(self.clone, "merge", "--quiet", "--no-ff", "--message", f"merge {branch}", "FETCH_HEAD")
        return await self._push()

    async def _push(self) -> str:
        await git(self.clone, "push", "--quiet", "origin", "main")
        return (await git(self.clone, "rev-parse", "HEAD")).strip()

    async def log(self, form: str) -> str:
        """The branch's last commit in a format of `git log`."""
        return (await git(self.bare, "log", "-1", f"--format={form}", "main")).strip()

    async def note(self, commit: str) -> str:
        """The note on a commit; empty where there is none."""
        try:
            return await git(self.bare, "notes", f"--ref={NOTES}", "show", commit)
        except GitFailedError:
            return ""


def text(*objects: Manifest) -> str:
    """Manifests as a file, each content written out: anchors are refused."""
    return yaml.safe_dump_all(json.loads(json.dumps(objects)), sort_keys=False)


def git_source(url: str, interval: str = "1s", **spec: Any) -> Manifest:
    return {
        "apiVersion": API,
        "kind": "GitSource",
        "metadata": {"name": NAME},
        "spec": {"url": url, "interval": interval, "path": "deploy", **spec},
    }
