"""What others do to a Rollout: they edit, delete, misspell and fail."""

import asyncio

from conformance import api
from conformance.manifests import CANARY, HASH, IN_STEPS, NAME, STABLE
from conformance.needs import Need
from conformance.shop import Shop
from conformance.standins import Act
from conformance.telling import Stage, story


@story()
async def invalid_spec_and_abort(stage: Stage) -> None:
    """What can't be served is named with path and remedy, and an abort works meanwhile"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        await _select(shop, CANARY, "something-else")
        message = await shop.holds("InvalidSpec", "app=something-else")
        assert "spec.strategy.canary.canaryService" in message, message
        await shop.annotate("abort")
        await shop.acknowledged("abort", "Acted")
        await shop.weighs(0)
        await _select(shop, CANARY, "shop")
        await shop.over("InvalidSpec")
        await shop.stage("Refused")
        await shop.serving("v1")


async def _select(shop: Shop, service: str, app: str) -> None:
    body = [{"op": "replace", "path": "/spec/selector/app", "value": app}]
    await shop.patch(api.SERVICES, service, body)


@story()
async def what_is_missing(stage: Stage) -> None:
    """A first Rollout waits for what it refers to, and goes on by itself"""
    async with stage.shop() as shop:
        await shop.apply(shop.rollout())
        await shop.holds("InvalidSpec", STABLE)
        await shop.apply(*shop.surroundings())
        await shop.phase("Healthy")


@story()
async def pods_that_the_server_refuses(stage: Stage) -> None:
    """A wrong pod template is named by its place, and the stable version is left alone"""
    async with stage.shop() as shop:
        await shop.healthy()
        container = "/spec/template/spec/containers/0"
        await shop.patch(
            api.ROLLOUTS,
            NAME,
            [
                {"op": "replace", "path": f"{container}/env/0/value", "value": "v2"},
                {"op": "add", "path": f"{container}/imagee", "value": "typo"},
            ],
        )
        await shop.holds("InvalidSpec", "spec.template.spec.containers[0].imagee")
        assert shop.versions == {"v1": 2}, shop.versions
        await shop.patch(api.ROLLOUTS, NAME, [{"op": "remove", "path": f"{container}/imagee"}])
        await shop.paused(50)
        await shop.over("InvalidSpec")


@story(Need.METRICS)
async def metric_outage_holds(stage: Stage) -> None:
    """Without metrics nothing is promoted and nothing goes back"""
    async with stage.shop() as shop:
        await shop.judged(steps=IN_STEPS, apart=True)
        stage.prometheus.down.add(shop.namespace)
        await shop.release("v2")
        await shop.weighs(25)
        await shop.holds("AnalysisBlind")
        await asyncio.sleep(5)
        assert (shop.weight, shop.status["verdict"]) == (25, "Undecided"), shop.sight()
        stage.prometheus.down.remove(shop.namespace)
        await shop.over("AnalysisBlind")
        await shop.serving("v2")


@story()
async def foreign_weight(stage: Stage) -> None:
    """A weight that somebody else writes is undone and told"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        edits = [
            {"op": "replace", "path": f"/spec/rules/0/backendRefs/{at}/weight", "value": weight}
            for at, weight in ((0, 0), (1, 100))
        ]
        await shop.patch(api.ROUTES, NAME, edits)
        await shop.told("WeightDrift")
        await shop.paused(50)
        assert shop.weights() == [0, 50, 100, 50], shop.weights()


@story()
async def foreign_selector(stage: Stage) -> None:
    """A selector that somebody else wipes is restored and told"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        stable = shop.selected(STABLE)
        path = "/spec/selector/rollouts-pod-template-hash"
        await shop.patch(api.SERVICES, STABLE, [{"op": "remove", "path": path}])
        await shop.told("SelectorDrift", STABLE)
        await shop.until("the selector to be restored", lambda: shop.selected(STABLE) == stable)
        await shop.paused(50)


@story()
async def applied_again(stage: Stage) -> None:
    """Route and Services applied again as they stand in Git don't take the traffic along"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        stable, canary = shop.selected(STABLE), shop.selected(CANARY)
        for words in ((), ("--server-side", "--force-conflicts")):
            await shop.apply(*shop.surroundings(), words=words)
            await shop.until("the stable selector", lambda: shop.selected(STABLE) == stable)
            await shop.until("the canary's selector", lambda: shop.selected(CANARY) == canary)
            await shop.paused(50)
        await shop.told("SelectorDrift")


