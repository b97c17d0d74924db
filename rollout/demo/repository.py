"""The audience's side of Git: a bare repository and a clone to commit in. Plain git, as a person types it."""

import asyncio
import shutil
from pathlib import Path

NOTES = "refs/notes/rollout"
AUTHOR = ("-c", "user.name=Demo", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false")


class GitFailedError(Exception):
    """A git command of the demo ended with an error; the message holds what it said."""


async def git(folder: Path, *words: str) -> str:
    """Run git in `folder`; its output. Raises GitFailedError."""
    child = await asyncio.create_subprocess_exec(
        "git",
        "-C",
        str(folder),
        *AUTHOR,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await child.communicate()
    if child.returncode:
        raise GitFailedError(f"git {' '.join(words)}: {output.decode(errors='replace').strip()}")
    return output.decode(errors="replace")


class Repository:
    """A bare repository `url` and a clone of it."""

    def __init__(self, home: Path) -> None:
        self.bare = home / "shop.git"
        self.clone = home / "shop"

    @property
    def url(self) -> str:
        """Where the operator finds it."""
        return self.bare.as_uri()

    async def serve(self) -> None:
        """Make the bare one, empty, where it is not there yet."""
        self.bare.mkdir(parents=True, exist_ok=True)
        await git(self.bare, "init", "--quiet", "--bare", "--initial-branch=main")

    async def create(self, content: Path) -> None:
        """Make both, and put `content` into the clone, not committed yet."""
        await self.serve()
        self.clone.mkdir()
        await git(self.clone, "init", "--quiet", "--initial-branch=main")
        await git(self.clone, "remote", "add", "origin", self.url)
        shutil.copytree(content, self.clone / content.name)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must be there. Raises ValueError where it is not."""
        path = self.clone / file
        text = path.read_text()
        if old not in text:
            raise ValueError(f"{file} does not hold {old!r}")
        path.write_text(text.replace(old, new))

    async def restore(self, commit: str, file: str) -> None:
        """Check out one file as it stood at `commit`."""
        await git(self.clone, "checkout", "--quiet", commit, "--", file)

    async def push(self, subject: str) -> str:
        """Commit everything and push; the commit."""
        await git(self.clone, "add", "--all")
        await git(self.clone, "commit", "--quiet", "--message", subject)
        await git(self.clone, "push", "--quiet", "origin", "main")
        return (await git(self.clone, "rev-parse", "HEAD")).strip()

    async def take_over(self) -> str:
        """Take over what the operator pushed, and show who, what and why."""
        await git(self.clone, "pull", "--quiet", "--rebase", "origin", "main")
        return (await git(self.clone, "log", "-1")).strip()

    async def note(self, commit: str) -> str:
        """The operator's note on a commit, as git shows it; empty where there is none."""
        try:
            return (await git(self.bare, "notes", f"--ref={NOTES}", "show", commit)).strip()
        except GitFailedError:
            return ""
