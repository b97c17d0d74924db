"""What goes over the wire, and what a refusal becomes."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from faulty import always, configuration, faulty, refused

from rollout.api.errors import Problem, Retry, Stalled
from rollout.kube.client import Kube, WatchEvent
from rollout.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    NotServed,
    Owned,
    Unavailable,
)
from rollout.kube.kinds import HTTP_ROUTES, NAMESPACES, PODS, ROLLOUTS, SERVICES

CAUSE = {"reason": "FieldValueInvalid", "field": "spec.ports[0].port", "message": "Invalid value: 0"}
OWNED = {"reason": "FieldManagerConflict", "field": ".spec.selector", "message": 'conflict with "git"'}
ENDING = {"reason": "NamespaceTerminating", "field": "metadata.namespace", "message": "being terminated"}
TOO_LARGE = "etcdserver: request is too large"
TYPED = (
    "failed to create typed patch object (shop/a; x/v1, Kind=X): .spec.bogus: field not declared in schema"
)
STRICT = 'X in version "v1" cannot be handled as a X: strict decoding error: unknown field "spec.bogus"'


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        pytest.param(400, refused(400, "BadRequest"), Invalid, "told so", id="a bad request"),
        pytest.param(400, refused(400, "BadRequest", STRICT), Invalid, "spec.bogus", id="an unknown field"),
        pytest.param(
            401, refused(401, "Unauthorized"), Forbidden, "renew the credentials", id="unknown to it"
        ),
        pytest.param(
            403,
            refused(403, "Forbidden", name="a"),
            Forbidden,
            "grant our ServiceAccount 'get' on 'services' in namespace 'shop'",
            id="a right that we lack",
        ),
        pytest.param(
            403,
            refused(403, "Forbidden", causes=[ENDING]),
            Unavailable,
            "told so",
            id="a namespace that ends",
        ),
        pytest.param(
            404, refused(404, "NotFound", name="a"), NotFound, 'get services "a" in "shop"', id="not there"
        ),
        pytest.param(
            404, "404 page not found\n", NotServed, "404 page not found", id="a kind that is not served"
        ),
        pytest.param(409, refused(409, "Conflict", name="a"), Conflict, "told so", id="somebody wrote first"),
        pytest.param(
            409, refused(409, "AlreadyExists", name="a"), AlreadyExists, "told so", id="the name is taken"
        ),
        pytest.param(
            409, refused(409, "Conflict", causes=[OWNED]), Owned, "told so", id="others own the fields"
        ),
        pytest.param(410, refused(410, "Expired"), Gone, "told so", id="too old"),
        pytest.param(413, refused(413, "RequestEntityTooLarge"), Invalid, "told so", id="too large"),
        pytest.param(
            422, refused(422, "Invalid"), Conflict, "a test of the patch failed", id="a failed test"
        ),
        pytest.param(422, refused(422, "Invalid", causes=[CAUSE]), Invalid, "told so", id="an invalid field"),
        pytest.param(429, refused(429, "TooManyRequests"), Unavailable, "told so", id="too many requests"),
        pytest.param(500, refused(500, "InternalError"), Unavailable, "told so", id="broken"),
        pytest.param(500, refused(500, "", TOO_LARGE), Invalid, "too large", id="too large to be stored"),
        pytest.param(
            500, refused(500, "", TYPED), Invalid, "spec.bogus", id="an apply that does not fit the schema"
        ),
        pytest.param(501, refused(501), NotServed, "told so", id="not built"),
        pytest.param(503, "upstream gone", Unavailable, "upstream gone", id="a proxy's text"),
    ],
)
async def test_a_refusal_is_named_by_its_remedy(
    status: int, body: Any, error: type[Exception], says: str
) -> None:
    async with faulty(always(status, body)) as server:
        with pytest.raises((Retry, Stalled)) as caught:
            await server.kube.get(SERVICES, "shop", "a")
    assert type(caught.value) is error
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        pytest.param(
            422, refused(422, causes=[CAUSE]), Problem(CAUSE["field"], CAUSE["message"]), id="a cause"
        ),
        pytest.param(
            400,
            refused(400, "", STRICT),
            Problem("spec.bogus", "unknown field", "remove it"),
            id="a strict one",
        ),
        pytest.param(
            500,
            refused(500, "", TYPED),
            Problem("spec.bogus", "field not declared in schema"),
            id="a typed one",
        ),
    ],
)
async def test_an_invalid_object_keeps_its_fields(status: int, body: Any, problem: Problem) -> None:
    async with faulty(always(status, body)) as server:
        with pytest.raises(Invalid) as caught:
            await server.kube.create(SERVICES, {"metadata": {"name": "a", "namespace": "shop"}})
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"Retry-After": "7"}, 7, id="seconds"),
        pytest.param({"Retry-After": "86400"}, 60, id="a day is cut to a minute"),
        pytest.param({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, id="a date that is past"),
        pytest.param({"Retry-After": "Wed, 21 Oct 2115 07:28:00 GMT"}, 60, id="a date that is far"),
        pytest.param({"Retry-After": "later"}, 0, id="neither"),
        pytest.param({}, 0, id="no wish"),
    ],
)
async def test_a_busy_server_is_given_the_time_that_it_asks_for(
    headers: dict[str, str], seconds: int
) -> None:
    async with faulty(always(429, refused(429), headers)) as server:
        with pytest.raises(Unavailable) as caught:
            await server.kube.get(SERVICES, "shop", "a")
    assert caught.value.after == timedelta(seconds=seconds)


async def test_a_server_that_hangs_is_given_up_after_its_time() -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with asyncio.timeout(5), faulty(hang, seconds=0.1) as server:
        with pytest.raises(Unavailable, match="get services"):
            await server.kube.get(SERVICES, "shop", "a")


async def test_a_body_that_never_ends_is_given_up_after_the_same_time() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"metadata":')
        await asyncio.Event().wait()
        return response

    async with asyncio.timeout(5), faulty(drip, seconds=0.2) as server:
        with pytest.raises(Unavailable):
            await server.kube.get(SERVICES, "shop", "a")


async def test_nobody_at_the_port_is_unavailable(unused_tcp_port: int) -> None:
    async with Kube(configuration(unused_tcp_port)) as kube:
        with pytest.raises(Unavailable, match='get services "a" in "shop"') as caught:
            await kube.get(SERVICES, "shop", "a")
    assert caught.value.after == timedelta(0), "who tries again has a back-off"


async def test_an_answer_that_is_no_object_is_unavailable() -> None:
    async with faulty(always(200, "<html>log in</html>")) as server:
        with pytest.raises(Unavailable, match="no object"):
            await server.kube.get(SERVICES, "shop", "a")


async def test_find_says_none_for_what_is_missing() -> None:
    async with faulty(always(404, refused(404, "NotFound", name="a"))) as server:
        assert await server.kube.find(SERVICES, "shop", "a") is None


BODY = {"metadata": {"name": "a", "namespace": "shop", "resourceVersion": "7"}, "status": {"turn": 1}}


async def test_every_write_says_who_writes_and_lets_nothing_unknown_through() -> None:
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    async with faulty(always(200, {"ok": True})) as server:
        kube = server.kube
        await kube.create(SERVICES, BODY, dry_run=True)
        await kube.replace_status(ROLLOUTS, BODY)
        await kube.json_patch(HTTP_ROUTES, "shop", "a", (test,))
        await kube.merge_patch(PODS, "shop", "a", {"metadata": {"annotations": {"x": None}}})
        await kube.apply(SERVICES, BODY, manager="rollout-git", dry_run=True)
        await kube.delete(NAMESPACES, None, "a", uid="u", resource_version="7")
    seen = [
        (each.method, each.path, each.headers["Content-Type"], each.query, each.body) for each in server.sent
    ]
    strict = {"fieldManager": "rollout", "fieldValidation": "Strict"}
    routes = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/a"
    assert seen == [
        ("POST", "/api/v1/namespaces/shop/services", "application/json", strict | {"dryRun": "All"}, BODY),
        (
            "PUT",
            "/apis/progressive.delivery/v1alpha1/namespaces/shop/rollouts/a/status",
            "application/json",
            {"fieldManager": "rollout", "fieldValidation": "Ignore"},
            BODY,
        ),
        ("PATCH", routes, "application/json-patch+json", strict, [test]),
        (
            "PATCH",
            "/api/v1/namespaces/shop/pods/a",
            "application/merge-patch+json",
            strict,
            {"metadata": {"annotations": {"x": None}}},
        ),
        (
            "PATCH",
            "/api/v1/namespaces/shop/services/a",
            "application/apply-patch+yaml",
            {"fieldManager": "rollout-git", "fieldValidation": "Strict", "dryRun": "All", "force": "true"},
            BODY,
        ),
        (
            "DELETE",
            "/api/v1/namespaces/a",
            "application/json",
            {},
            {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": "Background",
                "preconditions": {"uid": "u", "resourceVersion": "7"},
            },
        ),
    ]
    assert {each.headers["Authorization"] for each in server.sent} == {"bearer secret"}


async def test_a_list_is_asked_for_page_by_page_and_its_items_know_their_kind() -> None:
    async def pages(request: web.Request) -> web.StreamResponse:
        first = "continue" not in request.query
        item = {"metadata": {"name": "a" if first else "b"}}
        return web.json_response(
            {"items": [item], "metadata": {"resourceVersion": "9", "continue": "more/+ &" if first else ""}}
        )

    async with faulty(pages) as server:
        listing = await server.kube.list(SERVICES, labels="app in (a, b),!x", fields="metadata.name=a")
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {("v1", "Service")}
    assert listing.resource_version == "9"
    first, second = server.sent
    assert first.path == "/api/v1/services"
    assert first.query == {
        "limit": "500",
        "labelSelector": "app in (a, b),!x",
        "fieldSelector": "metadata.name=a",
    }
    assert second.query == first.query | {"continue": "more/+ &"}


async def test_every_request_is_counted_with_its_outcome(unused_tcp_port: int) -> None:
    counted: list[tuple[str, str, int]] = []

    def count(verb: str, resource: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        counted.append((verb, resource, status))

    async with faulty(always(409, refused(409)), on_request=count) as server:
        with pytest.raises(Conflict):
            await server.kube.replace_status(ROLLOUTS, BODY)
    async with Kube(configuration(unused_tcp_port), on_request=count) as nobody:
        with pytest.raises(Unavailable):
            await nobody.get(SERVICES, "shop", "a")
    assert counted == [("update", "rollouts.progressive.delivery/status", 409), ("get", "services", 0)]


async def test_an_event_tells_people_about_an_object() -> None:
    about = {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
    }
    async with faulty(always(201, {"kind": "Event"})) as server:
        await server.kube.event(about, "RolledBack", "errors 6 %" + "x" * 2000, warning=True)
    (sent,) = server.sent
    assert sent.path == "/api/v1/namespaces/shop/events"
    assert (sent.body["reason"], sent.body["type"]) == ("RolledBack", "Warning")
    assert len(sent.body["message"]) == 1024
    assert sent.body["involvedObject"]["uid"] == "u"
    assert sent.body["metadata"] == {"generateName": "checkout.", "namespace": "shop"}


def watching(*lines: Any, then: str = "end") -> Any:
    """A watch that sends these events, then ends, is cut, or falls silent."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(json.dumps(line).encode() + b"\n")
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        if then == "silent":
            await asyncio.Event().wait()
        return response

    return answer