@story()
async def pods_lost(stage: Stage) -> None:
    """Pods of both versions are deleted, and the step goes on with new ones"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        before = {pod["metadata"]["uid"] for pod in shop.mirror.every(api.PODS)}
        await shop.kubectl("delete", "pods", "--selector=app=shop", "--wait=false")

        def new() -> bool:
            pods = shop.mirror.every(api.PODS)
            ready = [pod for pod in pods if api.conditions(pod).get("Ready") == "True"]
            return len(ready) == 3 and not before & {pod["metadata"]["uid"] for pod in pods}

        await shop.until("three new pods", new)
        status = await shop.paused(50)
        assert status["currentStepIndex"] == 1, status


@story()
async def pod_held_by_a_finalizer(stage: Stage) -> None:
    """A pod that is deleted and does not go is replaced, and counts for nothing"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        canary = shop.selected(CANARY)
        pods = [p for p in shop.mirror.every(api.PODS) if p["metadata"]["labels"].get(HASH) == canary]
        name = pods[0]["metadata"]["name"]
        await shop.patch(api.PODS, name, {"metadata": {"finalizers": [f"{api.OURS}/conformance"]}})
        await shop.kubectl("delete", "pod", name, "--wait=false")

        def replaced() -> bool:
            pods = shop.mirror.every(api.PODS)
            ready = [
                p for p in pods if api.conditions(p).get("Ready") == "True" and p["metadata"]["name"] != name
            ]
            return len(ready) == 3

        await shop.until("another pod", replaced)
        await shop.paused(50)
        await shop.patch(api.PODS, name, {"metadata": {"finalizers": None}})
        await shop.until("the pod to be gone", lambda: shop.mirror.get(api.PODS, name) is None)


@story()
async def foreign_size(stage: Stage) -> None:
    """A ReplicaSet that somebody else scales down is scaled up again, and gets nothing without pods"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        name = f"{NAME}-{shop.selected(CANARY)}"
        await shop.patch(api.REPLICA_SETS, name, {"spec": {"replicas": 0}})
        await shop.until("a canary pod", lambda: shop.versions == {"v1": 2, "v2": 1})
        status = await shop.paused(50)
        assert status["currentStepIndex"] == 1, status


@story(Need.SCRIPTED)
async def canary_without_ready_pods(stage: Stage) -> None:
    """A canary whose pods are not ready gets nothing until they are"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        shop.act("v2", Act.UNREADY)
        await shop.weighs(0)
        shop.act("v2", Act.READY)
        status = await shop.paused(50)
        assert status["currentStepIndex"] == 1, status


@story(Need.SCRIPTED)
async def canary_that_crashes(stage: Stage) -> None:
    """A canary whose pods crash under traffic goes back at once"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        shop.act("v2", Act.CRASH)
        await shop.weighs(0)
        status = await shop.phase("Degraded")
        assert status["verdict"] == "RolledBack", status
        await shop.told("CanaryPodsFailed")
        await shop.serving("v1")


@story(Need.SCRIPTED)
async def canary_that_never_gets_ready(stage: Stage) -> None:
    """A canary that never gets ready never gets traffic, and is given up at the deadline"""
    async with stage.shop() as shop:
        await shop.healthy(progressDeadlineSeconds=3, progressDeadlineAbort=True)
        shop.act("v2", Act.UNREADY)
        await shop.release("v2")
        status = await shop.phase("Degraded")
        assert status["verdict"] == "RolledBack", status
        await shop.serving("v1")
        assert shop.weights() == [0], shop.weights()
