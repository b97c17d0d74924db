"""The status is written first, whole or, where it is refused, in the least form that safety needs."""

import logging

from rollout.api.base import Manifest
from rollout.api.errors import Stalled
from rollout.api.status import RolloutStatus
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Invalid

log = logging.getLogger(__name__)


async def record(kube: Kube, rollout: Manifest, status: RolloutStatus) -> Manifest:
    """Write `status` with the snapshot's resourceVersion; returns the Rollout as the server keeps it.

    Raises:
        Retry: somebody else wrote first, or the server can't be reached.
        Stalled: the server refuses even the minimal form, or its CRD drops fields (`CRDOutdated`).
    """
    body = {**rollout, "status": status.manifest()}
    try:
        written = await kube.replace_status(kinds.ROLLOUTS, body)
    except Invalid as refused:
        # Too large, or a field that this CRD refuses: what safety needs fits always.
        name = rollout["metadata"]["name"]
        log.warning("%s: status refused, writing the minimal form: %s", name, refused)
        written = await kube.replace_status(kinds.ROLLOUTS, {**body, "status": _minimal(status).manifest()})
    if (written.get("status") or {}).get("turn") != status.turn:
        raise Stalled("CRDOutdated", "the Rollout CRD drops fields of the status: apply `rollout crds`")
    return written


def _minimal(status: RolloutStatus) -> RolloutStatus:
    """What safety needs of a status: where it stands, what is allowed, what was asked and what is refused."""
    return status.model_copy(
        update={
            "evidence": (),
            "history": (),
            "message": status.message[:200],
            "refused": tuple(
                each.model_copy(update={"reason": each.reason[:100]}) for each in status.refused
            ),
        }
    )
