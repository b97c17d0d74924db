"""Several who may lead, on a real API server over real connections, on terms of a few seconds.

The stories mostly wait, so they are played side by side, each in a namespace of its own.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rollout.kube.client import Kube
from rollout.kube.errors import NotLeading
from rollout.kube.kinds import LEASES, NAMESPACES, SERVICES
from rollout.kube.lease import Leases
from rollout.kube.login import login
from rollout.operator.election import Terms
from rollout.operator.leadership import Leadership, Told, names
from rollout.operator.tenure import guard
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.apiserver.server import ApiServer

TERMS = Terms(lease=6.0, deadline=5.0, retry=0.5)
"""Far apart: a machine that is busy for a second or two must not take a lease from anybody."""
LONG_S = 120.0


@dataclass(slots=True)
class Member:
    """One replica."""

    name: str
    leadership: Leadership
    kube: Kube
    """Guarded, as the one that turns write by."""
    refusal: str = ""
    heard: list[str] = field(default_factory=list)
    _task: "asyncio.Task[None] | None" = None

    @property
    def shards(self) -> set[int]:
        return {shard for shard in range(16) if self.leadership.tenure(shard)}

    def begin(self) -> None:
        self._task = asyncio.create_task(self.leadership.run())

    async def die(self) -> None:
        """Nothing more is heard of it."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def leave(self) -> None:
        await self.die()
        await self.leadership.resign()


Faults = Callable[[Request], Fault | None]


