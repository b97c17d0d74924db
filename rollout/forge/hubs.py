"""GitHub (REST 2022-11-28), and Gitea and Forgejo (v1), which took over much of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollout.forge.asking import Ask, Proposal, State, Status, dicts, number, text

_STATES = {
    State.PENDING: "pending",
    State.SUCCESS: "success",
    State.FAILURE: "failure",
    State.ERROR: "error",
    State.STOPPED: "error",
}


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
        last = next((each for each in dicts(answer) if each.get("context") == status.context), {})
        said = (last.get("state"), last.get("description"))
        return said == (_STATES[status.state], status.description)

    def report(self, status: Status) -> Ask:
        """Needs the right `statuses: write`."""
        body = {
            "state": _STATES[status.state],
            "context": status.context,
            "description": status.description,
        }
        return Ask("POST", f"/repos/{self.repository}/statuses/{status.commit}", body=body)

    def open_proposals(self, proposal: Proposal) -> Ask:
        """By head, which names the owner too."""
        head = f"{self.repository.partition('/')[0]}:{proposal.branch}"
        query = (("state", "open"), ("head", head), ("base", proposal.base))
        return Ask("GET", f"/repos/{self.repository}/pulls", query)

    def found(self, answer: Any, proposal: Proposal) -> str:
        """The host has chosen already."""
        return next((self.page(each) for each in dicts(answer)), "")

    def propose(self, proposal: Proposal) -> Ask:
        """Needs the right `pull_requests: write`."""
        body = {
            "title": proposal.title,
            "body": proposal.body,
            "head": proposal.branch,
            "base": proposal.base,
        }
        return Ask("POST", f"/repos/{self.repository}/pulls", body=body)

    def page(self, answer: Any) -> str:
        """For people."""
        return text(answer, "html_url")


@dataclass(frozen=True, slots=True)
class Gitea(GitHub):
    """Gitea and Forgejo: they tell and propose as GitHub does, with lists of their own."""

    def authorize(self, username: str, token: str) -> Mapping[str, str]:
        """A token with the scope `write:repository`."""
        return {"Authorization": f"token {token}"}

    def look(self, status: Status) -> Ask:
        """The newest first."""
        query = (("sort", "highestindex"), ("limit", "50"))
        return Ask("GET", f"/repos/{self.repository}/statuses/{status.commit}", query)

    def stands(self, answer: Any, status: Status) -> bool:
        """By the newest of our context; what GitHub calls `state` is called `status` here."""
        ours = [each for each in dicts(answer) if each.get("context") == status.context]
        last = max(ours, key=number, default={})
        said = (last.get("status", last.get("state")), last.get("description"))
        return said == (_STATES[status.state], status.description)

    def open_proposals(self, proposal: Proposal) -> Ask:
        """All that are open: there is no filter by branch."""
        query = (("state", "open"), ("sort", "recentupdate"), ("limit", "50"))
        return Ask("GET", f"/repos/{self.repository}/pulls", query)

    def found(self, answer: Any, proposal: Proposal) -> str:
        """The one from our branch to the base."""
        wanted = (proposal.branch, proposal.base)
        for each in dicts(answer):
            if (text(each.get("head"), "ref"), text(each.get("base"), "ref")) == wanted:
                return self.page(each)
        return ""
