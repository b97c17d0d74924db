"""One immutable snapshot of a Rollout and all that belongs to it.

From the watch caches where nothing is under way; the Rollout always, and its Services and routes while
something is under way, are read live, since a stale one would hurt there. Nothing is decided or written.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.api.analysis import AnalysisTemplateSpec
from rollout.api.base import Manifest
from rollout.api.errors import Problem, Retry, Stalled
from rollout.api.status import Stage
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import AlreadyExists, Invalid
from rollout.observe import references
from rollout.observe.caches import Caches, Neighbourhood
from rollout.observe.claims import claimed
from rollout.observe.memory import Claim, Memory, Name, Trial
from rollout.observe.reading import Reading, read
from rollout.plan import observed
from rollout.plan.observed import Observed, Plane
from rollout.routers import gateway_api
from rollout.routers.planes import read_plane
from rollout.workloads import endpoints, pods, replicasets, runs, services
from rollout.workloads.endpoints import EndpointSlice

LIVE_EVERY = timedelta(seconds=60)
"""A lost watch event costs no more than this."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A snapshot, and the objects it was made of, for those who write them."""

    at: datetime
    """When it was complete: a turn that was stopped while it read counts no time that it did not see."""
    rollout: Manifest
    observed: Observed
    services: Mapping[str, Manifest]
    routes: Mapping[str, Manifest]
    templates: runs.Templates
    plane: Plane
    live: bool
    """Whether writes may rest on it; else it was good for a look."""


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
            alone = _alone(rollout, reading, str(missing))
            return Seen(self._clock(), rollout, alone, {}, {}, {}, observed.UNKNOWN_PLANE, live=True)

    def _read(self, rollout: Manifest, now: datetime) -> Reading:
        uid = rollout["metadata"]["uid"]
        reading = read(rollout, now, self.memory.specified.pop(uid, None))
        if _under_way(reading):
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
        live = _under_way(reading) and (live or self._is_stale(uid, around, began))
        found_services = await self._services(around, namespace, reading, live=live)
        found_routes = await self._routes(around, namespace, reading, live=live)
        templates, broken = self._templates(around, namespace)
        self.memory.claim((namespace, rollout["metadata"]["name"]), claimed(rollout))
        if live:
            self.memory.live_at[uid] = began
        replica_sets = self._replica_sets(namespace, uid)
        plane = _plane(reading, found_routes)
        problems = (
            *reading.problems,
            *references.service_problems(reading, found_services),
            *(await self._claimed_twice(reading, namespace, rollout["metadata"]["name"])),
            *references.route_problems(reading, found_routes),
            *references.analysis_problems(reading, templates, broken, plane, self._runs(namespace, uid)),
            *(await self._template_problems(rollout, reading, replica_sets, began)),
        )
        reached = {
            name: await self._reached(around, service, live=live) for name, service in found_services.items()
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
            live=live or not _under_way(reading),
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
        reached: Mapping[str, tuple[Iterable[EndpointSlice], Mapping[str, str]]],
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
            replicas=_replicas(reading, replica_sets),
            intents=self.memory.dated(metadata["uid"], reading.intents),
            replica_sets=replica_sets,
            stable_service=seen.get(traffic.stable_service) if traffic else None,
            canary_service=seen.get(traffic.canary_service) if traffic else None,
            routes=_seen_routes(reading, found_routes),
            runs=self._runs(metadata["namespace"], metadata["uid"]),
            source=reading.source,
            deleted_at=reading.deleted_at,
            finalized=reading.finalized,
            notes=reading.notes,
        )

    async def _services(
        self, around: Neighbourhood, namespace: str, reading: Reading, *, live: bool
    ) -> dict[str, Manifest]:
        names = (reading.traffic.stable_service, reading.traffic.canary_service) if reading.traffic else ()
        found: dict[str, Manifest] = {}
        for name in names:
            service = (
                await self._kube.find(kinds.SERVICES, namespace, name)
                if live
                else around.services.get(namespace, name)
            )
            if service is not None:
                found[name] = service
        return found

    async def _routes(
        self, around: Neighbourhood, namespace: str, reading: Reading, *, live: bool
    ) -> dict[str, Manifest]:
        found: dict[str, Manifest] = {}
        for name in {route.name for route in reading.routes}:
            route = (
                await self._kube.find(kinds.HTTP_ROUTES, namespace, name)
                if live
                else around.routes.get(namespace, name)
            )
            if route is not None:
                found[name] = route
        return found

    def _templates(
        self, around: Neighbourhood, namespace: str
    ) -> tuple[dict[runs.TemplateKey, AnalysisTemplateSpec], dict[runs.TemplateKey, str]]:
        found = (*around.templates.list(namespace), *self._caches.cluster_templates.list())
        parsed = {each.key: each.spec for each in found if each.spec is not None}
        return parsed, {each.key: each.broken for each in found if each.spec is None}

    def _replica_sets(self, namespace: str, uid: str) -> tuple[observed.ReplicaSet, ...]:
        ours = [each for each in self._caches.replica_sets.find(namespace, uid) if not each.deleting]
        return tuple(
            replicasets.observe(each, self._caches.pods.find(namespace, each.uid))
            for each in sorted(ours, key=lambda each: each.revision.number)
        )

    def _runs(self, namespace: str, uid: str) -> tuple[observed.Run, ...]:
        return tuple(each.run for each in self._caches.runs.find(namespace, uid))

    async def _reached(
        self, around: Neighbourhood, service: Manifest, *, live: bool
    ) -> tuple[Iterable[EndpointSlice], Mapping[str, str]]:
        """Endpoints of a Service, and the revision of each pod by its name.

        Where nobody seems to serve and something may be written, the server is asked: on hearsay, such as a
        list that lay about for a while, a healthy version would lose its traffic.
        """
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        slices: Iterable[EndpointSlice] = around.slices.find(namespace, name)
        hashes = self._hashes(namespace, slices)
        revision = services.selected_hash(service) or ""
        if not live or services.read(service, slices, hashes, settled=False).ready_of(revision):
            return slices, hashes
        listing = await self._kube.list(
            kinds.ENDPOINT_SLICES, namespace, labels=f"{endpoints.SERVICE_LABEL}={name}"
        )
        slices = [endpoints.read(each) for each in listing.items]
        hashes = self._hashes(namespace, slices)
        for who in {who for each in slices for who in each.serving} - hashes.keys():
            pod = await self._kube.find(kinds.PODS, namespace, who)
            if pod is not None:
                hashes[who] = pods.read(pod).hash
        return slices, hashes

    def _hashes(self, namespace: str, slices: Iterable[EndpointSlice]) -> dict[str, str]:
        found = (self._caches.pods.get(namespace, who) for each in slices for who in each.serving)
        return {pod.name: pod.hash for pod in found if pod is not None}

    def _service(
        self,
        metadata: Mapping[str, str],
        service: Manifest,
        reached: tuple[Iterable[EndpointSlice], Mapping[str, str]],
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

    async def _template_problems(
        self,
        rollout: Manifest,
        reading: Reading,
        replica_sets: tuple[observed.ReplicaSet, ...],
        now: datetime,
    ) -> tuple[Problem, ...]:
        """What the API server says of the ReplicaSet that a new revision would be, its paths ours."""
        if reading.spec is None or reading.wanted is None or reading.deleted_at is not None:
            return ()
        if any(each.hash == reading.wanted.hash for each in replica_sets):
            return ()
        tried = self.memory.tried_templates.setdefault(rollout["metadata"]["uid"], {})
        held = tried.get(reading.wanted.hash)
        if held is None or not held.stands(now):
            held = Trial(await self.try_template(rollout, reading.wanted.hash), now)
            tried[reading.wanted.hash] = held
        return held.problems

    async def try_template(self, rollout: Manifest, revision: str) -> tuple[Problem, ...]:
        """What a strict dry-run of the ReplicaSet refuses."""
        body = replicasets.render(rollout, replicasets.Revision(revision, 1), 0)
        try:
            await self._kube.create(kinds.REPLICA_SETS, body, dry_run=True)
        except AlreadyExists:
            return ()
        except Invalid as invalid:
            return invalid.problems or (Problem("spec.template", str(invalid)),)
        return ()


def _under_way(reading: Reading) -> bool:
    return reading.deleted_at is not None or reading.status.stage not in (Stage.STABLE, Stage.REFUSED)


def _alone(rollout: Manifest, reading: Reading, why: str) -> Observed:
    """A Rollout of whose surroundings nothing could be read."""
    metadata = rollout["metadata"]
    return Observed(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        resource_version=metadata["resourceVersion"],
        status=reading.status,
        traffic=reading.traffic,
        deleted_at=reading.deleted_at,
        finalized=reading.finalized,
        unread=why,
    )


def _plane(reading: Reading, found: Mapping[str, Manifest]) -> observed.Plane:
    if reading.traffic is None:
        return observed.UNKNOWN_PLANE
    ours = ((found[each.name], each.rule or None) for each in reading.routes if each.name in found)
    return read_plane(ours, reading.traffic.stable_service, reading.traffic.canary_service)


def _seen_routes(reading: Reading, found: Mapping[str, Manifest]) -> tuple[observed.Route, ...]:
    seen = []
    for named in reading.routes:
        manifest = found.get(named.name)
        if manifest is None or reading.traffic is None:
            continue
        told = gateway_api.read(
            manifest, reading.traffic.stable_service, reading.traffic.canary_service, named.rule or None
        )
        seen.append(
            observed.Route(
                kind="HTTPRoute",
                name=named.name,
                rule=named.rule,
                resource_version=manifest["metadata"]["resourceVersion"],
                canary_percent=told.canary_percent,
                exact=told.exact,
                accepted=told.accepted,
                message=told.message,
            )
        )
    return tuple(seen)


def _replicas(reading: Reading, replica_sets: tuple[observed.ReplicaSet, ...]) -> int:
    """spec.replicas; absent keeps the live value of the stable version, else 1."""
    if reading.spec is not None and reading.spec.replicas is not None:
        return reading.spec.replicas
    stable = next((each for each in replica_sets if each.hash == reading.status.stable_rs), None)
    return stable.wanted if stable is not None else max((each.wanted for each in replica_sets), default=1)