@dataclass(slots=True)
class Place:
    """A namespace of one API server, and who takes part there."""

    kubeconfig: Path
    home: str
    faults: dict[str, Faults]
    """Of all places: asked in turn about each request of theirs."""
    stack: AsyncExitStack
    members: list[Member] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)

    async def join(self, name: str, shards: int = 1, *, namespace: str = "") -> Member:
        """One more replica."""
        me = f"{name}.{self.home}"
        kube, guarded = await self._client(me), await self._client(me, guard=guard)
        leases = Leases(kube, namespace or self.home, "rollout", shards, TERMS.lease)
        heard: list[str] = []

        async def leaving(shard: int) -> None:
            heard.append(f"leaving {shard}")

        told = Told(
            lambda shard: heard.append(f"gained {shard}"),
            leaving,
            lambda shard: heard.append(f"lost {shard}"),
        )
        leadership = Leadership(leases, me, names("rollout", shards), TERMS, told, lambda: member.refusal)
        member = Member(me, leadership, guarded, heard=heard)
        self.members.append(member)
        member.begin()
        return member

    async def _client(self, me: str, **words: Any) -> Kube:
        configuration = await login(str(self.kubeconfig))
        client = Kube(configuration, seconds=TERMS.deadline / 2, identity=me, **words)
        return await self.stack.enter_async_context(client)

    async def person(self) -> Kube:
        """Somebody with kubectl."""
        return await self.stack.enter_async_context(Kube(await login(str(self.kubeconfig))))

    def who_leads(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for member in self.members:
            for shard in member.shards:
                found.setdefault(shard, []).append(member.name)
        return found

    async def until(self, condition: Callable[[], bool]) -> float:
        """Wait, and note whenever two lead the same shard meanwhile; the seconds that it took."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(LONG_S):
            while not condition():
                led = self.who_leads()
                self.overlaps += [f"{who} lead {shard}" for shard, who in led.items() if len(who) > 1]
                await asyncio.sleep(0.02)
        return asyncio.get_running_loop().time() - began

    async def lease(self) -> dict[str, Any]:
        found: dict[str, Any] = await (await self.person()).get(LEASES, self.home, "rollout")
        return found

    def cut_off(self, *members: Member) -> None:
        """Nothing that these ask is answered."""
        names = [member.name for member in members]
        self.strike(lambda request: Fault(cut=True) if any(n in request.agent for n in names) else None)

    def strike(self, fault: Faults) -> None:
        self.faults[self.home] = lambda request: fault(request) if self.home in request.agent else None

    def mend(self) -> None:
        self.faults.pop(self.home, None)


Story = Callable[[Place], Coroutine[Any, Any, None]]
STORIES: dict[str, Story] = {}


def story(told: Story) -> Story:
    STORIES[told.__name__.replace("_", " ")] = told
    return told


async def play(told: Story, place: Place) -> None:
    try:
        await told(place)
        assert place.overlaps == []
    finally:
        place.mend()
        await asyncio.gather(*(member.die() for member in place.members))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[str, "asyncio.Task[None]"]]:
    faults: dict[str, Faults] = {}

    async def fault(request: Request) -> Fault | None:
        return next((found for each in tuple(faults.values()) if (found := each(request))), None)

    kubeconfig = tmp_path_factory.mktemp("leadership") / "kubeconfig"
    async with ApiServer() as server, AsyncExitStack() as stack:
        kubeconfig.write_text(server.kubeconfig(None))
        server.fault = fault
        tasks: dict[str, asyncio.Task[None]] = {}
        async with Kube(await login(str(kubeconfig))) as admin:
            for number, (name, told) in enumerate(STORIES.items()):
                await admin.create(NAMESPACES, namespace(f"home-{number:02}"))
                place = Place(kubeconfig, f"home-{number:02}", faults, stack)
                tasks[name] = asyncio.create_task(play(told, place))
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(home: str) -> dict[str, Any]:
    metadata = {"generateName": "s-", "namespace": home}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}


@story
async def one_leads_and_says_so_on_its_lease(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    second = await at.join("second")
    await asyncio.sleep(2.5 * TERMS.lease)
    assert at.who_leads() == {0: [first.name]}
    assert (first.heard, second.heard) == (["gained 0"], [])
    spec = (await at.lease())["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == (first.name, TERMS.lease)
    assert spec["renewTime"] > spec["acquireTime"]
    assert spec["leaseTransitions"] == 0


@story
async def whoever_leaves_hands_over_at_once(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    second = await at.join("second")
    await asyncio.sleep(TERMS.retry)
    await first.leave()
    assert await at.until(lambda: second.shards == {0}) < TERMS.lease / 2, "it waited for who had left"
    assert first.heard == ["gained 0", "leaving 0", "lost 0"]
    assert (await at.lease())["spec"]["leaseTransitions"] == 1


@story
async def whoever_leaves_alone_frees_its_lease(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    await first.leave()
    assert (await at.lease())["spec"].get("holderIdentity", "") == ""


@story
async def a_leader_that_is_gone_is_waited_for_the_whole_lease_and_no_longer(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    second = await at.join("second")
    await asyncio.sleep(TERMS.retry)
    await first.die()
    at.members.remove(first)
    waited = await at.until(lambda: second.shards == {0})
    assert TERMS.lease - 2 * TERMS.retry <= waited <= 2 * TERMS.lease


@story
async def whoever_is_started_again_in_its_place_need_not_wait_for_itself(at: Place) -> None:
    first = await at.join("pod-1")
    await at.until(lambda: first.shards == {0})
    await first.die()
    at.members.remove(first)
    again = await at.join("pod-1")
    assert await at.until(lambda: again.shards == {0}) < TERMS.lease / 2


@story
async def a_leader_that_is_cut_off_writes_nothing_after_its_deadline(at: Place) -> None:
    leader = await at.join("first")
    await at.until(lambda: leader.shards == {0})
    other = await at.join("second")
    tenure = leader.leadership.tenure(0)
    assert tenure is not None
    at.cut_off(leader)
    await at.until(lambda: other.shards == {0})
    at.mend()
    assert leader.shards == set()
    with tenure.at_work(), pytest.raises(NotLeading):
        await leader.kube.create(SERVICES, service(at.home))
    now = other.leadership.tenure(0)
    assert now is not None
    with now.at_work():
        await other.kube.create(SERVICES, service(at.home))
    await at.until(lambda: leader.heard[-1] == "lost 0")


@story
async def what_is_written_outside_a_turn_is_not_written(at: Place) -> None:
    leader = await at.join("first")
    await at.until(lambda: leader.shards == {0})
    with pytest.raises(NotLeading):
        await leader.kube.create(SERVICES, service(at.home))


@story
async def all_who_were_cut_off_go_on_when_the_server_is_back(at: Place) -> None:
    first, second = await at.join("first"), await at.join("second")
    await at.until(lambda: bool(at.who_leads()))
    at.cut_off(first, second)
    await at.until(lambda: not at.who_leads())
    await asyncio.sleep(TERMS.lease)
    at.mend()
    await at.until(lambda: bool(at.who_leads()))


@story
async def a_leader_whose_answers_are_lost_keeps_its_lease(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    lost: list[str] = []

    def loses(request: Request) -> Fault | None:
        if request.method != "PATCH" or len(lost) == 2:
            return None
        lost.append(request.path)
        return Fault(cut=True, after=True)

    at.strike(loses)
    await at.until(lambda: len(lost) == 2)
    await asyncio.sleep(TERMS.lease)
    assert first.heard == ["gained 0"]


async def every_second_renewal_is_refused(at: Place, status: int, reason: str) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    heard: list[str] = []

    def refuses(request: Request) -> Fault | None:
        if request.method != "PATCH":
            return None
        heard.append(request.path)
        return Fault(error=ApiError(status, reason, "no")) if len(heard) % 2 else None

    at.strike(refuses)
    await asyncio.sleep(2 * TERMS.lease)
    assert len(heard) > 3
    assert first.heard == ["gained 0"]


@story
async def a_renewal_in_conflict_is_tried_again(at: Place) -> None:
    await every_second_renewal_is_refused(at, 409, "Conflict")


@story
async def a_server_that_sees_conflicts_everywhere_is_not_hammered(at: Place) -> None:
    asked: list[str] = []

    def refuses(request: Request) -> Fault | None:
        if not request.writes:
            return None
        asked.append(request.path)
        return Fault(error=ApiError(409, "Conflict", "no"))

    at.strike(refuses)
    await at.join("first")
    await asyncio.sleep(2 * TERMS.lease)
    assert 0 < len(asked) <= 2 * 2 * TERMS.lease / TERMS.retry


@story
async def a_renewal_that_a_busy_server_refuses_is_tried_again(at: Place) -> None:
    await every_second_renewal_is_refused(at, 503, "ServiceUnavailable")


@story
async def what_others_note_on_a_lease_takes_it_from_nobody(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    person = await at.person()
    for number in range(5):
        note = {"metadata": {"annotations": {"note": str(number)}}}
        await person.merge_patch(LEASES, at.home, "rollout", note)
        await asyncio.sleep(TERMS.retry / 2)
    await asyncio.sleep(TERMS.lease)
    assert first.heard == ["gained 0"]
    assert (await at.lease())["metadata"]["annotations"]["note"] == "4"


@story
async def a_lease_that_somebody_deletes_is_lost_and_made_again(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    await (await at.person()).delete(LEASES, at.home, "rollout")
    await at.until(lambda: first.heard == ["gained 0", "lost 0", "gained 0"])


@story
async def a_lease_that_somebody_takes_is_lost_until_he_is_heard_of_no_more(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    theft = {"spec": {"holderIdentity": "thief"}}
    await (await at.person()).merge_patch(LEASES, at.home, "rollout", theft)
    await at.until(lambda: first.heard == ["gained 0", "lost 0"])
    assert await at.until(lambda: first.shards == {0}) > TERMS.lease / 2


@story
async def a_lease_that_is_not_labelled_is_respected_and_taken_in_time(at: Place) -> None:
    person = await at.person()
    metadata = {"name": "rollout", "namespace": at.home}
    spec = {"holderIdentity": "stranger", "leaseDurationSeconds": int(TERMS.lease)}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    await person.create(LEASES, lease)
    first = await at.join("first")
    assert await at.until(lambda: first.shards == {0}) > TERMS.lease / 2


@story
async def nobody_leads_while_something_speaks_against_it(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    second = await at.join("second")
    second.refusal = "CRDOutdated"
    await first.leave()
    await asyncio.sleep(TERMS.lease)
    assert at.who_leads() == {}
    second.refusal = ""
    await at.until(lambda: second.shards == {0})


@story
async def whoever_leaves_just_when_it_hears_something_goes_all_the_same(at: Place) -> None:
    first = await at.join("first")
    await at.until(lambda: first.shards == {0})
    for ticks in range(6):
        second = await at.join(f"second-{ticks}")
        await asyncio.sleep(TERMS.retry)
        second.leadership._heard[0].set()
        for _ in range(ticks):
            await asyncio.sleep(0)
        async with asyncio.timeout(LONG_S):
            await second.die()


@story
async def without_a_namespace_nobody_leads_until_there_is_one(at: Place) -> None:
    later = f"{at.home}-later"
    first = await at.join("first", namespace=later)
    await asyncio.sleep(4 * TERMS.retry)
    assert first.shards == set()
    await (await at.person()).create(NAMESPACES, namespace(later))
    await at.until(lambda: first.shards == {0})


@story
async def several_share_the_shards_evenly_as_they_come_and_go(at: Place) -> None:
    def even() -> bool:
        counts = [len(member.shards) for member in at.members]
        return sum(counts) == 5 and max(counts) - min(counts) <= 1

    first = await at.join("first", shards=5)
    await at.until(even)
    second = await at.join("second", shards=5)
    await at.until(even)
    third = await at.join("third", shards=5)
    await at.until(even)
    await second.leave()
    at.members.remove(second)
    await at.until(even)
    await third.die()
    at.members.remove(third)
    await at.until(even)
    assert first.shards == {0, 1, 2, 3, 4}
    assert max(Counter(first.heard).values()) <= 4, "shards went to and fro"


async def they_divide_the_work_differently(at: Place, fewer: int, more: int) -> None:
    few, many = await asyncio.gather(at.join("few", fewer), at.join("many", more))
    mixed: list[object] = []

    def settled() -> bool:
        if few.shards and many.shards:
            mixed.append(at.who_leads())
        return len(few.shards) == fewer or len(many.shards) == more

    await at.until(settled)
    leader, other, wanted = (few, many, more) if few.shards else (many, few, fewer)
    await asyncio.sleep(TERMS.lease)
    assert other.shards == set()
    await leader.leave()
    at.members.remove(leader)
    await at.until(lambda: len(other.shards) == wanted)
    assert mixed == []


@story
async def one_shard_and_two_shards_are_never_worked_on_at_once(at: Place) -> None:
    await they_divide_the_work_differently(at, 1, 2)


@story
async def two_shards_and_three_shards_are_never_worked_on_at_once(at: Place) -> None:
    await they_divide_the_work_differently(at, 2, 3)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", STORIES)
async def test_that(played: dict[str, "asyncio.Task[None]"], name: str) -> None:
    await played[name]
