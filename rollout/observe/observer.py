"""Takes snapshots."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from rollout.api.base import Manifest
from rollout.api.errors import Problem, Retry, Stalled
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.observe import references
from rollout.observe.caches import Caches, Neighbourhood
from rollout.observe.claims import claimed
from rollout.observe.memory import Claim, Memory, Name
from rollout.observe.reading import Reading, read
from rollout.observe.snapshot import Seen, alone, plane_of, replicas_of, seen_routes, under_way
from rollout.observe.surroundings import Reached, Surroundings
from rollout.observe.trials import Trials
from rollout.plan import observed
from rollout.plan.observed import Observed
from rollout.workloads import services

LIVE_EVERY = timedelta(seconds=60)
"""A lost watch event costs no more than this."""


class Observer:
    """Takes snapshots."""

    def __init__(
        self, kube: Kube, caches: Caches, min_settle: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._kube = kube
        self._clock = clock
        self._caches = caches
        self._min_settle = min_settle
        self.memory = Memory()
        self._around = Surroundings(kube, caches)
        self._trials = Trials(kube, self.memory)

    async def observe(self, namespace: str, name: str, *, live: bool = False) -> Seen | None:
        """The snapshot; None where the Rollout is gone.

        `live`: of all that writes would rest on, read where something is under way. Without it that is read
        so at least every minute, and whenever a cache does not follow.

        Raises:
            Retry, Stalled: what it needs can't be read. A Rollout that is being deleted is seen alone then:
                nothing that is gone or forbidden may hold it up.
        """
        rollout = await self._kube.find(kinds.ROLLOUTS, namespace, name)
        if rollout is None:
            self._forget((namespace, name))
            return None
        reading = self._read(rollout, self._clock())
        try:
            return await self._seen(rollout, reading, live=live)
        except (Retry, Stalled) as missing:
            if reading.deleted_at is None:
                raise
            snapshot = alone(rollout, reading, str(missing))
            return Seen(self._clock(), rollout, snapshot, {}, {}, {}, observed.UNKNOWN_PLANE, live=True)

    def _read(self, rollout: Manifest, now: datetime) -> Reading:
        uid = rollout["metadata"]["uid"]
        reading = read(rollout, now, self.memory.specified.pop(uid, None))
        if under_way(reading):
            self.memory.specified[uid] = reading.specified
        return reading

    def _forget(self, name: Name) -> None:
        self.memory.forget(name)
        if not self.memory.lives_in(name[0]):
            self._caches.leave(name[0])

    def hear(self, rollout: Manifest) -> None:
        """Take note of a Rollout that another operator works on: what it claims, and where it lives."""
        metadata = rollout["metadata"]
        serves = bool((rollout.get("status") or {}).get("stableRS"))
        told = (metadata["uid"], int(metadata.get("generation", 0)), serves)
        name = (metadata["namespace"], metadata["name"])
        if self.memory.heard.get(name) != told:
            self.memory.heard[name] = told
            self.memory.claim(name, claimed(rollout))
            self._caches.follow(metadata["namespace"])

    async def _seen(self, rollout: Manifest, reading: Reading, *, live: bool) -> Seen:
        namespace, uid = rollout["metadata"]["namespace"], rollout["metadata"]["uid"]
        around = await self._caches.of(namespace)
        began = self._clock()
        live = under_way(reading) and (live or self._is_stale(uid, around, began))
        found_services = await self._around.services(around, namespace, reading, live=live)
        found_routes = await self._around.routes(around, namespace, reading, live=live)
        templates, broken = self._around.templates(around, namespace)
        self.memory.claim((namespace, rollout["metadata"]["name"]), claimed(rollout))
        if live:
            self.memory.live_at[uid] = began
        replica_sets = self._around.replica_sets(namespace, uid)
        plane = plane_of(reading, found_routes)
        problems = (
            *reading.problems,
            *references.service_problems(reading, found_services),
            *(await self._claimed_twice(reading, namespace, rollout["metadata"]["name"])),
            *references.route_problems(reading, found_routes),
            *references.analysis_problems(
                reading, templates, broken, plane, self._around.runs(namespace, uid)
            ),
            *(await self._trials.problems(rollout, reading, replica_sets, began)),
        )
        reached = {
            name: await self._around.reached(around, service, live=live)
            for name, service in found_services.items()
        }
        now = self._clock()
        return Seen(
            at=now,
            rollout=rollout,
            observed=self._observed(
                rollout, reading, problems, replica_sets, found_services, found_routes, reached, now
            ),
            services=found_services,
            routes=found_routes,
            templates=templates,
            plane=plane,
            live=live or not under_way(reading),
        )

    def _is_stale(self, uid: str, around: Neighbourhood, now: datetime) -> bool:
        """Whether the caches may not be relied on even for a look."""
        last = self.memory.live_at.get(uid)
        return last is None or now - last >= LIVE_EVERY or any(each.trouble for each in around)

    def _observed(
        self,
        rollout: Manifest,
        reading: Reading,
        problems: tuple[Problem, ...],
        replica_sets: tuple[observed.ReplicaSet, ...],
        found_services: Mapping[str, Manifest],
        found_routes: Mapping[str, Manifest],
        reached: Mapping[str, Reached],
        now: datetime,
    ) -> Observed:
        metadata, traffic = rollout["metadata"], reading.traffic
        seen = {
            name: self._service(metadata, manifest, reached[name], now)
            for name, manifest in found_services.items()
        }
        return Observed(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            resource_version=metadata["resourceVersion"],
            status=reading.status,
            spec=reading.spec,
            problems=problems,
            wanted=reading.wanted,
            traffic=traffic,
            replicas=replicas_of(reading, replica_sets),
            intents=self.memory.dated(metadata["uid"], reading.intents),
            replica_sets=replica_sets,
            stable_service=seen.get(traffic.stable_service) if traffic else None,
            canary_service=seen.get(traffic.canary_service) if traffic else None,
            routes=seen_routes(reading, found_routes),
            runs=self._around.runs(metadata["namespace"], metadata["uid"]),
            source=reading.source,
            recovered=reading.recovered,
            deleted_at=reading.deleted_at,
            finalized=reading.finalized,
            notes=reading.notes,
        )

    def _service(
        self,
        metadata: Mapping[str, str],
        service: Manifest,
        reached: Reached,
        now: datetime,
    ) -> observed.Service:
        seen = services.read(service, *reached, settled=False)
        # Its version too: another operator may have turned it away and back between two of our looks.
        state = (seen.hash, seen.ready, service["metadata"]["resourceVersion"])
        since = self.memory.stands_since(metadata["uid"], seen.name, state, now)
        return services.read(service, *reached, settled=now - since >= self._min_settle)

    async def _claimed_twice(self, reading: Reading, namespace: str, name: str) -> tuple[Problem, ...]:
        """Services of an older Rollout, which must be there: nobody tells us of one of another shard that
        went during a gap in a watch.
        """
        ours = self.memory.claims[(namespace, name)]
        found = tuple(references.claimed_twice(reading, ours, self._rivals(namespace, name)))
        if not found:
            return ()
        for other, claim in self._rivals(namespace, name).items():
            if claim.age < ours.age and await self._kube.find(kinds.ROLLOUTS, *other) is None:
                self._forget(other)
        return tuple(references.claimed_twice(reading, ours, self._rivals(namespace, name)))

    def _rivals(self, namespace: str, name: str) -> dict[Name, Claim]:
        """Other Rollouts that name a Service of this one."""
        memory, ours = self.memory, self.memory.claims[(namespace, name)]
        users = {
            user
            for service in ours.services
            for user in memory.users(namespace, kinds.SERVICES.kind, service)
            if user != (namespace, name)
        }
        return {user: memory.claims[user] for user in sorted(users)}
