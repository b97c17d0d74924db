"""What each host wants to be asked, and what its answers mean; one class a host, by its published API.

GitHub REST 2022-11-28, GitLab v4, Gitea and Forgejo v1, Bitbucket Cloud 2.0.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from rollout.api.errors import Stalled
from rollout.api.gitsource import ForgeKind

DESCRIPTION_LIMIT = 140
"""Of GitHub, the shortest of all."""
_BITBUCKET_KEY_LIMIT = 40


class State(StrEnum):
    """Of a commit, as one check sees it."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    STOPPED = "stopped"
    """It was not tried to the end, and nobody judged it."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a commit is to be told of."""

    commit: str
    context: str
    """Which check says it: a newer one of the same context takes its place."""
    state: State
    description: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A branch that somebody should merge into another."""

    branch: str
    base: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One request below the address of an API; the path is quoted."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None


class Dialect(Protocol):
    """One host's way; `answer` is the JSON that the request before it brought."""

    def authorize(self, username: str, token: str) -> Mapping[str, str]:
        """The headers that say who we are."""
        ...

    def look(self, status: Status) -> Ask:
        """What the commit was told of so far."""
        ...

    def stands(self, answer: Any, status: Status) -> bool:
        """Whether it was told this last."""
        ...

    def report(self, status: Status) -> Ask:
        """Tell it."""
        ...

    def open_proposals(self, proposal: Proposal) -> Ask:
        """Those of this branch that wait to be merged."""
        ...

    def found(self, answer: Any, proposal: Proposal) -> str:
        """The page of the one that waits; '' if none does."""
        ...

    def propose(self, proposal: Proposal) -> Ask:
        """Open one."""
        ...

    def page(self, answer: Any) -> str:
        """The page of the one that was opened."""
        ...


