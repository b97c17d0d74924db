"""A Prometheus at the border: counters of a scripted world, answered as Prometheus answers instant queries.

It knows selectors (`name{label="value"}`), with a range (`[60000ms]`) or without, and `count(...)`, which is
all that the operator and the stories ask. What it does for one namespace may be scripted, so that stories can
share it.
"""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

Labels = dict[str, str]
Sample = tuple[float, float]

_QUERY = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)?\s*(?:\{(?P<matchers>.*)\})?(?:\[(?P<span>\d+)ms\])?", re.DOTALL
)
_COUNT = re.compile(r"count(?: by \((?P<by>\w+)\))?\s*\((?P<of>.*)\)", re.DOTALL)
_MATCHER = re.compile(r'(?P<label>\w+)(?P<op>=~|!~|!=|=)"(?P<value>(?:[^"\\]|\\.)*)"')
_NAMESPACES = re.compile(r'namespace=~?"([^"]+)"')
EDGES = (0.1, 0.3, math.inf)
SCRAPE_S = 1
LOOKBACK_MS = 300_000


class Mode(StrEnum):
    """What it does instead of answering well."""

    DOWN = "down"  # the connection is cut
    FAILING = "failing"  # 503
    SLOW = "slow"  # no answer for longer than anybody waits
    NAN = "NaN"  # samples that are no numbers
    EMPTY = "empty"  # no series
    PARTIAL = "partial"  # an answer with warnings
    REFUSING = "refusing"  # 400 bad_data
    SEVERAL = "several"  # each series twice, by different instances


@dataclass(frozen=True, slots=True)
class Target:
    """A pod that is scraped each second: `rate` requests a second since `began` (Unix time), a share of
    `errors` in them.
    """

    namespace: str
    pod: str
    began: float
    rate: float = 500.0
    errors: float = 0.01


Targets = Callable[[], Awaitable[Iterable[Target]]]


