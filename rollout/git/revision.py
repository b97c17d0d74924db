"""What is read from a repository, as values."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit as the tip of a branch, or on it."""

    branch: str
    sha: str
    """40 hex digits, or 64 in a SHA-256 repository."""
    subject: str
    author: str
    committed_at: datetime

    def __str__(self) -> str:
        """Render as Flux does: `main@sha1:<40 hex digits>`."""
        return f"{self.branch}@{'sha1' if len(self.sha) == 40 else 'sha256'}:{self.sha}"

    @property
    def short(self) -> str:
        """For columns: `main@1a2b3c4`."""
        return f"{self.branch}@{self.sha[:7]}"


@dataclass(frozen=True, slots=True)
class Blob:
    """A file's content at a revision; `oid` names the content, so equal oids need not be parsed twice."""

    path: str
    oid: str
    data: bytes
