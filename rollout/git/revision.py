"""What is read from a repository, as values."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit as the tip of a branch or tag, or on it."""

    branch: str
    """What the source follows, as people call it; empty for a bare commit."""
    sha: str
    """40 hex digits, or 64 in a SHA-256 repository."""
    subject: str
    author: str
    committed_at: datetime

    def __str__(self) -> str:
        """Render as Flux does: `main@sha1:<40 hex digits>`; without a branch `sha1:<40 hex digits>`."""
        digest = f"{'sha1' if len(self.sha) == 40 else 'sha256'}:{self.sha}"
        return f"{self.branch}@{digest}" if self.branch else digest

    @classmethod
    def told(cls, text: str) -> Self:
        """What `str` made of one; subject, author and time are not in it."""
        branch, _, digest = text.rpartition("@")
        return cls(branch, digest.partition(":")[2], "", "", datetime.fromtimestamp(0, UTC))

    @property
    def short(self) -> str:
        """For columns: `main@1a2b3c4`."""
        return f"{self.branch}@{self.sha[:7]}" if self.branch else self.sha[:7]


@dataclass(frozen=True, slots=True)
class Blob:
    """A file's content at a revision; `oid` names the content, so equal oids need not be parsed twice."""

    path: str
    oid: str
    data: bytes