class FakePrometheus:
    """The server; `modes` says what it does for a namespace, and '' for all others."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self.modes: dict[str, Mode] = {}
        self.asked: list[str] = []
        """Queries, as they came."""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/query", self._answer)
        app.router.add_get("/api/v1/query", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _mode(self, query: str) -> Mode | None:
        """What it does for any of the namespaces that a query names: the operator asks for many at once."""
        found = _NAMESPACES.search(query.replace("\\", ""))
        named = (self.modes.get(name) for name in (found[1].split("|") if found else ()))
        return next((mode for mode in named if mode is not None), self.modes.get(""))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        given = {**request.query, **await request.post()}
        query, at = str(given.get("query", "")), float(str(given.get("time", "nan")))
        self.asked.append(query)
        mode = self._mode(query)
        match mode:
            case Mode.DOWN:
                assert request.transport is not None
                request.transport.abort()
                raise web.HTTPServiceUnavailable
            case Mode.FAILING:
                return _error(503, "unavailable", "the head is not ready")
            case Mode.SLOW:
                await asyncio.sleep(60)
            case Mode.REFUSING:
                return _error(400, "bad_data", 'invalid parameter "query": 1:1: parse error: unexpected end')
        try:
            data = evaluate(query, at, [one for one in await self._targets() if mode is not Mode.EMPTY], mode)
        except (ValueError, re.error) as error:
            return _error(400, "bad_data", str(error))
        warnings = {"warnings": ["one of two stores did not answer"]} if mode is Mode.PARTIAL else {}
        return web.json_response({"status": "success", "data": data, **warnings})


def _error(status: int, kind: str, message: str) -> web.Response:
    body = {"status": "error", "errorType": kind, "error": message}
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")


def evaluate(query: str, at: float, targets: Iterable[Target], mode: Mode | None = None) -> dict[str, object]:
    """The `data` of an answer. Raises ValueError for what it does not know."""
    counted = _COUNT.fullmatch(query)
    if counted:
        return _vector(_select(counted["of"], at, targets, mode), counted["by"], at)
    found = _QUERY.fullmatch(query)
    if found is None or not (found["name"] or found["matchers"]):
        raise ValueError(f"1:1: parse error: {query!r}")
    if found["span"] is None:
        return _newest(_select(query, at, targets, mode))
    result = [
        {"metric": labels, "values": [[time, _text(value)] for time, value in samples]}
        for labels, samples in _select(query, at, targets, mode)
    ]
    return {"resultType": "matrix", "result": result}


def _newest(series: list[tuple[Labels, list[Sample]]]) -> dict[str, object]:
    result = [{"metric": labels, "value": [at, _text(value)]} for labels, [*_, (at, value)] in series]
    return {"resultType": "vector", "result": result}


def _vector(series: list[tuple[Labels, list[Sample]]], by: str | None, at: float) -> dict[str, object]:
    groups: dict[str, int] = {}
    for labels, _ in series:
        groups[labels.get(by, "") if by else ""] = groups.get(labels.get(by, "") if by else "", 0) + 1
    result = [{"metric": {by: key} if by else {}, "value": [at, str(count)]} for key, count in groups.items()]
    return {"resultType": "vector", "result": result}


def _select(
    query: str, at: float, targets: Iterable[Target], mode: Mode | None
) -> list[tuple[Labels, list[Sample]]]:
    """Series that match, each with its samples in `(at - span, at]`; those without one are left out."""
    found = _QUERY.fullmatch(query.strip())
    if found is None or not (found["name"] or found["matchers"]):
        raise ValueError(f"1:1: parse error: {query!r}")
    span = int(found["span"] or LOOKBACK_MS) / 1000
    matchers = _matchers(found["matchers"] or "")
    if found["name"]:
        matchers.append(("__name__", "=", found["name"]))
    selected = []
    for target in targets:
        first = max(math.floor(at - span) + 1, math.ceil(target.began) + SCRAPE_S)
        times = [float(time) for time in range(first, math.floor(at) + 1, SCRAPE_S)]
        for labels, value in _series(target, mode):
            if times and all(_matches(labels, *matcher) for matcher in matchers):
                selected.append((labels, [(time, value(time)) for time in times]))
    return selected


def _series(target: Target, mode: Mode | None) -> Iterable[tuple[Labels, Callable[[float], float]]]:
    """All series of one target; a counter is a function of time, so that two answers never disagree."""
    where = {"namespace": target.namespace, "pod": target.pod, "job": "shop"}
    instances = ("a", "b") if mode is Mode.SEVERAL else ("a",)

    def counter(share: float) -> Callable[[float], float]:
        if mode is Mode.NAN:
            return lambda _: math.nan
        return lambda time: float(math.floor(share * target.rate * (time - target.began)))

    def constant(value: float) -> Callable[[float], float]:
        return lambda _: value

    for instance in instances:
        labels = {**where, "instance": instance}
        yield {**labels, "__name__": "up"}, constant(1.0)
        yield {**labels, "__name__": "process_start_time_seconds"}, constant(target.began)
        good = math.nan if mode is Mode.NAN else 1 - target.errors
        yield {**labels, "__name__": "shop:success:ratio"}, constant(good)
        yield {**labels, "__name__": "http_requests_total", "code": "200"}, counter(1 - target.errors)
        yield {**labels, "__name__": "http_requests_total", "code": "500"}, counter(target.errors)
        for edge, share in zip(EDGES, (0.9, 0.99, 1.0), strict=True):
            le = "+Inf" if math.isinf(edge) else f"{edge:g}"
            yield {**labels, "__name__": "http_request_duration_seconds_bucket", "le": le}, counter(share)


def _matchers(text: str) -> list[tuple[str, str, str]]:
    found = [(m["label"], m["op"], json.loads(f'"{m["value"]}"')) for m in _MATCHER.finditer(text)]
    if text.strip() and not found:
        raise ValueError(f"1:1: parse error: {text!r}")
    return found


def _matches(labels: Labels, label: str, op: str, value: str) -> bool:
    has = labels.get(label, "")
    match op:
        case "=":
            return has == value
        case "!=":
            return has != value
        case "=~":
            return re.fullmatch(value, has) is not None
        case _:
            return re.fullmatch(value, has) is None


def _text(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:g}" if value < 1e6 else f"{value:.0f}"
