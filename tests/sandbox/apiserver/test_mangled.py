"""Whatever a client sends, it gets a refusal, not a crash."""

import copy
import gzip
import json
import random
from pathlib import Path

import orjson
import pytest

from rollout.sandbox.apiserver import paths
from rollout.sandbox.apiserver.core import Api
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.local import LocalClient
from rollout.sandbox.apiserver.resource import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES

RECORDED = Path(__file__).parents[2] / "golden" / "golden.jsonl.gz"
ODD = [None, 1, -1, "", [], {}, "x", True, [None], [1], {"a": None}, [{}], [[]], 1.5]
COPIES = 5


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from places(item, (*path, at))


def mangled(body, chance):
    body = copy.deepcopy(body)
    found = [path for path in places(body) if path]
    if not found:
        return chance.choice(ODD[3:6])
    *path, last = chance.choice(found)
    owner = body
    for key in path:
        owner = owner[key]
    if chance.randrange(4):
        owner[last] = chance.choice(ODD)
    else:
        del owner[last]
    return body


async def send(client, step, body):
    named = paths.parse(step["path"])
    if step["method"] == "POST":
        return await client.create(
            named.resource, named.namespace, body, subresource=named.subresource, name=named.name
        )
    if step["method"] == "PUT":
        return await client.replace(
            named.resource, named.namespace, named.name, body, subresource=named.subresource
        )
    media = step["headers"]["Content-Type"]
    return await client.patch(
        named.resource,
        named.namespace,
        named.name,
        body,
        content_type=media,
        subresource=named.subresource,
        force=True,
    )


async def answer(client, step, body):
    """The object, or the Status of the refusal."""
    try:
        return await send(client, step, body)
    except ApiError as refusal:
        return refusal.body()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_mangled_body_is_taken_or_refused_and_never_breaks_the_server(seed):
    chance, client, sent = random.Random(seed), LocalClient(Api()), 0
    with gzip.open(RECORDED, "rt") as held:
        cases = [json.loads(line) for line in held]
    for case in cases:
        await client.create(NAMESPACES, None, {"metadata": {"name": case["namespace"]}})
        for definition in case.get("crds", []):
            await client.create(CUSTOM_RESOURCE_DEFINITIONS, None, definition)
        steps = [
            step
            for step in case["steps"]
            if isinstance(step.get("body"), (dict, list)) and step["method"] != "DELETE"
        ]
        for step in steps:
            for body in (step["body"], *(mangled(step["body"], chance) for _ in range(COPIES))):
                sent += 1
                orjson.dumps(await answer(client, step, body))
    assert sent > 1000
