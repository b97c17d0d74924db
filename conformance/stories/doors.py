"""What gets in, and what people see: schemas, rules, defaults, subresources, columns."""

import json

import yaml

from conformance import api, manifests
from conformance.api import Object, Refused
from conformance.kubectl import Failed
from conformance.manifests import NAME
from conformance.mirror import at
from conformance.shop import Shop
from conformance.telling import Stage, story

KIND = api.ROLLOUTS.argument
COLUMNS = ["NAME", "PHASE", "STEP", "WEIGHT", "STABLE", "CANARY", "VERDICT", "GIT", "AGE"]


async def _refused(shop: Shop, change: Object, *said: str, server_side: bool = False) -> None:
    """Expect kubectl to be refused, in words that hold all of `said`."""
    body = shop.rollout("v2")
    body["metadata"] |= change.get("metadata", {})
    body["spec"] |= change.get("spec", {})
    words = ("apply", "--filename=-", *(("--server-side", "--force-conflicts") if server_side else ()))
    told = ""
    try:
        await shop.kubectl(*words, given=yaml.safe_dump(body))
    except Failed as refused:
        told = str(refused)
    assert told, f"{change} was accepted"
    assert all(word in told for word in said), told


@story()
async def wrong_manifests(stage: Stage) -> None:
    """Unknown fields and what can't be meant are refused at the door"""
    async with stage.shop() as shop:
        await shop.healthy()
        unknown = {"spec": {"replicaz": 3}}
        await _refused(shop, unknown, 'unknown field "spec.replicaz"')
        await _refused(shop, unknown, "spec.replicaz", server_side=True)
        canary = shop.rollout()["spec"]["strategy"]["canary"]
        two = {**canary, "steps": [{"setWeight": 5, "pause": {}}]}
        await _refused(shop, {"spec": {"strategy": {"canary": two}}}, "steps[0]")
        high = {**canary, "steps": [{"setWeight": 101}]}
        await _refused(shop, {"spec": {"strategy": {"canary": high}}}, "setWeight")
        await _refused(shop, {"spec": {"selector": {"matchLabels": {"app": "other"}}}}, "spec.selector")
        await _refused(shop, {"metadata": {"name": 46 * "x"}}, "45")
        assert shop.versions == {"v1": 2}, shop.versions


@story()
async def fields_dropped(stage: Stage) -> None:
    """A field that a careless client had dropped is named by an Event"""
    async with stage.shop() as shop:
        await shop.healthy()
        body = shop.rollout("v2")
        body["spec"]["replicaz"] = 3
        await shop.kubectl("apply", "--validate=false", "--filename=-", given=yaml.safe_dump(body))
        await shop.told("FieldsPruned", "spec.replicaz")


@story()
async def defaults_and_subresources(stage: Stage) -> None:
    """Defaults are filled in, status and spec are written by their own doors, /scale works"""
    async with stage.shop() as shop:
        await shop.healthy()
        rollout = await shop.given.api.get(api.ROLLOUTS, shop.namespace, NAME)
        assert at(rollout, "spec", "progressDeadlineSeconds") == 600, rollout["spec"]
        assert at(rollout, "spec", "strategy", "canary", "analysis") is None, rollout["spec"]
        generation = rollout["metadata"]["generation"]
        through = await shop.patch(api.ROLLOUTS, NAME, {"status": {"phase": "Degraded"}})
        assert at(through, "status", "phase") == "Healthy", "a status got in by the main door"
        assert through["metadata"]["generation"] == generation
        path = api.ROLLOUTS.path(shop.namespace, NAME, "scale")
        scale = json.loads(await shop.kubectl("get", "--raw", path))
        assert (at(scale, "spec", "replicas"), at(scale, "status", "replicas")) == (2, 2), scale
        assert "app=shop" in scale["status"]["selector"], scale
        assert "phase" in await _refused_status(shop, {"phase": "Splendid"})


async def _refused_status(shop: Shop, status: Object) -> str:
    """What the API server says to a status; empty where it takes it."""
    try:
        await shop.given.api.patch(api.ROLLOUTS, shop.namespace, NAME, {"status": status}, "status")
    except Refused as refused:
        return str(refused)
    return ""


@story()
async def what_kubectl_shows(stage: Stage) -> None:
    """Printer columns, the short name, explain and describe"""
    async with stage.shop() as shop:
        await shop.at_a_pause()
        head, row = (await shop.kubectl("get", KIND)).strip().splitlines()
        assert head.split() == COLUMNS, head
        assert row.split()[:4] == [NAME, "Paused", "2/2", "50"], row
        named = await shop.kubectl("get", "pro", "--output=name")
        assert named.strip() == f"rollout.{api.OURS}/{NAME}", named
        explained = await shop.kubectl("explain", f"{KIND}.spec.strategy.canary.steps")
        assert "setWeight" in explained, explained
        await shop.told("TrafficWeightUpdated")
        described = await shop.kubectl("describe", KIND)
        assert "TrafficWeightUpdated" in described, described


@story()
async def dry_runs(stage: Stage) -> None:
    """kubectl diff and a server-side dry-run show what would change, and change nothing"""
    async with stage.shop() as shop:
        await shop.healthy()
        before = at(shop.mirror.get(api.ROLLOUTS, NAME), "metadata", "resourceVersion")
        given = yaml.safe_dump(shop.rollout("v2"))
        output = await shop.kubectl("apply", "--dry-run=server", "--filename=-", "--output=yaml", given=given)
        assert manifests.version(yaml.safe_load(output)["spec"]["template"]) == "v2", output
        found = await shop.given.api.get(api.ROLLOUTS, shop.namespace, NAME)
        assert found["metadata"]["resourceVersion"] == before
