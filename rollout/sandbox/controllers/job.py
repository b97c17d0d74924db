"""Jobs, the basics: pods up to parallelism until enough succeed or too many fail."""

from datetime import UTC, datetime

from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import JOBS, PODS, Object
from rollout.sandbox.controllers.informers import Informers, Key, key_of
from rollout.sandbox.controllers.ownership import controller_of, controller_ref, deleting
from rollout.sandbox.controllers.pods import is_active, is_ready
from rollout.sandbox.controllers.queue import Queue

TRACKING = "batch.kubernetes.io/job-tracking"
SUCCEEDED = ("CompletionsReached", "Reached expected number of succeeded pods")
FAILED = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")


class Jobs:
    """The controller."""

    def __init__(self, client: LocalClient, informers: Informers) -> None:
        self.client = client
        self.queue: Queue[Key] = Queue("job", self.turn)
        informers.on(JOBS, self._on_job)
        informers.on(PODS, self._on_pod)

    def _on_job(self, before: Object | None, after: Object | None) -> None:
        del before
        if after is not None:
            self.queue.add(key_of(after))

    def _on_pod(self, before: Object | None, after: Object | None) -> None:
        pod = after or before
        owner = controller_of(pod) if pod else None
        if pod is None or owner is None or owner["kind"] != "Job":
            return
        self.queue.add((pod["metadata"]["namespace"], owner["name"]))

    async def turn(self, key: Key) -> float | None:
        """Bring one Job in line."""
        try:
            job = await self.client.get(JOBS, *key)
        except ApiError as refused:
            if refused.status == 404:
                await self._let_go(key)
                return None
            raise
        found, _ = await self.client.list(PODS, key[0])
        pods = [p for p in found if (controller_of(p) or {}).get("uid") == job["metadata"]["uid"]]
        status = {"uncountedTerminatedPods": {}, **job.get("status", {})}
        if not _over(status) and not deleting(job):
            pods = await self._work(job, status, pods)
        await self._report(job, status, pods)
        for pod in pods:
            if not is_active(pod) or _over(status):
                await self._untrack(pod)
        return None

    async def _work(self, job: Object, status: Object, pods: list[Object]) -> list[Object]:
        """Count what ended, decide whether the job is over, and make the pods that are missing."""
        spec = job["spec"]
        phases = [p.get("status", {}).get("phase") for p in pods if TRACKING in _finalizers(p)]
        for name, phase in (("succeeded", "Succeeded"), ("failed", "Failed")):
            if ended := phases.count(phase):
                status[name] = status.get(name, 0) + ended
        now = _now()
        if not spec.get("suspend"):
            status.setdefault("startTime", now)
        wanted = spec.get("completions", 1)
        if status.get("succeeded", 0) >= wanted:
            status |= {
                "conditions": _verdict(*SUCCEEDED, "SuccessCriteriaMet", "Complete"),
                "completionTime": now,
            }
        elif status.get("failed", 0) > spec.get("backoffLimit", 6):
            status["conditions"] = _verdict(*FAILED, "FailureTarget", "Failed")
        else:
            running = sum(map(is_active, pods))
            missing = min(spec.get("parallelism", 1), wanted - status.get("succeeded", 0)) - running
            made = [await self._make(job) for _ in range(0 if spec.get("suspend") else missing)]
            return [*pods, *made]
        return pods

    async def _make(self, job: Object) -> Object:
        template = job["spec"]["template"]
        meta = {
            k: v for k, v in (template.get("metadata") or {}).items() if k in ("labels", "annotations") and v
        }
        meta |= {
            "generateName": job["metadata"]["name"] + "-",
            "finalizers": [TRACKING],
            "ownerReferences": [controller_ref(job, "batch/v1", "Job")],
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
        return await self.client.create(PODS, job["metadata"]["namespace"], body)

    async def _report(self, job: Object, status: Object, pods: list[Object]) -> None:
        active = [pod for pod in pods if is_active(pod)]
        over = _over(status)
        status |= {
            "active": 0 if over else len(active),
            "ready": 0 if over else sum(map(is_ready, active)),
            "terminating": sum(map(deleting, pods)),
        }
        if not status["active"]:
            del status["active"]
        if status != job.get("status"):
            body = {**job, "status": status}
            await self.client.replace(JOBS, *key_of(job), body, subresource="status")

    async def _let_go(self, key: Key) -> None:
        """Free the pods of a job that is gone, so that the collector can take them."""
        pods, _ = await self.client.list(PODS, key[0])
        for pod in pods:
            owner = controller_of(pod)
            if owner is not None and owner["kind"] == "Job" and owner["name"] == key[1]:
                await self._untrack(pod)

    async def _untrack(self, pod: Object) -> None:
        if TRACKING in _finalizers(pod):
            rest = [name for name in _finalizers(pod) if name != TRACKING]
            meta = {"uid": pod["metadata"]["uid"], "finalizers": rest or None}
            await self.client.patch(PODS, *key_of(pod), {"metadata": meta})


def _finalizers(pod: Object) -> list[str]:
    return pod["metadata"].get("finalizers") or []


def _over(status: Object) -> bool:
    return any(
        c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions") or ()
    )


def _verdict(reason: str, message: str, *kinds: str) -> list[Object]:
    said = {"status": "True", "reason": reason, "message": message}
    times = {"lastProbeTime": _now(), "lastTransitionTime": _now()}
    return [{"type": kind, **said, **times} for kind in kinds]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
