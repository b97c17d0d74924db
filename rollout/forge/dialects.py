"""Which host speaks how, and where it is: one class a host, by its published API."""

from urllib.parse import urlsplit

from rollout.api.errors import Stalled
from rollout.api.writeback import ForgeKind
from rollout.forge.asking import Dialect
from rollout.forge.bitbucket import Bitbucket
from rollout.forge.gitlab import GitLab
from rollout.forge.hubs import Gitea, GitHub


def dialect(kind: ForgeKind, repository: str) -> Dialect:
    """The way of one host about one repository: `owner/name`, for GitLab `group/.../name`."""
    match kind:
        case ForgeKind.GITHUB:
            return GitHub(repository)
        case ForgeKind.GITLAB:
            return GitLab(repository)
        case ForgeKind.GITEA | ForgeKind.FORGEJO:
            return Gitea(repository)
        case ForgeKind.BITBUCKET:
            return Bitbucket(repository)


def default_address(kind: ForgeKind, url: str) -> str:
    """Where the API of the host of a repository's URL is."""
    host = urlsplit(url).hostname or ""
    match kind:
        case ForgeKind.GITHUB:
            return "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"
        case ForgeKind.GITLAB:
            return f"https://{host}/api/v4"
        case ForgeKind.GITEA | ForgeKind.FORGEJO:
            return f"https://{host}/api/v1"
        case ForgeKind.BITBUCKET:
            return "https://api.bitbucket.org/2.0"


def repository_of(kind: ForgeKind, url: str) -> str:
    """The name of a repository on its host, from its URL. Raises `Stalled(InvalidSpec)`."""
    parts = [part for part in urlsplit(url).path.removesuffix(".git").split("/") if part]
    if len(parts) < 2:
        raise Stalled(
            "InvalidSpec", "spec.writeBack.provider.repository: spec.url names no OWNER/NAME; set it"
        )
    return "/".join(parts if kind is ForgeKind.GITLAB else parts[-2:])