@dataclass(frozen=True, slots=True)
class GitHub:
    """github.com and GitHub Enterprise Server."""

    repository: str

    def authorize(self, username: str, token: str) -> Mapping[str, str]:
        """A token, classic or fine-grained."""
        return {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def look(self, status: Status) -> Ask:
        """The newest 100, the newest first."""
        return Ask(
            "GET", f"/repos/{self.repository}/commits/{status.commit}/statuses", (("per_page", "100"),)
        )

    def stands(self, answer: Any, status: Status) -> bool:
        """By the newest of our context."""
        last = next((each for each in _dicts(answer) if each.get("context") == status.context), {})
        said = (last.get("state"), last.get("description"))
        return said == (_HUB_STATES[status.state], status.description)

    def report(self, status: Status) -> Ask:
        """Needs the right `statuses: write`."""
        return Ask("POST", f"/repos/{self.repository}/statuses/{status.commit}", body=_hub_status(status))

    def open_proposals(self, proposal: Proposal) -> Ask:
        """By head, which names the owner too."""
        head = f"{self.repository.partition('/')[0]}:{proposal.branch}"
        query = (("state", "open"), ("head", head), ("base", proposal.base))
        return Ask("GET", f"/repos/{self.repository}/pulls", query)

    def found(self, answer: Any, proposal: Proposal) -> str:
        """The host has chosen already."""
        return next((self.page(each) for each in _dicts(answer)), "")

    def propose(self, proposal: Proposal) -> Ask:
        """Needs the right `pull_requests: write`."""
        return Ask("POST", f"/repos/{self.repository}/pulls", body=_hub_proposal(proposal))

    def page(self, answer: Any) -> str:
        """For people."""
        return _text(answer, "html_url")


@dataclass(frozen=True, slots=True)
class Gitea:
    """Gitea and Forgejo: much like GitHub, with its own lists."""

    repository: str

    def authorize(self, username: str, token: str) -> Mapping[str, str]:
        """A token with the scope `write:repository`."""
        return {"Authorization": f"token {token}"}

    def look(self, status: Status) -> Ask:
        """The newest first."""
        query = (("sort", "highestindex"), ("limit", "50"))
        return Ask("GET", f"/repos/{self.repository}/statuses/{status.commit}", query)

    def stands(self, answer: Any, status: Status) -> bool:
        """By the newest of our context; what GitHub calls `state` is called `status` here."""
        ours = [each for each in _dicts(answer) if each.get("context") == status.context]
        last = max(ours, key=_number, default={})
        said = (last.get("status", last.get("state")), last.get("description"))
        return said == (_HUB_STATES[status.state], status.description)

    def report(self, status: Status) -> Ask:
        """As on GitHub."""
        return Ask("POST", f"/repos/{self.repository}/statuses/{status.commit}", body=_hub_status(status))

    def open_proposals(self, proposal: Proposal) -> Ask:
        """All that are open: there is no filter by branch."""
        query = (("state", "open"), ("sort", "recentupdate"), ("limit", "50"))
        return Ask("GET", f"/repos/{self.repository}/pulls", query)

    def found(self, answer: Any, proposal: Proposal) -> str:
        """The one from our branch to the base."""
        wanted = (proposal.branch, proposal.base)
        for each in _dicts(answer):
            if (_text(each.get("head"), "ref"), _text(each.get("base"), "ref")) == wanted:
                return self.page(each)
        return ""

    def propose(self, proposal: Proposal) -> Ask:
        """As on GitHub."""
        return Ask("POST", f"/repos/{self.repository}/pulls", body=_hub_proposal(proposal))

    def page(self, answer: Any) -> str:
        """For people."""
        return _text(answer, "html_url")


@dataclass(frozen=True, slots=True)
class GitLab:
    """gitlab.com and self-managed ones; a project may lie in groups of groups."""

    repository: str

    @property
    def _project(self) -> str:
        return f"/projects/{quote(self.repository, safe='')}"

    def authorize(self, username: str, token: str) -> Mapping[str, str]:
        """A personal, group or project token with the scope `api`."""
        return {"PRIVATE-TOKEN": token}

    def look(self, status: Status) -> Ask:
        """Those of our name."""
        path = f"{self._project}/repository/commits/{status.commit}/statuses"
        return Ask("GET", path, (("name", status.context), ("per_page", "100")))

    def stands(self, answer: Any, status: Status) -> bool:
        """By the newest. A running one can't be told to run again: what it says of its step stays."""
        ours = [each for each in _dicts(answer) if each.get("name") == status.context]
        last = max(ours, key=_number, default={})
        same = last.get("status") == _LAB_STATES[status.state]
        return same and (status.state is State.PENDING or last.get("description") == status.description)

    def report(self, status: Status) -> Ask:
        """Its check is called `name`."""
        body = {
            "state": _LAB_STATES[status.state],
            "name": status.context,
            "description": status.description,
        }
        return Ask("POST", f"{self._project}/statuses/{status.commit}", body=body)

    def open_proposals(self, proposal: Proposal) -> Ask:
        """By both branches."""
        query = (
            ("state", "opened"),
            ("source_branch", proposal.branch),
            ("target_branch", proposal.base),
        )
        return Ask("GET", f"{self._project}/merge_requests", query)

    def found(self, answer: Any, proposal: Proposal) -> str:
        """The host has chosen already."""
        return next((self.page(each) for each in _dicts(answer)), "")

    def propose(self, proposal: Proposal) -> Ask:
        """A merge request; its branch goes when it is merged."""
        body = {
            "source_branch": proposal.branch,
            "target_branch": proposal.base,
            "title": proposal.title,
            "description": proposal.body,
            "remove_source_branch": True,
        }
        return Ask("POST", f"{self._project}/merge_requests", body=body)

    def page(self, answer: Any) -> str:
        """For people."""
        return _text(answer, "web_url")


@dataclass(frozen=True, slots=True)
class Bitbucket:
    """Bitbucket Cloud."""

    repository: str

    def authorize(self, username: str, token: str) -> Mapping[str, str]:
        """A token of the repository; or, with a user name, one of that user's."""
        if not username:
            return {"Authorization": f"Bearer {token}"}
        return {"Authorization": "Basic " + base64.b64encode(f"{username}:{token}".encode()).decode()}

    def look(self, status: Status) -> Ask:
        """The one of our key; 404 where there is none."""
        return Ask("GET", f"{self._builds(status.commit)}/{_key(status.context)}")

    def stands(self, answer: Any, status: Status) -> bool:
        """There is one a key."""
        said = (_text(answer, "state"), _text(answer, "description"))
        return said == (_BUCKET_STATES[status.state], status.description)

    def report(self, status: Status) -> Ask:
        """It wants a page to link to: the commit's own."""
        body = {
            "key": _key(status.context),
            "name": status.context,
            "state": _BUCKET_STATES[status.state],
            "description": status.description,
            "url": f"https://bitbucket.org/{self.repository}/commits/{status.commit}",
        }
        return Ask("POST", self._builds(status.commit), body=body)

    def open_proposals(self, proposal: Proposal) -> Ask:
        """By its query language; branches hold no quotes."""
        branches = f'source.branch.name = "{proposal.branch}" AND destination.branch.name = "{proposal.base}"'
        return Ask(
            "GET", f"/repositories/{self.repository}/pullrequests", (("q", f'{branches} AND state = "OPEN"'),)
        )

    def found(self, answer: Any, proposal: Proposal) -> str:
        """The host has chosen already."""
        values = answer.get("values") if isinstance(answer, dict) else None
        return next((self.page(each) for each in _dicts(values)), "")

    def propose(self, proposal: Proposal) -> Ask:
        """Its branch goes when it is merged."""
        body = {
            "title": proposal.title,
            "description": proposal.body,
            "source": {"branch": {"name": proposal.branch}},
            "destination": {"branch": {"name": proposal.base}},
            "close_source_branch": True,
        }
        return Ask("POST", f"/repositories/{self.repository}/pullrequests", body=body)

    def page(self, answer: Any) -> str:
        """For people."""
        links = answer.get("links") if isinstance(answer, dict) else None
        return _text(links.get("html") if isinstance(links, dict) else None, "href")

    def _builds(self, commit: str) -> str:
        return f"/repositories/{self.repository}/commit/{commit}/statuses/build"


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


_HUB_STATES = {
    State.PENDING: "pending",
    State.SUCCESS: "success",
    State.FAILURE: "failure",
    State.ERROR: "error",
    State.STOPPED: "error",
}
_LAB_STATES = {
    State.PENDING: "running",
    State.SUCCESS: "success",
    State.FAILURE: "failed",
    State.ERROR: "failed",
    State.STOPPED: "canceled",
}
_BUCKET_STATES = {
    State.PENDING: "INPROGRESS",
    State.SUCCESS: "SUCCESSFUL",
    State.FAILURE: "FAILED",
    State.ERROR: "FAILED",
    State.STOPPED: "STOPPED",
}


def _hub_status(status: Status) -> dict[str, str]:
    state = _HUB_STATES[status.state]
    return {"state": state, "context": status.context, "description": status.description}


def _hub_proposal(proposal: Proposal) -> dict[str, str]:
    return {
        "title": proposal.title,
        "body": proposal.body,
        "head": proposal.branch,
        "base": proposal.base,
    }


def _key(context: str) -> str:
    if len(context) <= _BITBUCKET_KEY_LIMIT and "/" not in context:
        return context
    return hashlib.sha256(context.encode()).hexdigest()[:_BITBUCKET_KEY_LIMIT]


def _dicts(answer: Any) -> Iterable[dict[str, Any]]:
    return [each for each in answer if isinstance(each, dict)] if isinstance(answer, list) else []


def _text(answer: Any, key: str) -> str:
    value = answer.get(key) if isinstance(answer, dict) else None
    return value if isinstance(value, str) else ""


def _number(entry: Mapping[str, Any]) -> int:
    number = entry.get("id")
    return number if isinstance(number, int) else 0
