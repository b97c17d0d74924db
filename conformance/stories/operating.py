"""The operator itself: what it may do, and that another goes on where it was killed."""

import signal

from conformance import api
from conformance.api import Api
from conformance.manifests import IN_STEPS
from conformance.needs import Need
from conformance.telling import Stage, story

FORBIDDEN = (
    *((verb, "", "secrets") for verb in ("get", "list")),
    *((verb, "", "pods") for verb in ("create", "delete")),
    *((verb, "", "nodes") for verb in ("get", "list")),
    *((verb, api.OURS, "rollouts") for verb in ("update", "delete")),
    ("create", "", "pods/exec"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("delete", "", "namespaces"),
    ("delete", "", "services"),
)


@story(Need.OWN_OPERATOR)
async def least_rights(stage: Stage) -> None:
    """The operator holds the rights of its installation, and no dangerous one"""
    assert stage.crew is not None
    async with await Api.of(stage.crew.kubeconfig) as client:
        for verb, group, resource in FORBIDDEN:
            assert not await client.may(verb, group, resource), f"it may {verb} {resource}"
        assert await client.may("patch", api.GATEWAY, "httproutes")


@story(Need.METRICS, Need.OWN_OPERATOR, alone=True)
async def killed_under_way(stage: Stage) -> None:
    """The operator is killed in the middle of a judgement, and the next one goes on"""
    crew = stage.crew
    assert crew is not None
    async with stage.shop() as shop:
        await shop.judged(steps=IN_STEPS)
        await shop.release("v2")
        await shop.weighs(25)
        await crew.members[-1].end(signal.SIGKILL)
        await crew.leading(await crew.start())
        await shop.serving("v2")
        await shop.phase("Healthy")
        assert shop.weights() == [0, 25, 50, 100, 0], shop.weights()
