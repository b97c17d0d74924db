"""Verdicts that are due go back to Git, each once in each way that its GitSource asks for."""

import logging

from rollout.api.errors import Retry, Stalled
from rollout.api.writeback import WriteBackMode
from rollout.git.environment import GitPolicy
from rollout.git.errors import NoteRefused, WriteBackRefused
from rollout.gitops import notes
from rollout.gitops.notes import WAYS, Due, Notebook
from rollout.gitops.reverts import revert
from rollout.gitops.telling import Teller
from rollout.gitops.visit import Visit
from rollout.kube.client import Kube

log = logging.getLogger(__name__)


class Writer:
    """Writes what `notebook` has due."""

    def __init__(self, kube: Kube, policy: GitPolicy, notebook: Notebook, teller: Teller) -> None:
        self._kube = kube
        self._policy = policy
        self._notebook = notebook
        self._teller = teller

    async def write(self, visit: Visit) -> bool:
        """Write what is due; a remote that refuses is named by an Event, once a verdict.

        Returns whether the branch was moved.
        """
        moved = False
        namespace, name = visit.name
        for mode in WAYS:
            wanted = mode in visit.source.spec.write_back.modes
            for verdict in self._notebook.due(namespace, name, mode):
                try:
                    said = await self._write(mode, verdict, visit) if wanted else ""
                except (NoteRefused, WriteBackRefused) as refused:
                    await self._teller.tell(visit.live, refused.reason, str(refused), visit.now)
                except (Retry, Stalled) as failed:
                    log.warning("%s/%s: a verdict waits: %s", namespace, name, failed)
                    return moved
                else:
                    if said:
                        moved = True
                        await self._teller.tell(visit.live, "WriteBackPushed", said, visit.now)
                self._notebook.done(mode, verdict)
        return moved

    async def _write(self, mode: WriteBackMode, verdict: Due, visit: Visit) -> str:
        """Write one verdict in one way; what people should be told of it."""
        if mode is WriteBackMode.NOTES:
            await notes.note(verdict, visit.mirror)
            return ""
        return await revert(self._kube, self._policy, visit.source, visit.mirror, verdict, mode)
