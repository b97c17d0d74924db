"""The checkpoint of an AnalysisRun is written before anything that may rest on it."""

import logging

from rollout.api.base import Manifest
from rollout.api.errors import Stalled
from rollout.execute.recording import missing
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Invalid

log = logging.getLogger(__name__)


FOR_PEOPLE = ("evidence", "course")


async def save(kube: Kube, run: Manifest) -> Manifest:
    """PUT a run's status, without its evidence where the whole is refused; the run as the server keeps it.

    Raises:
        Retry: somebody else wrote first, or the server can't be reached.
        Stalled: the server refuses even that, or its CRD drops the checkpoint.
    """
    try:
        written = await kube.replace_status(kinds.ANALYSIS_RUNS, run)
    except Invalid as refused:
        log.warning("%s: the evidence for people is left out: %s", run["metadata"]["name"], refused)
        least = {key: value for key, value in run["status"].items() if key not in FOR_PEOPLE}
        written = await kube.replace_status(kinds.ANALYSIS_RUNS, {**run, "status": least})
    kept = (written.get("status") or {}).get("checkpoint") or {}
    lost = next(missing(run["status"].get("checkpoint") or {}, kept), None)
    if lost is not None:
        raise Stalled(
            "CRDOutdated", f"the AnalysisRun CRD drops status.checkpoint.{lost}: apply `rollout crds`"
        )
    return written
