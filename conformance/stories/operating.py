"""The operator itself: what it may do, and that another goes on where it was killed."""

import asyncio
import signal

from conformance import api
from conformance.api import Api
from conformance.manifests import IN_STEPS
from conformance.needs import Need
from conformance.telling import Stage, story

AFTER_A_KILL_S, WHEN_TOLD_S = 25.0, 5.0
FORBIDDEN = (
    *((verb, "", "secrets") for verb in ("get", "list")),
    *((verb, "", "pods") for verb in ("create", "delete")),
    *((verb, "", "nodes") for verb in ("get", "list")),
    ("update", api.OURS, "rollouts"),
    ("create", "", "pods/exec"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("delete", "", "namespaces"),
)


@story(Need.OWN_OPERATOR)
async def least_rights(stage: Stage) -> None:
    """The operator holds the rights of its installation, and no dangerous one"""
    assert stage.crew is not None
    async with await Api.of(stage.crew.kubeconfig) as client:
        for verb, group, resource in FORBIDDEN:
            assert not await client.may(verb, group, resource), f"it may {verb} {resource}"
        assert await client.may("patch", api.GATEWAY, "httproutes")


@story(Need.METRICS, Need.OWN_OPERATOR)
async def handed_over(stage: Stage) -> None:
    """The leader is killed, the next one told to go: each time a standby goes on where it was"""
    crew = stage.crew
    assert crew is not None
    first, second = crew.members[-1], await crew.start()
    await crew.watching(second)
    async with stage.shop() as judged, stage.shop() as paused:
        stage.prometheus.down.add(judged.namespace)
        await asyncio.gather(judged.judged(steps=IN_STEPS, apart=True), paused.at_a_pause())
        await judged.release("v2")
        await judged.weighs(25)
        await first.end(signal.SIGKILL)
        await paused.annotate("promote")
        await crew.leads(second, AFTER_A_KILL_S)
        await paused.acknowledged("promote", "Acted")
        third = await crew.start()
        await crew.watching(third)
        await second.end(signal.SIGTERM)
        await crew.leads(third, WHEN_TOLD_S)
        stage.prometheus.down.remove(judged.namespace)
        await asyncio.gather(judged.serving("v2"), paused.serving("v2"))
        assert judged.weights() == [0, 25, 50, 100, 0], judged.weights()
        assert paused.weights() == [0, 50, 100, 0], paused.weights()
