"""GitLab (v4): projects by their whole path, merge requests, statuses that can't be told twice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rollout.forge.asking import Ask, Proposal, State, Status, dicts, number, text

_STATES = {
    State.PENDING: "running",
    State.SUCCESS: "success",
    State.FAILURE: "failed",
    State.ERROR: "failed",
    State.STOPPED: "canceled",
}


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
        ours = [each for each in dicts(answer) if each.get("name") == status.context]
        last = max(ours, key=number, default={})
        same = last.get("status") == _STATES[status.state]
        return same and (status.state is State.PENDING or last.get("description") == status.description)

    def report(self, status: Status) -> Ask:
        """Its check is called `name`."""
        body = {
            "state": _STATES[status.state],
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
        return next((self.page(each) for each in dicts(answer)), "")

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
        return text(answer, "web_url")
