"""Given, when, then: one shop in a namespace of the embedded cluster, and the operator beside it."""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import manifests
from manifests import Manifest
from prometheus_fake import FakePrometheus, Target

from rollout.api.crd import all_crds
from rollout.api.status import Phase, RolloutStatus, Stage
from rollout.demo.operator_process import SERVICE_ACCOUNT, rights
from rollout.observe.reading import read_status
from rollout.sandbox.apiserver.local import JSON_PATCH, ApiError
from rollout.sandbox.apiserver.requests import Request
from rollout.sandbox.apiserver.resource import EVENTS, PODS, REPLICA_SETS, SERVICES, Resource
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.install import find_kubectl

GROUP = "progressive.delivery"
ROLLOUTS = Resource(GROUP, "v1alpha1", "rollouts")
RUNS = Resource(GROUP, "v1alpha1", "analysisruns")
TEMPLATES = Resource(GROUP, "v1alpha1", "analysistemplates")
GIT_SOURCES = Resource(GROUP, "v1alpha1", "gitsources")
ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
OPERATOR = f"system:serviceaccount:{SERVICE_ACCOUNT[0]}:{SERVICE_ACCOUNT[1]}"

LOOK_S = 0.05
LONG_S = 120.0
"""How long a story waits at most: many times what it takes on an idle machine."""
_numbers = itertools.count(1)


Case = TypeVar("Case", bound=Hashable)


@asynccontextmanager
async def side_by_side(
    cases: Iterable[Case], play: Callable[[Case], Coroutine[Any, Any, None]]
) -> AsyncIterator[dict[Case, "asyncio.Task[None]"]]:
    """Stories that mostly wait, played at the same time; a test awaits its own."""
    tasks = {case: asyncio.create_task(play(case)) for case in cases}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def install(sandbox: Sandbox) -> None:
    """CRDs and the rights that `deploy/` gives."""
    await sandbox.load([*all_crds().values(), *rights()])


class Never(AssertionError):  # noqa: N818 -- it reads as what it says
    """Something that was waited for did not come."""


async def until(what: str, look: Callable[[], Any], *, seconds: float = LONG_S) -> Any:
    """Wait until `look` (a function, or one that gives an awaitable) gives something true; that."""
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = look()
                last = await found if asyncio.iscoroutine(found) else found
                if last:
                    return last
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise Never(f"{what}: not within {seconds:g} s") from None


def prometheus(sandbox: Sandbox) -> FakePrometheus:
    """One that scrapes the ready pods: 1 % of the requests fail, 6 % where the image is `bad`."""

    async def targets() -> list[Target]:
        pods, _ = await sandbox.client.list(PODS)
        return [_target(pod) for pod in pods if ready(pod)]

    return FakePrometheus(targets)


def _target(pod: Manifest) -> Target:
    began = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
    bad = "bad" in pod["spec"]["containers"][0]["image"]
    meta = pod["metadata"]
    return Target(meta["namespace"], meta["name"], began, rate=2000.0, errors=0.06 if bad else 0.01)


