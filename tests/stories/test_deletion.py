"""A Rollout is deleted, in every stage and whatever else is wrong: traffic is given back, then it goes."""

import asyncio
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import manifests
import pytest
import pytest_asyncio
from chronicle import Chronicle
from crew import Crew
from manifests import CANARY, NAME, STABLE
from prometheus_fake import FakePrometheus
from stage import OPERATOR, ROLLOUTS, ROUTES, RUNS, Shop, ready, side_by_side, until

from rollout.api.status import Phase, Stage
from rollout.plan import leaving
from rollout.sandbox.apiserver.errors import forbidden
from rollout.sandbox.apiserver.local import ApiError
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.apiserver.resource import NAMESPACES, PODS, REPLICA_SETS, SERVICES
from rollout.sandbox.cluster import Sandbox

FINALIZER = "progressive.delivery/traffic"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
PATIENCE = timedelta(seconds=12)
"""In the stories that wait for the end of it; what a minute means is told in virtual time."""

AWAY_S = 30.0
"""For a Rollout that nothing holds up."""

Situation = Callable[[Shop], Awaitable[object]]


async def nothing_owned(shop: Shop) -> None:
    async def reached() -> bool:
        owned = [await shop.every(kind) for kind in (REPLICA_SETS, PODS, RUNS)]
        return not any(owned)

    await until("its ReplicaSets, pods and runs to be gone", reached)


def breaches(told: Chronicle) -> list[str]:
    """What broke an invariant; only here a Service stops to name a revision, and owners take their own."""
    kept = [each for each in told.entries if not (each.kind == REPLICA_SETS.plural and each.gone)]
    found = Chronicle(kept, told.began).broken()
    return [each for each in found if "to all pods" not in each]


def traffic_writes(shop: Shop) -> list[Request]:
    """What the operator wrote to Services, routes and the Rollout itself."""
    named = ("/services/", "/httproutes/", "/rollouts/")
    return [
        each
        for each in shop.writes()
        if any(part in each.path for part in named) and not each.path.endswith("/status")
    ]


async def test_the_finalizer_is_there_before_the_first_selector_is_written(shop: Shop) -> None:
    await shop.healthy()
    first = traffic_writes(shop)[0]
    assert "/rollouts/" in first.path, f"{first.method} {first.path} came first"
    assert (await shop.get(ROLLOUTS))["metadata"]["finalizers"] == [FINALIZER]


async def test_with_the_operator_gone_the_documented_commands_let_it_go(shop: Shop) -> None:
    await at_half(shop)
    _ABSENT.add(shop.namespace)
    shop.sandbox.server.fault = refusing
    await shop.kubectl("delete", "rollouts.progressive.delivery", NAME, "--wait=false")
    documented = re.findall(r"^kubectl patch .*$", OPERATIONS.read_text(), re.MULTILINE)
    assert len(documented) == 3, documented
    for command in documented:
        await shop.kubectl(*shlex.split(command)[1:])
    await shop.gone(ROLLOUTS, seconds=AWAY_S)
    assert [await shop.selected(name) for name in (STABLE, CANARY)] == ["", ""]
    await nothing_owned(shop)


async def healthy(shop: Shop) -> None:
    await shop.healthy()


async def initial(shop: Shop) -> None:
    """The first version has taken the Services over, and does not get all of its pods."""
    image = f"shop:v1-{shop.namespace}"
    await shop.apply(*manifests.traffic(), manifests.rollout(image))
    await shop.told("SwitchService")


async def resetting(shop: Shop) -> None:
    await shop.healthy()
    image = f"shop:v2-{shop.namespace}"
    shop.sandbox.scripts.set("unready", image=image)
    await shop.set_image(image)
    await shop.stage(Stage.RESETTING)


async def at_half(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)


async def promoting(shop: Shop) -> None:
    await shop.healthy(steps=({"setWeight": 50},))
    await shop.set_image("shop:v2")
    await shop.stage(Stage.PROMOTING)


async def serving_all(shop: Shop) -> None:
    await shop.healthy(steps=({"setWeight": 50},))
    await shop.set_image("shop:v2")
    await shop.weighs(100)


async def rolling_back(shop: Shop) -> None:
    await at_half(shop)
    await shop.annotate("abort")
    await shop.stage(Stage.ROLLING_BACK)


