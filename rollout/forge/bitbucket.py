"""Bitbucket Cloud (2.0): builds by a short key, its own query language."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollout.forge.asking import Ask, Proposal, State, Status, dicts, text

_KEY_LIMIT = 40
_STATES = {
    State.PENDING: "INPROGRESS",
    State.SUCCESS: "SUCCESSFUL",
    State.FAILURE: "FAILED",
    State.ERROR: "FAILED",
    State.STOPPED: "STOPPED",
}


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
        said = (text(answer, "state"), text(answer, "description"))
        return said == (_STATES[status.state], status.description)

    def report(self, status: Status) -> Ask:
        """It wants a page to link to: the commit's own."""
        body = {
            "key": _key(status.context),
            "name": status.context,
            "state": _STATES[status.state],
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
        return next((self.page(each) for each in dicts(values)), "")

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
        return text(links.get("html") if isinstance(links, dict) else None, "href")

    def _builds(self, commit: str) -> str:
        return f"/repositories/{self.repository}/commit/{commit}/statuses/build"


def _key(context: str) -> str:
    if len(context) <= _KEY_LIMIT and "/" not in context:
        return context
    return hashlib.sha256(context.encode()).hexdigest()[:_KEY_LIMIT]