@dataclass(frozen=True, slots=True)
class Shop:
    """One Rollout named `shop` in a namespace of its own."""

    sandbox: Sandbox
    prometheus: FakePrometheus
    namespace: str
    operator_health: Callable[[], str] = field(default=lambda: "", kw_only=True)
    """What is said of the operator where something is waited for in vain."""

    @classmethod
    async def open(cls, sandbox: Sandbox, prometheus: FakePrometheus) -> "Shop":
        """A new, empty namespace."""
        namespace = f"story-{os.getpid()}-{next(_numbers)}"
        await sandbox.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
        return cls(sandbox, prometheus, namespace)

    # Given and when

    async def apply(self, *objects: Manifest) -> None:
        """Apply as another client than ours would: server-side, by a manager of its own."""
        named = [{**each, "metadata": {**each["metadata"], "namespace": self.namespace}} for each in objects]
        await self.sandbox.load(named)

    async def healthy(self, image: str = "shop:v1", *more: Manifest, **words: Any) -> None:
        """The first version of a Rollout stands."""
        await self.apply(*manifests.traffic(), *more, manifests.rollout(image, **words))
        await self.phase(Phase.HEALTHY)

    async def patch(self, resource: Resource, name: str, body: Any) -> Manifest:
        """A merge patch, or a JSON patch where `body` is a list."""
        form = {"content_type": JSON_PATCH} if isinstance(body, list) else {}
        found: Manifest = await self.sandbox.client.patch(resource, self.namespace, name, body, **form)
        return found

    async def set_image(self, image: str) -> None:
        """A new version."""
        await self.patch(
            ROLLOUTS,
            manifests.NAME,
            [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}],
        )

    async def delete(self, resource: Resource, name: str) -> None:
        await self.sandbox.client.delete(resource, self.namespace, name)

    async def kubectl(self, *words: str) -> str:
        """Run the real kubectl; its output. An error of it is one of the story."""
        child = await asyncio.create_subprocess_exec(
            str(find_kubectl()),
            f"--kubeconfig={self.sandbox.kubeconfig}",
            f"--namespace={self.namespace}",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await child.communicate())[0].decode()
        assert child.returncode == 0, f"kubectl {' '.join(words)}: {output}"
        return output

    async def annotate(self, key: str, reason: str = "a story") -> None:
        """What the documentation tells people to type."""
        name = f"rollouts.progressive.delivery/{manifests.NAME}"
        await self.kubectl("annotate", name, f"progressive.delivery/{key}={reason}")

    # What is there

    async def get(self, resource: Resource, name: str = manifests.NAME) -> Manifest:
        found: Manifest = await self.sandbox.client.get(resource, self.namespace, name)
        return found

    async def exists(self, resource: Resource, name: str = manifests.NAME) -> bool:
        try:
            await self.get(resource, name)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    async def gone(self, resource: Resource, name: str = manifests.NAME, *, seconds: float = LONG_S) -> None:
        """Wait until it is gone."""

        async def away() -> bool:
            return not await self.exists(resource, name)

        await until(f"{name} to be gone", away, seconds=seconds)

    async def every(self, resource: Resource) -> Sequence[Manifest]:
        found, _ = await self.sandbox.client.list(resource, self.namespace)
        return found

    async def status(self) -> RolloutStatus:
        return read_status((await self.get(ROLLOUTS)).get("status") or {})

    async def condition(self, kind: str) -> tuple[str, str]:
        """(status, message) of a condition; empty where it is not there."""
        found = (each for each in (await self.status()).conditions if each.type == kind)
        return next(((each.status, each.message) for each in found), ("", ""))

    async def weight(self) -> int:
        """Percent of the pair that the route gives the canary."""
        refs = (await self.get(ROUTES))["spec"]["rules"][0]["backendRefs"]
        by_name = {ref["name"]: ref.get("weight", 1) for ref in refs}
        canary, stable = by_name.get(manifests.CANARY, 0), by_name.get(manifests.STABLE, 0)
        return round(100 * canary / max(canary + stable, 1))

    async def selected(self, service: str) -> str:
        """The revision that a Service's selector names."""
        selector = (await self.get(SERVICES, service))["spec"]["selector"]
        return str(selector.get("rollouts-pod-template-hash", ""))

    async def images(self) -> dict[str, int]:
        """Pods wanted, by image; versions without pods are left out."""
        found: dict[str, int] = {}
        for each in await self.every(REPLICA_SETS):
            image = each["spec"]["template"]["spec"]["containers"][0]["image"]
            found[image] = found.get(image, 0) + each["spec"].get("replicas", 0)
        return {image: count for image, count in found.items() if count}

    async def events(self) -> list[tuple[str, str]]:
        """(reason, message) of all Events, the oldest first."""
        found = sorted(await self.every(EVENTS), key=lambda each: int(each["metadata"]["resourceVersion"]))
        return [(each["reason"], each.get("message", "")) for each in found]

    async def reasons(self) -> list[str]:
        return [reason for reason, _ in await self.events()]

    def writes(self, since: datetime | None = None) -> list[Request]:
        """What the operator asked to be changed in this namespace; what only tried is left out."""
        return [
            each
            for each in self.sandbox.server.requests.writes(path=f"/namespaces/{self.namespace}/")
            if each.user == OPERATOR and not each.query.get("dryRun") and (since is None or each.at >= since)
        ]

    # Then

    async def phase(self, phase: Phase, *, seconds: float = LONG_S) -> RolloutStatus:
        """Wait for a phase that speaks of the present spec."""

        async def reached() -> RolloutStatus | None:
            rollout = await self.get(ROLLOUTS)
            status = read_status(rollout.get("status") or {})
            current = status.observed_generation == rollout["metadata"]["generation"]
            return status if current and status.phase is phase else None

        return await self._told(phase.value, reached, seconds)

    async def paused(self, weight: int | None = None, *, seconds: float = LONG_S) -> RolloutStatus:
        """Wait until it pauses; at that weight, observed."""

        async def reached() -> RolloutStatus | None:
            status = await self.status()
            there = weight is None or (await self.weight() == weight == status.canary.desired_weight)
            return status if there and status.phase is Phase.PAUSED else None

        return await self._told(f"a pause at {weight} %", reached, seconds)

    async def weighs(self, percent: int) -> None:
        """Wait until the route gives the canary so much."""

        async def reached() -> bool:
            return await self.weight() == percent

        await self._told(f"canary weight {percent} %", reached)

    async def rollout_is(self, name: str, holds: Callable[[Manifest], bool]) -> None:
        """Wait until the present status of a Rollout of any name is as told."""

        async def reached() -> bool:
            rollout = await self.get(ROLLOUTS, name)
            status = rollout.get("status") or {}
            return status.get("observedGeneration") == rollout["metadata"]["generation"] and holds(status)

        await until(f"{name} to be as told", reached)

    async def stage(self, stage: Stage) -> RolloutStatus:
        async def reached() -> RolloutStatus | None:
            status = await self.status()
            return status if status.stage is stage else None

        return await self._told(f"stage {stage}", reached)

    async def holds(self, kind: str, text: str = "") -> str:
        """Wait until a condition is True and its message contains `text`; the message."""

        async def reached() -> str | None:
            value, message = await self.condition(kind)
            return message or " " if value == "True" and text in message else None

        return await self._told(f"{kind} with {text!r}", reached)

    async def over(self, kind: str, *, seconds: float = LONG_S) -> None:
        """Wait until a condition is False."""

        async def reached() -> bool:
            return (await self.condition(kind))[0] == "False"

        await self._told(f"the end of {kind}", reached, seconds)

    async def serving(self, image: str, *, seconds: float = LONG_S) -> None:
        """Wait until one version has all pods and both Services, and the route is as it was."""

        async def reached() -> bool:
            status = await self.status()
            found = await self.images()
            names = {await self.selected(manifests.STABLE), await self.selected(manifests.CANARY)}
            return set(found) == {image} and names == {status.stable_rs} and await self.weight() == 0

        await self._told(f"{image} alone serving", reached, seconds)

    async def told(self, reason: str, text: str = "") -> str:
        """Wait for an Event; its message."""

        async def reached() -> str | None:
            found = [message for name, message in await self.events() if name == reason and text in message]
            return found[-1] or " " if found else None

        return await self._told(f"an Event {reason} with {text!r}", reached)

    async def _told(self, what: str, look: Callable[[], Any], seconds: float = LONG_S) -> Any:
        try:
            return await until(what, look, seconds=seconds)
        except Never as never:
            raise Never(f"{never}\n{await self._sight()}") from None

    async def _sight(self) -> str:
        """What a person would look at first."""
        try:
            status = (await self.get(ROLLOUTS)).get("status") or {}
            weight, images = await self.weight(), await self.images()
        except (ApiError, LookupError) as missing:
            return f"{missing}"
        left_out = {"history", "refused", "evidence"}
        shown = json.dumps({key: value for key, value in status.items() if key not in left_out}, indent=1)
        events = "\n".join(f"  {reason}: {message}" for reason, message in await self.events())
        return f"{self.operator_health()}\nweight {weight}, pods {images}\n{shown}\n{events}"


def ready(pod: Manifest) -> bool:
    """Whether a pod is ready."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