async def refused(shop: Shop) -> None:
    await at_half(shop)
    await shop.annotate("abort")
    await shop.phase(Phase.DEGRADED)


async def invalid(shop: Shop) -> None:
    """Its stable Service is renamed under way, and it names a template that does not exist."""
    await at_half(shop)
    canary = {"stableService": "nowhere", "analysis": {"templates": [{"templateName": "nothing"}]}}
    await shop.patch(ROLLOUTS, NAME, {"spec": {"strategy": {"canary": canary}}})
    await shop.holds("InvalidSpec")


SITUATIONS = (
    pytest.param(healthy, id="while it is healthy"),
    pytest.param(initial, id="before its first version serves"),
    pytest.param(resetting, id="before the canary gets anything"),
    pytest.param(at_half, id="in a pause at 50 %"),
    pytest.param(promoting, id="while it is promoted"),
    pytest.param(serving_all, id="while the canary serves all"),
    pytest.param(rolling_back, id="while it is rolled back"),
    pytest.param(refused, id="after it was refused"),
    pytest.param(invalid, id="with an invalid spec"),
)


async def deleted(sandbox: Sandbox, metrics: FakePrometheus, situation: Situation) -> None:
    shop = await Shop.open(sandbox, metrics)
    await situation(shop)
    async with Chronicle.of(shop) as told:
        await shop.delete(ROLLOUTS, NAME)
        await shop.gone(ROLLOUTS, seconds=AWAY_S)
        assert await shop.weight() == 0
        assert [await shop.selected(name) for name in (STABLE, CANARY)] == ["", ""]
        await nothing_owned(shop)
    assert breaches(told) == []
    assert "TrafficNotReturned" not in await shop.reasons()


async def without_route(shop: Shop) -> None:
    await at_half(shop)
    await shop.delete(ROUTES, NAME)
    await shop.delete(ROLLOUTS, NAME)
    await shop.gone(ROLLOUTS, seconds=AWAY_S)
    assert [await shop.selected(name) for name in (STABLE, CANARY)] == ["", ""]


async def without_canary_service(shop: Shop) -> None:
    await at_half(shop)
    await shop.delete(SERVICES, CANARY)
    await shop.delete(ROLLOUTS, NAME)
    await shop.gone(ROLLOUTS, seconds=AWAY_S)
    assert (await shop.weight(), await shop.selected(STABLE)) == (0, "")


async def without_replica_sets(shop: Shop) -> None:
    """Nobody has an endpoint: the weight stays as it is, and a minute ends it."""
    await at_half(shop)
    _FORBIDDEN.add(shop.namespace)  # else the traffic may be given back before they are gone
    await shop.delete(ROLLOUTS, NAME)
    for each in await shop.every(REPLICA_SETS):
        await shop.delete(REPLICA_SETS, each["metadata"]["name"])
    await nobody_ready(shop)
    _FORBIDDEN.remove(shop.namespace)
    await given_up(shop, "no ready endpoints")


async def without_stable_pods(shop: Shop) -> None:
    image = f"shop:v1-{shop.namespace}"
    await shop.healthy(image)
    await shop.set_image("shop:v2")
    await shop.paused(50)
    _FORBIDDEN.add(shop.namespace)  # else the traffic may be given back before they are unready
    await shop.delete(ROLLOUTS, NAME)
    shop.sandbox.scripts.set("unready", image=image)
    await nobody_ready(shop, image)
    _FORBIDDEN.remove(shop.namespace)
    await given_up(shop, "no ready endpoints")


async def nobody_ready(shop: Shop, image: str = "") -> None:
    """Wait until no pod of the image is ready; of any without one."""

    async def reached() -> bool:
        pods = await shop.every(PODS)
        return not any(ready(each) for each in pods if image in each["spec"]["containers"][0]["image"])

    await until("pods not to be ready", reached)


async def without_rights(shop: Shop) -> None:
    """What the operator may not write holds it up for a minute, no longer."""
    await at_half(shop)
    _FORBIDDEN.add(shop.namespace)
    await shop.delete(ROLLOUTS, NAME)
    await given_up(shop, "the route shop gives the canary 50 %")


