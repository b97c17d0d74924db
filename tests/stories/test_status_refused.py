"""A status that the server refuses, or keeps in part, never stands in the way back."""

import asyncio
import copy

import pytest
from manifests import JUDGED, NAME, errors, rollout, traffic
from prometheus_fake import FakePrometheus, Mode
from stage import LONG_S, OPERATOR, ROLLOUTS, Shop

from rollout.api.crd import all_crds
from rollout.api.status import Phase, Stage
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.cluster import Sandbox

pytestmark = pytest.mark.usefixtures("lone_operator")

GATED = ({"setWeight": 50}, {"judge": {"minDuration": "1s", "maxDuration": "5m"}})
HALF = ({"setWeight": 50}, {"pause": {}})
FORGOTTEN = (
    ("intent",),
    ("turn",),
    ("stage", "stageSince"),
    ("canary.desiredWeight",),
    ("refused", "history"),
)
"""What the CRD does not know any more when somebody aborts."""
TOO_LARGE = (
    ApiError(413, "RequestEntityTooLarge", "limit is 3145728"),
    ApiError(500, "InternalError", "etcdserver: request is too large"),
)


def definition() -> Object:
    return copy.deepcopy(all_crds()["rollouts.yaml"])


def without(*fields: str) -> Object:
    """The CRD as it was before the status had these fields."""
    made = definition()
    for field in fields:
        schema = _status(made)
        *above, last = field.split(".")
        for key in above:
            schema = schema["properties"][key]
        del schema["properties"][last]
    return made


def narrow(most: int) -> Object:
    """A CRD that takes so many fields of a status and no more."""
    made = definition()
    _status(made)["maxProperties"] = most
    return made


def _status(made: Object) -> Object:
    found: Object = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return found


async def half_way(
    sandbox: Sandbox, judge: FakePrometheus, image: str = "shop:v2", *, judged: bool = False
) -> Shop:
    """A canary at 50 %: paused, or blind at its judgement."""
    shop = await Shop.open(sandbox, judge)
    if judged:
        judge.modes[shop.namespace] = Mode.DOWN
        await shop.apply(errors(judge.url))
    await shop.apply(*traffic(), rollout(steps=GATED if judged else HALF, canary=JUDGED if judged else None))
    await shop.phase(Phase.HEALTHY)
    await shop.set_image(image)
    await (shop.weighs(50) if judged else shop.paused(50))
    return shop


async def abort(shop: Shop) -> None:
    await shop.patch(ROLLOUTS, NAME, {"metadata": {"annotations": {"progressive.delivery/abort": "a story"}}})


async def ended(shop: Shop, *, intent: bool = True) -> None:
    """As every rollback ends, once the server keeps the status again."""
    await shop.serving("shop:v1")
    status = await shop.phase(Phase.DEGRADED)
    assert status.stage is Stage.REFUSED
    assert [each.hash for each in status.refused] == [status.current_pod_hash]
    if intent:
        assert status.intent is not None
        assert (status.intent.state, status.intent.outcome) == ("Cleared", "Acted")


async def test_an_old_crd_holds_what_goes_forward_and_not_what_goes_back(
    lonely: Sandbox, judge: FakePrometheus
) -> None:
    opening = [half_way(lonely, judge) for _ in FORGOTTEN]
    bad, forward, *aborted = await asyncio.gather(
        half_way(lonely, judge, "shop:v2-bad", judged=True), half_way(lonely, judge), *opening
    )
    for shop, fields in zip(aborted, FORGOTTEN, strict=True):
        await lonely.load([without(*fields)])
        await abort(shop)
        await shop.weighs(0)
        message = await shop.told("CRDOutdated", f"status.{sorted(fields)[0]}")
        assert "apply `rollout crds`" in message

    await lonely.load([without("evidence")])
    skip = {"metadata": {"annotations": {"progressive.delivery/promote-full": "a story"}}}
    await forward.patch(ROLLOUTS, NAME, skip)
    judge.modes.pop(bad.namespace)
    # What people read is all that is lost: those that wait may go the whole way back, too.
    await asyncio.gather(*(shop.serving("shop:v1") for shop in (bad, *aborted)))
    await bad.told("CRDOutdated", "status.evidence")
    assert await forward.weight() == 50
    await asyncio.gather(*(shop.phase(Phase.DEGRADED) for shop in (bad, *aborted)))
    written = len(forward.writes()) + len(bad.writes())
    await asyncio.sleep(1)
    assert len(forward.writes()) + len(bad.writes()) <= written + 2, "what is lost is no news"

    await lonely.load([definition()])
    ends = [ended(shop) for shop in aborted]
    await asyncio.gather(ended(bad, intent=False), forward.serving("shop:v2"), *ends)


async def at_rest(shop: Shop) -> int:
    """Its writes, once a while brought no more."""
    written = -1
    async with asyncio.timeout(LONG_S):
        while written != (now := len(shop.writes())):
            written = now
            await asyncio.sleep(2)
    return written


async def test_an_abort_needs_no_status_that_the_server_takes_whole_or_at_all(
    lonely: Sandbox, judge: FakePrometheus
) -> None:
    """One is taken in its least form, two are taken in none, and of one no checkpoint is taken."""
    opening = [half_way(lonely, judge) for _ in TOO_LARGE]
    blind, least, *refused = await asyncio.gather(
        half_way(lonely, judge, judged=True), half_way(lonely, judge), *opening
    )
    errors = {shop.namespace: error for shop, error in zip(refused, TOO_LARGE, strict=True)}

    async def too_large(request: Request) -> Fault | None:
        kind = "analysisruns" if f"/{blind.namespace}/" in request.path else "rollouts"
        if request.user != OPERATOR or request.method != "PUT" or f"/{kind}/{NAME}" not in request.path:
            return None
        found = [error for name, error in errors.items() if f"/{name}/" in request.path]
        return Fault(error=found[0]) if found else None

    errors[blind.namespace] = TOO_LARGE[0]
    lonely.server.fault = too_large
    judge.modes.pop(blind.namespace)
    await blind.holds("AnalysisBlind", "the evidence can't be saved")
    whole = len((await least.get(ROLLOUTS))["status"])
    await lonely.load([narrow(whole - 3)])
    await asyncio.gather(*(abort(shop) for shop in (blind, least, *refused)))
    await asyncio.gather(*(shop.weighs(0) for shop in (blind, least, *refused)))

    await asyncio.gather(ended(least), ended(blind))
    status = await least.status()
    assert (status.reduced_since is not None, status.evidence, status.conditions) == (True, (), ())
    await least.told("StatusReduced", "Too many")
    written = await at_rest(least)
    for shop, error in zip(refused, TOO_LARGE, strict=True):
        await shop.told("StatusRefused", error.message)
        assert (await shop.status()).stage is Stage.STEPPING
        assert "progressive.delivery/abort" in (await shop.get(ROLLOUTS))["metadata"]["annotations"]
    lonely.server.fault = None
    await asyncio.gather(*(ended(shop) for shop in refused))
    assert len(least.writes()) == written, "it is at rest"
    await lonely.load([definition()])