def added(name: str, version: str = "8", **more: Any) -> dict[str, Any]:
    return {"type": "ADDED", "object": {"metadata": {"name": name, "resourceVersion": version}, **more}}


async def test_a_watch_tells_its_events_in_order_until_the_server_ends_it() -> None:
    large = "x" * 3_000_000
    async with faulty(watching(added("a"), added("b", data=large))) as server:
        events = [event async for event in server.kube.watch(SERVICES, "shop", "7", labels="app=a")]
    assert [event.object["metadata"]["name"] for event in events] == ["a", "b"]
    assert events[1].object["data"] == large
    assert server.sent[0].query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "labelSelector": "app=a",
        "timeoutSeconds": "300",
    }


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        pytest.param(
            watching(added("a"), {"type": "ERROR", "object": refused(410, "Expired")}),
            Gone,
            1,
            id="too old, midway",
        ),
        pytest.param(always(410, refused(410, "Expired")), Gone, 0, id="too old, at once"),
        pytest.param(
            watching({"type": "ERROR", "object": refused(500)}), Unavailable, 0, id="broken, midway"
        ),
        pytest.param(watching(added("a"), then="cut"), Unavailable, 1, id="cut"),
        pytest.param(watching(added("a"), then="silent"), Unavailable, 1, id="silent"),
        pytest.param(watching("what"), Unavailable, 0, id="a line that is no event"),
        pytest.param(always(403, refused(403)), Forbidden, 0, id="a right that we lack"),
    ],
)
async def test_a_watch_that_breaks_says_how(answer: Any, error: type[Exception], told: int) -> None:
    seen: list[WatchEvent] = []

    async def follow(kube: Kube) -> None:
        async for event in kube.watch(SERVICES, None, "7", silence=0.3):
            seen.append(event)  # noqa: PERF401 -- what was told before the break counts

    async with asyncio.timeout(10), faulty(answer) as server:
        with pytest.raises((Retry, Stalled)) as caught:
            await follow(server.kube)
    assert type(caught.value) is error
    assert len(seen) == told
