"""The official client can't tell."""

import asyncio

import pytest
from kubernetes.aio import client, config, watch

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Fault


@pytest.fixture
async def api(cluster):
    await config.load_kube_config(config_file=str(cluster.kubeconfig))
    async with client.ApiClient() as found:
        yield found


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_create_read_replace_list_and_delete(api, namespace):
    core = client.CoreV1Api(api)
    made = await core.create_namespaced_config_map(namespace, config_map("a", k="1"))
    made.data["k"] = "2"
    changed = await core.replace_namespaced_config_map("a", namespace, made)
    assert changed.metadata.resource_version != made.metadata.resource_version
    listed = await core.list_namespaced_config_map(namespace, field_selector="metadata.name=a")
    assert [item.data for item in listed.items] == [{"k": "2"}]
    await core.delete_namespaced_config_map("a", namespace)
    assert (await core.list_namespaced_config_map(namespace)).items == []


async def test_a_stale_replace_is_a_conflict(api, namespace):
    core = client.CoreV1Api(api)
    made = await core.create_namespaced_config_map(namespace, config_map("a", k="1"))
    made.data["k"] = "2"
    await core.replace_namespaced_config_map("a", namespace, made)
    with pytest.raises(client.ApiException) as refused:
        await core.replace_namespaced_config_map("a", namespace, made)
    assert refused.value.status == 409


async def test_a_watch_delivers_from_the_lists_version_on(api, namespace):
    core = client.CoreV1Api(api)
    version = (await core.list_namespaced_config_map(namespace)).metadata.resource_version
    await core.create_namespaced_config_map(namespace, config_map("a", k="1"))
    await core.delete_namespaced_config_map("a", namespace)
    seen = []
    async with watch.Watch() as events:
        stream = events.stream(
            core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=5
        )
        async for event in stream:
            seen.append(event["type"])
            if len(seen) == 2:
                break
    assert seen == ["ADDED", "DELETED"]


async def test_a_watch_from_a_version_before_the_servers_first_is_gone(cluster, api, namespace):
    core = client.CoreV1Api(api)
    async with watch.Watch() as events:
        stream = events.stream(core.list_namespaced_config_map, namespace, resource_version="7")
        with pytest.raises(client.ApiException) as refused:
            await anext(aiter(stream))
    assert refused.value.status == 410


async def test_a_lease_is_taken_by_one_of_two(api, namespace):
    leases = client.CoordinationV1Api(api)
    body = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "one", "leaseDurationSeconds": 15}}
    made = await leases.create_namespaced_lease(namespace, body)
    bids = []
    for who in ("two", "three"):
        bid = api.sanitize_for_serialization(made)
        bid["spec"]["holderIdentity"] = who
        bids.append(leases.replace_namespaced_lease("l", namespace, bid))
    outcomes = await asyncio.gather(*bids, return_exceptions=True)
    assert sorted(getattr(found, "status", 200) for found in outcomes) == [200, 409]


async def test_faults_come_before_the_answer_and_writes_are_counted(cluster, api, namespace):
    core = client.CoreV1Api(api)

    async def busy(request):
        if request.writes and namespace in request.path:
            return Fault(error=ApiError(429, "TooManyRequests", "too many"))
        return None

    before = len(cluster.server.requests.writes(path=namespace))
    cluster.server.fault = busy
    try:
        with pytest.raises(client.ApiException) as refused:
            await core.create_namespaced_config_map(namespace, config_map("a"))
    finally:
        cluster.server.fault = None
    assert refused.value.status == 429
    writes = cluster.server.requests.writes(path=namespace)[before:]
    assert {(entry.method, entry.status) for entry in writes} == {("POST", 429)}