async def without_a_view(shop: Shop) -> None:
    """Services can't be read, as where their kind or a right is gone."""
    await at_half(shop)
    _UNREADABLE.add(shop.namespace)
    await shop.delete(ROLLOUTS, NAME)
    await given_up(shop, "can't be read")


async def given_up(shop: Shop, why: str) -> None:
    """Wait until it is let go, not before its time; the Event says what could not be done."""
    asked = datetime.fromisoformat((await shop.get(ROLLOUTS))["metadata"]["deletionTimestamp"])
    await shop.gone(ROLLOUTS, seconds=AWAY_S)
    assert why in await shop.told("TrafficNotReturned")
    assert datetime.now(UTC) - asked > PATIENCE


_ABSENT: set[str] = set()
_FORBIDDEN: set[str] = set()
_UNREADABLE: set[str] = set()
BROKEN = (
    pytest.param(without_route, id="its route"),
    pytest.param(without_canary_service, id="its canary Service"),
    pytest.param(without_replica_sets, id="ReplicaSets"),
    pytest.param(without_stable_pods, id="ready stable pods"),
    pytest.param(without_rights, id="rights to write traffic"),
    pytest.param(without_a_view, id="a view of its Services"),
)


async def refusing(request: Request) -> Fault | None:
    """What somebody forbade the operator."""
    if request.user != OPERATOR:
        return None
    namespace = request.path.split("/namespaces/")[-1].split("/")[0]
    traffic = "/httproutes/" in request.path or "/services/" in request.path
    unseen = namespace in _ABSENT or (traffic and namespace in _UNREADABLE)
    if unseen or (traffic and namespace in _FORBIDDEN and request.writes):
        return Fault(error=forbidden("", "services", "", "a story says so"))
    return None


async def broken(sandbox: Sandbox, metrics: FakePrometheus, situation: Situation) -> None:
    await situation(await Shop.open(sandbox, metrics))


async def vanishing(sandbox: Sandbox, metrics: FakePrometheus, situation: Situation) -> None:
    """Its namespace goes: objects vanish in any order, creates are refused."""
    shop = await Shop.open(sandbox, metrics)
    await situation(shop)
    await sandbox.client.delete(NAMESPACES, None, shop.namespace)

    async def reached() -> bool:
        try:
            await sandbox.client.get(NAMESPACES, None, shop.namespace)
        except ApiError as error:
            return error.status == 404
        return False

    await until("the namespace to be gone", reached)


DOOMED = tuple(param for param in SITUATIONS if param.values[0] in (healthy, at_half, serving_all, refused))
Play = Callable[[Sandbox, FakePrometheus, Situation], Awaitable[None]]
Played = dict[tuple[Play, Situation], "asyncio.Task[None]"]
Entitled = list[tuple[Play, Situation]]


def _situations(params: tuple[Any, ...]) -> list[Situation]:
    return [cast("Situation", each.values[0]) for each in params]


async def _play(sandbox: Sandbox, metrics: FakePrometheus, what: tuple[Play, Situation]) -> None:
    play, situation = what
    await play(sandbox, metrics, situation)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(sandbox: Sandbox, metrics: FakePrometheus, operator: Crew) -> AsyncIterator[Played]:
    whole: Entitled = [
        *((deleted, each) for each in _situations(SITUATIONS)),
        *((vanishing, each) for each in _situations(DOOMED)),
    ]
    async with side_by_side(whole, partial(_play, sandbox, metrics)) as tasks:
        yield tasks


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient(sandbox: Sandbox, metrics: FakePrometheus, operator: Crew) -> AsyncIterator[Played]:
    without: Entitled = [(broken, each) for each in _situations(BROKEN)]
    sandbox.server.fault = refusing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaving, "PATIENCE", PATIENCE)
        async with side_by_side(without, partial(_play, sandbox, metrics)) as tasks:
            yield tasks
    sandbox.server.fault = None


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("situation", SITUATIONS)
async def test_a_deleted_rollout_gives_the_traffic_back_and_goes(
    played: Played, situation: Situation
) -> None:
    await played[deleted, situation]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("situation", DOOMED)
async def test_a_namespace_goes_with_its_rollout(played: Played, situation: Situation) -> None:
    await played[vanishing, situation]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("situation", BROKEN)
async def test_a_deletion_ends_without(impatient: Played, situation: Situation) -> None:
    await impatient[broken, situation]
