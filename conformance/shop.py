"""Given, when, then: one shop in a namespace of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from conformance import api, controllers, manifests, standins
from conformance.api import Api, Object, Resource, conditions
from conformance.history import broken
from conformance.kubectl import Kubectl
from conformance.manifests import CANARY, HASH, NAME, STABLE
from conformance.mirror import Mirror, Never, at

LONG_S = 90.0
"""How long a story waits at most: many times what it takes on an idle machine."""


@dataclass(frozen=True, slots=True)
class Given:
    """What all shops of a run share."""

    api: Api
    kubectl: Kubectl
    image: str
    scripted: bool
    gateway: str
    """NAMESPACE/NAME of a Gateway whose controller accepts routes; empty where a stand-in does."""
    prometheus: str
    """The URL at which the operator asks."""

    @property
    def parent(self) -> Object:
        """What routes are attached to; without a Gateway one that does not exist, so that nobody cares."""
        namespace, _, name = self.gateway.rpartition("/")
        return {"name": name, "namespace": namespace} if self.gateway else {"name": "conformance"}


@dataclass(frozen=True, slots=True)
class Shop:
    """One Rollout named `shop`."""

    given: Given
    mirror: Mirror
    pods: standins.Pods
    foreign: list[range] = field(default_factory=list)
    """resourceVersions at which the story wrote."""
    _told: list[int] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """Where it is."""
        return self.mirror.namespace

    # Given and when

    def template(self, version: str) -> Object:
        """The pod of a version."""
        return manifests.pod(version, self.given.image, scripted=self.given.scripted)

    def rollout(self, version: str = "v1", **words: Any) -> Object:
        """The Rollout of a version; further words as `manifests.rollout` takes them."""
        return manifests.rollout(self.template(version), **words)

    def surroundings(self) -> tuple[Object, ...]:
        """What a Rollout refers to, as it stands in Git."""
        return (manifests.service(STABLE), manifests.service(CANARY), manifests.route(self.given.parent))

    def act(self, version: str, act: standins.Act) -> None:
        """Let the scripted pods of a version do something from now on."""
        self.pods.acts[version] = act
        self.mirror.wake()

    async def apply(self, *objects: Object, words: Sequence[str] = ()) -> None:
        """`kubectl apply`; what is changed by it is not the operator's doing."""
        events = api.EVENTS.plural  # another etcd may count them
        began = max((each.version for each in self.mirror.journal if each.kind != events), default=0)
        given = yaml.safe_dump_all(objects)
        said = yaml.safe_load(
            await self.kubectl("apply", "--filename=-", "--output=yaml", *words, given=given)
        )
        wrote = [int(each["metadata"]["resourceVersion"]) for each in said.get("items", [said])]
        self.foreign.append(range(began + 1, max(wrote) + 1))  # it may write an object more than once

    async def healthy(self, version: str = "v1", *more: Object, **words: Any) -> None:
        """The first version of a Rollout stands."""
        await self.apply(*self.surroundings(), *more, self.rollout(version, **words))
        await self.phase("Healthy")

    async def judged(self, version: str = "v1", *, apart: bool = False, **words: Any) -> None:
        """The same with background analysis; with metrics that can fail for it alone where it is `apart`."""
        below = f"/{self.namespace}" if apart else ""
        errors = manifests.errors(self.given.prometheus + below)
        await self.healthy(version, errors, canary=manifests.JUDGED, **words)

    async def release(self, version: str) -> None:
        """A new version."""
        path = "/spec/template/spec/containers/0/env/0/value"
        await self.patch(api.ROLLOUTS, NAME, [{"op": "replace", "path": path, "value": version}])

    async def at_a_pause(self, **words: Any) -> None:
        """Version v2 is a canary at 50 %, and waits for somebody."""
        await self.healthy(**words)
        await self.release("v2")
        await self.paused(50)

    async def patch(self, kind: Resource, name: str, body: Any) -> Object:
        """A merge patch, or a JSON patch where `body` is a list."""
        found = await self.given.api.patch(kind, self.namespace, name, body)
        version = int(found["metadata"]["resourceVersion"])
        self.foreign.append(range(version, version + 1))
        return found

    async def kubectl(self, *words: str, given: str = "") -> str:
        """Run kubectl in this namespace; its output. An error of it is one of the story."""
        return await self.given.kubectl(f"--namespace={self.namespace}", *words, given=given)

    async def annotate(self, key: str, reason: str = "a story") -> None:
        """What the documentation tells people to type."""
        await self.kubectl(
            "annotate", f"{api.ROLLOUTS.argument}/{NAME}", f"progressive.delivery/{key}={reason}"
        )

    # What is there

    @property
    def status(self) -> Object:
        """Of the Rollout; empty where there is none yet."""
        found: Object = at(self.mirror.get(api.ROLLOUTS, NAME), "status") or {}
        return found

    @property
    def current(self) -> bool:
        """Whether the status speaks of the present spec."""
        rollout = self.mirror.get(api.ROLLOUTS, NAME)
        seen: bool = at(rollout, "metadata", "generation") == at(rollout, "status", "observedGeneration")
        return rollout is not None and seen

    @property
    def weight(self) -> int | None:
        """Percent of the pair that the route gives the canary."""
        route = self.mirror.get(api.ROUTES, NAME)
        return None if route is None else manifests.percent(route)

    def selected(self, service: str) -> str:
        """The revision that a Service's selector names."""
        return at(self.mirror.get(api.SERVICES, service), "spec", "selector", HASH) or ""

    @property
    def versions(self) -> dict[str, int]:
        """Pods wanted, by version; those without pods are left out."""
        found: dict[str, int] = {}
        for each in self.mirror.every(api.REPLICA_SETS):
            version = manifests.version(each["spec"]["template"])
            found[version] = found.get(version, 0) + (at(each, "spec", "replicas") or 0)
        return {version: count for version, count in found.items() if count}

    def weights(self) -> list[int]:
        """The canary's weights, one after the other."""
        found: list[int] = []
        for entry in sorted(self.mirror.journal, key=lambda each: each.version):
            weight = manifests.percent(entry.object) if entry.kind == api.ROUTES.plural else None
            if weight is not None and found[-1:] != [weight]:
                found.append(weight)
        return found

    @property
    def events(self) -> list[tuple[str, str]]:
        """(reason, message) of all Events, the oldest first."""
        found = sorted(self.mirror.every(api.EVENTS), key=lambda e: int(e["metadata"]["resourceVersion"]))
        return [(each["reason"], each.get("message", "")) for each in found]

    # Then

    async def until(self, what: str, look: Callable[[], Any], seconds: float = LONG_S) -> Any:
        """Wait until `look` gives something true; that. Raises Never with what a person would look at."""
        try:
            return await self.mirror.until(what, look, seconds)
        except Never as never:
            raise Never(f"{never}\n{self.sight()}") from None

    async def phase(self, phase: str) -> Object:
        """Wait for a phase that speaks of the present spec; the status."""
        await self.until(phase, lambda: self.current and self.status.get("phase") == phase)
        return self.status

    async def stage(self, stage: str) -> Object:
        """Wait for a stage; the status."""
        await self.until(f"stage {stage}", lambda: self.status.get("stage") == stage)
        return self.status

    async def weighs(self, percent: int) -> None:
        """Wait until the route gives the canary so much."""
        await self.until(f"canary weight {percent} %", lambda: self.weight == percent)

    async def paused(self, weight: int) -> Object:
        """Wait until it pauses at a weight; the status."""

        def there() -> bool:
            wanted = at(self.status, "canary", "desiredWeight") or 0
            return self.current and self.weight == weight == wanted and self.status.get("phase") == "Paused"

        await self.until(f"a pause at {weight} %", there)
        return self.status

    async def serving(self, version: str) -> None:
        """Wait until one version has all pods and both Services, and the route is as it was."""

        def there() -> bool:
            named = {self.selected(STABLE), self.selected(CANARY)}
            alone = set(self.versions) == {version} and named == {self.status.get("stableRS")}
            return alone and self.weight == 0

        await self.until(f"{version} alone serving", there)

    async def holds(self, condition: str, text: str = "") -> str:
        """Wait until a condition is True and its message contains `text`; the message."""

        def there() -> str:
            for each in self.status.get("conditions") or ():
                if each["type"] == condition and each["status"] == "True" and text in each.get("message", ""):
                    return each.get("message") or " "
            return ""

        return str(await self.until(f"{condition} with {text!r}", there))

    async def over(self, condition: str) -> None:
        """Wait until a condition is False."""
        rollout = self.mirror.get
        await self.until(
            f"the end of {condition}",
            lambda: conditions(rollout(api.ROLLOUTS, NAME) or {}).get(condition) == "False",
        )

    async def told(self, reason: str, text: str = "") -> str:
        """Wait for an Event; its message."""

        def there() -> str:
            found = [message for name, message in self.events if name == reason and text in message]
            return (found[-1] or " ") if found else ""

        return str(await self.until(f"an Event {reason} with {text!r}", there))

    async def acknowledged(self, key: str, outcome: str, reason: str = "a story") -> None:
        """Wait until an intent was taken and cleared, its annotation gone."""

        def there() -> bool:
            found = at(self.mirror.get(api.ROLLOUTS, NAME), "metadata", "annotations") or {}
            intent = self.status.get("intent") or {}
            said = tuple(intent.get(word) for word in ("action", "outcome", "reason", "state"))
            return f"{api.OURS}/{key}" not in found and said == (key, outcome, reason, "Cleared")

        await self.until(f"{key}: {outcome}", there)

    def abandon(self) -> None:
        """What happens from now on is not the operator's doing."""
        self._told.append(len(self.mirror.journal))

    def broken(self) -> list[str]:
        """The invariants that its history broke."""
        return broken(self.mirror.journal[: min(self._told, default=None)], self.foreign)

    def sight(self) -> str:
        """What a person would look at first."""
        left_out = {"history", "refused", "evidence", "conditions"}
        shown = {key: value for key, value in self.status.items() if key not in left_out}
        events = "\n".join(f"  {reason}: {message}" for reason, message in self.events)
        return f"weight {self.weight}, pods {self.versions}\n{json.dumps(shown, indent=1)}\n{events}"


@asynccontextmanager
async def opened(given: Given, namespace: str, *, bare: bool) -> AsyncIterator[Shop]:
    """A shop in a namespace that is there, watched; at the end its history must have broken nothing."""
    mirror = Mirror(given.api, namespace)
    shop = Shop(given, mirror, standins.Pods(mirror))
    parts: list[standins.Part] = [*(() if given.gateway else (standins.Routes(mirror),))]
    parts += [shop.pods] if given.scripted else []
    parts += controllers.all_of(mirror) if bare else []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(mirror.run()), group.create_task(standins.run(mirror, parts))]
        yield shop
        for task in tasks:
            task.cancel()
    wrong = shop.broken()
    assert not wrong, "\n".join(["an invariant was broken:", *wrong])
