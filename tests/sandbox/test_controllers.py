"""The controllers on the embedded API, without a kubelet: readiness is what a test writes."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from sandbox_world import eventually, names_of, pods_of, replica_set, service, template

from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.local import ApiError, LocalClient
from rollout.sandbox.apiserver.resource import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Object,
    Resource,
)
from rollout.sandbox.controllers.all import Controllers
from rollout.sandbox.controllers.deployment import limits
from rollout.sandbox.controllers.ownership import matches
from rollout.sandbox.controllers.pods import deletion_rank
from rollout.sandbox.controllers.queue import Queue

NAME = re.compile(r"shop-[bcdfghjklmnpqrstvwxz2456789]{5}")
LONG_AGO = "2020-01-01T00:00:00Z"


@pytest_asyncio.fixture
async def client() -> AsyncIterator[LocalClient]:
    client = LocalClient(Api())
    controllers = Controllers(client, "the authority")
    controllers.start()
    yield client
    await controllers.stop()


async def become(
    client: LocalClient, pod: Object, ready: str = "True", since: str = LONG_AGO, **status: Any
) -> None:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": since}
    body = {"status": {"phase": "Running", "conditions": [condition], **status}}
    await client.patch(PODS, "default", pod["metadata"]["name"], body, subresource="status")


async def count(
    client: LocalClient, field: str, name: str = "shop", resource: Resource = REPLICA_SETS
) -> int:
    found = await client.get(resource, "default", name)
    return int(found.get("status", {}).get(field, 0))


async def pods(client: LocalClient, number: int, app: str = "shop") -> list[Object]:
    async def there() -> bool:
        return len(await pods_of(client, app)) == number

    await eventually(there)
    return await pods_of(client, app)


async def gone(client: LocalClient, resource: Resource, name: str, namespace: str | None = "default") -> None:
    async def absent() -> bool:
        try:
            await client.get(resource, namespace, name)
        except ApiError as refused:
            return refused.status == 404
        return False

    await eventually(absent)


class TestReplicaSet:
    async def test_it_makes_its_pods_once_with_names_labels_and_an_owner(self, client: LocalClient) -> None:
        made = await client.create(REPLICA_SETS, "default", replica_set("shop", 5))
        found = await pods(client, 5)
        await eventually(lambda: count(client, "fullyLabeledReplicas"))
        assert len(await pods_of(client, "shop")) == 5
        for pod in found:
            assert NAME.fullmatch(pod["metadata"]["name"])
            (owner,) = pod["metadata"]["ownerReferences"]
            assert (owner["uid"], owner["controller"]) == (made["metadata"]["uid"], True)

    async def test_a_pod_is_available_only_after_min_ready_seconds(self, client: LocalClient) -> None:
        await client.create(REPLICA_SETS, "default", replica_set("shop", 2, minReadySeconds=1))
        old, fresh = await pods(client, 2)
        await become(client, old)
        await become(client, fresh, since=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        await eventually(lambda: count(client, "readyReplicas"))

        async def both() -> bool:
            return await count(client, "availableReplicas") == 2

        await eventually(both)

    async def test_it_replaces_a_pod_that_is_released(self, client: LocalClient) -> None:
        await client.create(REPLICA_SETS, "default", replica_set("shop"))
        (pod,) = await pods(client, 1)
        name = pod["metadata"]["name"]
        await client.patch(PODS, "default", name, {"metadata": {"labels": {"app": "other"}}})
        (fresh,) = await pods(client, 1)
        assert fresh["metadata"]["name"] != name

        async def free() -> bool:
            return "ownerReferences" not in (await client.get(PODS, "default", name))["metadata"]

        await eventually(free)

    async def test_it_keeps_the_ready_pod_when_it_shrinks(self, client: LocalClient) -> None:
        await client.create(REPLICA_SETS, "default", replica_set("shop", 3))
        found = await pods(client, 3)
        await become(client, found[1])
        await client.patch(REPLICA_SETS, "default", "shop", {"spec": {"replicas": 1}})
        (left,) = await pods(client, 1)
        assert left["metadata"]["name"] == found[1]["metadata"]["name"]

    async def test_a_set_that_wants_none_removes_all(self, client: LocalClient) -> None:
        await client.create(REPLICA_SETS, "default", replica_set("shop", 2))
        await pods(client, 2)
        await client.patch(REPLICA_SETS, "default", "shop", {"spec": {"replicas": 0}})
        await pods(client, 0)

        async def told() -> bool:
            status = (await client.get(REPLICA_SETS, "default", "shop"))["status"]
            return bool(status["replicas"] == 0 and status["observedGeneration"] == 2)

        await eventually(told)

    async def test_scaling_up_and_down_at_once_ends_at_the_last_wish(self, client: LocalClient) -> None:
        await client.create(REPLICA_SETS, "default", replica_set("shop", 1))
        for wish in (7, 2, 9, 4):
            await client.patch(REPLICA_SETS, "default", "shop", {"spec": {"replicas": wish}})
        await pods(client, 4)


def ranked(name: str, **changes: Any) -> Object:
    base: Object = {
        "metadata": {
            "name": name,
            "creationTimestamp": LONG_AGO,
            "annotations": changes.get("annotations", {}),
        },
        "spec": {"nodeName": changes.get("node", "n")},
        "status": {
            "phase": changes.get("phase", "Running"),
            "conditions": [
                {
                    "type": "Ready",
                    "status": changes.get("ready", "True"),
                    "lastTransitionTime": changes.get("since", LONG_AGO),
                }
            ],
            "containerStatuses": [{"restartCount": changes.get("restarts", 0)}],
        },
    }
    if "created" in changes:
        base["metadata"]["creationTimestamp"] = changes["created"]
    return base


LATER = "2024-01-01T00:00:00Z"
COST = "controller.kubernetes.io/pod-deletion-cost"
FIRST_TO_GO = [
    pytest.param({"node": ""}, {}, id="an unscheduled pod before a scheduled one"),
    pytest.param({"phase": "Pending"}, {"ready": "False"}, id="a pending pod before a running one"),
    pytest.param({"ready": "False", "annotations": {COST: "9"}}, {}, id="an unready pod whatever its cost"),
    pytest.param({}, {"annotations": {COST: "9"}}, id="a cheap pod before a dear one"),
    pytest.param({"annotations": {COST: "-1"}}, {"since": LATER}, id="cost before age"),
    pytest.param({"since": LATER}, {"restarts": 4}, id="the one that is ready for a shorter time"),
    pytest.param({"restarts": 4}, {}, id="the one that restarted more often"),
    pytest.param({"created": LATER}, {}, id="the newer one"),
]


@pytest.mark.parametrize(("first", "second"), FIRST_TO_GO)
def test_pods_are_removed_in_the_order_of_kubernetes(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = ranked("one", **first), ranked("other", **second)
    assert deletion_rank(one) < deletion_rank(other)


class TestDeployment:
    async def test_it_rolls_over_without_going_below_what_must_be_available(
        self, client: LocalClient
    ) -> None:
        spec = {"replicas": 4, "selector": {"matchLabels": {"app": "shop"}}, "template": template()}
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}}
        await client.create(DEPLOYMENTS, "default", body | {"spec": spec | {"strategy": strategy}})
        readying = asyncio.create_task(keep_ready(client))
        lowest = Low(client)
        try:
            await eventually(lambda: self.settled(client, 4))
            watching = asyncio.create_task(lowest.watch())
            await client.patch(
                DEPLOYMENTS, "default", "shop", {"spec": {"template": template(image="shop:v2")}}
            )
            await eventually(lambda: self.rolled(client, "shop:v2"))
            watching.cancel()
        finally:
            readying.cancel()
        assert lowest.seen >= 4
        sets, _ = await client.list(REPLICA_SETS, "default")
        assert sorted(s["spec"]["replicas"] for s in sets) == [0, 4]

    async def settled(self, client: LocalClient, number: int) -> bool:
        status = (await client.get(DEPLOYMENTS, "default", "shop")).get("status", {})
        return bool(status.get("availableReplicas") == status.get("updatedReplicas") == number)

    async def rolled(self, client: LocalClient, image: str) -> bool:
        found = await pods_of(client, "shop")
        images = {p["spec"]["containers"][0]["image"] for p in found}
        return images == {image} and await self.settled(client, 4)

    @pytest.mark.parametrize(
        ("surge", "unavailable", "expected"),
        [("25%", "25%", (3, 2)), (1, 0, (1, 0)), (0, 0, (0, 1)), ("0%", "1%", (0, 1))],
    )
    def test_percentages_of_surge_round_up_and_of_unavailable_down(
        self, surge: int | str, unavailable: int | str, expected: tuple[int, int]
    ) -> None:
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        assert limits({"spec": {"replicas": 10, "strategy": {"rollingUpdate": rolling}}}) == expected


async def keep_ready(client: LocalClient) -> None:
    while True:
        for pod in await pods_of(client, "shop"):
            if pod["status"].get("phase") == "Pending":
                await become(client, pod)
        await asyncio.sleep(0.01)


class Low:
    """The fewest ready pods that were seen."""

    def __init__(self, client: LocalClient) -> None:
        self.client = client
        self.seen = 99

    async def watch(self) -> None:
        while True:
            found = await pods_of(self.client, "shop")
            ready = [
                p for p in found if any(c["status"] == "True" for c in p["status"].get("conditions", ()))
            ]
            self.seen = min(self.seen, len(ready))
            await asyncio.sleep(0)


class TestEndpoints:
    async def test_only_ready_pods_with_an_address_are_ready_endpoints(self, client: LocalClient) -> None:
        await client.create(REPLICA_SETS, "default", replica_set("shop", 3))
        await client.create(SERVICES, "default", service("shop", app="shop"))
        first, second, _ = await pods(client, 3)
        await become(client, first, podIP="10.0.0.1")
        await become(client, second, ready="False", podIP="10.0.0.2")

        async def seen() -> bool:
            return await self.slice(client) == {"10.0.0.1": True, "10.0.0.2": False}

        await eventually(seen)
        subsets = (await client.get(ENDPOINTS, "default", "shop"))["subsets"]
        assert [a["ip"] for a in subsets[0]["addresses"]] == ["10.0.0.1"]
        assert [a["ip"] for a in subsets[0]["notReadyAddresses"]] == ["10.0.0.2"]
        assert subsets[0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]

    async def slice(self, client: LocalClient) -> dict[str, bool]:
        slices, _ = await client.list(
            ENDPOINT_SLICES, "default", label_selector="kubernetes.io/service-name=shop"
        )
        found = [e for s in slices for e in s.get("endpoints") or ()]
        return {e["addresses"][0]: e["conditions"]["ready"] for e in found}

    async def test_a_changed_selector_moves_the_endpoints(self, client: LocalClient) -> None:
        for name, address in (("one", "10.0.0.1"), ("two", "10.0.0.2")):
            await client.create(REPLICA_SETS, "default", replica_set(name))
            (pod,) = await pods(client, 1, name)
            await become(client, pod, podIP=address)
        await client.create(SERVICES, "default", service("shop", app="one"))

        async def on(address: str) -> bool:
            return await self.slice(client) == {address: True}

        await eventually(lambda: on("10.0.0.1"))
        await client.patch(SERVICES, "default", "shop", {"spec": {"selector": {"app": "two"}}})
        await eventually(lambda: on("10.0.0.2"))

    async def test_a_service_without_a_selector_is_left_to_others(self, client: LocalClient) -> None:
        await client.create(
            SERVICES, "default", {"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}}
        )
        await client.create(SERVICES, "default", service("witness", app="none"))
        await eventually(lambda: client.get(ENDPOINTS, "default", "witness"))
        assert await self.slice(client) == {}

    async def test_the_slices_and_endpoints_go_with_the_service(self, client: LocalClient) -> None:
        await client.create(SERVICES, "default", service("shop", app="shop"))
        await eventually(lambda: client.get(ENDPOINTS, "default", "shop"))
        await client.delete(SERVICES, "default", "shop")
        await gone(client, ENDPOINTS, "shop")

        async def none() -> bool:
            return not (await client.list(ENDPOINT_SLICES, "default"))[0]

        await eventually(none)


class TestNamespace:
    async def test_each_has_a_service_account_and_the_authority(self, client: LocalClient) -> None:
        await client.create(NAMESPACES, None, {"metadata": {"name": "a"}})
        await eventually(lambda: client.get(SERVICE_ACCOUNTS, "a", "default"))
        found = await eventually(lambda: client.get(CONFIG_MAPS, "a", "kube-root-ca.crt"))
        assert found["data"] == {"ca.crt": "the authority"}

    async def test_a_default_that_somebody_deletes_comes_back(self, client: LocalClient) -> None:
        first = await eventually(lambda: client.get(SERVICE_ACCOUNTS, "default", "default"))
        await client.delete(SERVICE_ACCOUNTS, "default", "default")

        async def fresh() -> bool:
            found = await client.get(SERVICE_ACCOUNTS, "default", "default")
            return bool(found["metadata"]["uid"] != first["metadata"]["uid"])

        await eventually(fresh)

    async def test_a_deleted_one_takes_everything_with_it(self, client: LocalClient) -> None:
        await client.create(NAMESPACES, None, {"metadata": {"name": "a"}})
        await client.create(REPLICA_SETS, "a", replica_set("shop", 2))

        async def made() -> bool:
            return len(await pods_of(client, "shop", "a")) == 2

        await eventually(made)
        await client.delete(NAMESPACES, None, "a")
        await gone(client, NAMESPACES, "a", None)
        assert not (await client.list(PODS, "a"))[0]
        assert not (await client.list(REPLICA_SETS, "a"))[0]


def owned(name: str, owner: Object, kind: str = "ConfigMap", **more: Any) -> Object:
    meta = owner["metadata"]
    ref = {"apiVersion": "v1", "kind": kind, "name": meta["name"], "uid": meta["uid"], **more}
    return {"metadata": {"name": name, "ownerReferences": [ref]}}


class TestGarbage:
    async def owner(self, client: LocalClient, name: str) -> Object:
        return await client.create(CONFIG_MAPS, "default", {"metadata": {"name": name}})

    async def test_a_chain_of_dependents_goes_with_its_head(self, client: LocalClient) -> None:
        head = await self.owner(client, "head")
        middle = await client.create(CONFIG_MAPS, "default", owned("middle", head))
        await client.create(SECRETS, "default", owned("tail", middle))
        await client.delete(CONFIG_MAPS, "default", "head")
        await gone(client, SECRETS, "tail")
        await gone(client, CONFIG_MAPS, "middle")

    async def test_a_dependent_of_two_stays_while_one_owner_lives(self, client: LocalClient) -> None:
        one, two = await self.owner(client, "one"), await self.owner(client, "two")
        body = owned("both", one)
        body["metadata"]["ownerReferences"] += owned("x", two)["metadata"]["ownerReferences"]
        await client.create(SECRETS, "default", body)
        await client.delete(CONFIG_MAPS, "default", "one")

        async def alone() -> bool:
            refs = (await client.get(SECRETS, "default", "both"))["metadata"]["ownerReferences"]
            return [ref["name"] for ref in refs] == ["two"]

        await eventually(alone)
        await client.delete(CONFIG_MAPS, "default", "two")
        await gone(client, SECRETS, "both")

    async def test_the_owner_of_the_foreground_waits_for_a_dependent_that_blocks(
        self, client: LocalClient
    ) -> None:
        head = await self.owner(client, "head")
        held = owned("held", head, blockOwnerDeletion=True)
        held["metadata"]["finalizers"] = ["example.com/wait"]
        await client.create(SECRETS, "default", held)
        await asyncio.sleep(0.1)  # the collector knows the pair
        await client.delete(CONFIG_MAPS, "default", "head", propagation="Foreground")

        async def going() -> bool:
            return "deletionTimestamp" in (await client.get(SECRETS, "default", "held"))["metadata"]

        await eventually(going)
        assert (await client.get(CONFIG_MAPS, "default", "head"))["metadata"]["deletionTimestamp"]
        await client.patch(SECRETS, "default", "held", {"metadata": {"finalizers": None}})
        await gone(client, CONFIG_MAPS, "head")

    async def test_an_owner_of_the_same_name_but_another_uid_is_no_owner(self, client: LocalClient) -> None:
        head = await self.owner(client, "head")
        stranger = {"metadata": {"name": "head", "uid": "00000000-0000-4000-8000-000000000000"}}
        await client.create(SECRETS, "default", owned("mine", head))
        await client.create(SECRETS, "default", owned("stray", stranger))
        await gone(client, SECRETS, "stray")
        assert await client.get(SECRETS, "default", "mine")

    async def test_a_kind_that_is_not_served_counts_as_there(self, client: LocalClient) -> None:
        stranger = {"metadata": {"name": "x", "uid": "00000000-0000-4000-8000-000000000000"}}
        body = owned("kept", stranger, "Widget")
        body["metadata"]["ownerReferences"][0]["apiVersion"] = "example.com/v1"
        await client.create(SECRETS, "default", body)
        await client.create(SECRETS, "default", owned("stray", stranger))
        await gone(client, SECRETS, "stray")
        assert await client.get(SECRETS, "default", "kept")


class TestJob:
    async def test_it_makes_pods_until_enough_succeeded(self, client: LocalClient) -> None:
        made = template("job")
        made["spec"]["restartPolicy"] = "Never"
        spec = {"completions": 3, "parallelism": 2, "template": made}
        await client.create(JOBS, "default", {"metadata": {"name": "job"}, "spec": spec})
        for done in range(3):
            await eventually(lambda: self.active(client))
            pod = (await self.active(client))[0]
            body = {"status": {"phase": "Succeeded"}}
            await client.patch(PODS, "default", pod["metadata"]["name"], body, subresource="status")

            async def counted(number: int = done + 1) -> bool:
                return await count(client, "succeeded", "job", JOBS) == number

            await eventually(counted)
        kinds = [c["type"] for c in (await client.get(JOBS, "default", "job"))["status"]["conditions"]]
        assert kinds == ["SuccessCriteriaMet", "Complete"]
        assert len(await pods_of(client, "job")) == 3

    async def active(self, client: LocalClient) -> list[Object]:
        return [p for p in await pods_of(client, "job") if p["status"]["phase"] == "Pending"]


SELECTORS = [
    pytest.param(None, {"a": "b"}, False, id="no selector selects nothing"),
    pytest.param({}, {"a": "b"}, True, id="an empty one everything"),
    pytest.param({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True, id="labels may be more"),
    pytest.param({"matchLabels": {"a": "b"}}, None, False, id="but not less"),
    pytest.param(
        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {"a": "b"}, True, id="In"
    ),
    pytest.param(
        {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]},
        {},
        True,
        id="NotIn without it",
    ),
    pytest.param({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False, id="Exists"),
    pytest.param(
        {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True, id="DoesNotExist"
    ),
]


@pytest.mark.parametrize(("selector", "labels", "expected"), SELECTORS)
def test_selectors_select(selector: Object | None, labels: Object | None, expected: bool) -> None:
    assert matches(selector, labels) is expected


async def test_a_turn_that_fails_is_taken_again_and_stops_no_other_key() -> None:
    tries: dict[str, int] = {"bad": 0, "good": 0}
    over = asyncio.Event()

    async def turn(key: str) -> float | None:
        tries[key] += 1
        if key == "bad" and tries[key] < 3:
            raise RuntimeError("a defect")
        if tries["bad"] == 3:
            over.set()
        return None

    queue = Queue("test", turn)
    running = asyncio.create_task(queue.run())
    queue.add("bad")
    queue.add("good")
    await asyncio.wait_for(over.wait(), 5)
    running.cancel()
    assert tries == {"bad": 3, "good": 1}


async def test_a_key_asked_for_twice_has_one_turn_and_comes_again_when_it_wants() -> None:
    turns: list[str] = []
    over = asyncio.Event()

    async def turn(key: str) -> float | None:
        turns.append(key)
        if len(turns) == 2:
            over.set()
            return None
        return 0.01

    queue = Queue("test", turn)
    queue.add("a")
    queue.add("a")
    running = asyncio.create_task(queue.run())
    await asyncio.wait_for(over.wait(), 5)
    running.cancel()
    assert turns == ["a", "a"]


async def test_controllers_go_on_after_their_watches_are_cut(client: LocalClient) -> None:
    await client.create(REPLICA_SETS, "default", replica_set("shop", 1))
    first = await pods(client, 1)
    client.api.store.close_watchers()
    await client.patch(REPLICA_SETS, "default", "shop", {"spec": {"replicas": 2}})
    await pods(client, 2)
    client.api.store.close_watchers()
    await client.delete(PODS, "default", first[0]["metadata"]["name"])
    await pods(client, 2)
    assert first[0]["metadata"]["name"] not in await names_of(client, "shop")
