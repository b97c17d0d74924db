"""A small Prometheus: counters of the pods that are there, answered as Prometheus answers instant queries.

It knows range selectors (`name{label="value"}[60000ms]`) and `count(...)`, which is all that the operator
asks. Below every path lies the same, so that one of them can fail alone.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

Labels = dict[str, str]
Sample = tuple[float, float]
Counter = Callable[[float], float]

_QUERY = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)?\s*(?:\{(?P<matchers>.*)\})?(?:\[(?P<span>\d+)ms\])?", re.DOTALL
)
_COUNT = re.compile(r"count(?: by \((?P<by>\w+)\))?\s*\((?P<of>.*)\)", re.DOTALL)
_MATCHER = re.compile(r'(?P<label>\w+)(?P<op>=~|!~|!=|=)"(?P<value>(?:[^"\\]|\\.)*)"')
SCRAPE_S = 1
LOOKBACK_MS = 300_000


@dataclass(frozen=True, slots=True)
class Target:
    """A pod that is scraped each second: `rate` requests a second since `began` (Unix time), a share of
    `errors` in them.
    """

    namespace: str
    pod: str
    began: float
    rate: float
    errors: float

    def series(self) -> Iterable[tuple[Labels, Counter]]:
        """All series; a counter is a function of time, so that two answers never disagree."""
        labels = {"namespace": self.namespace, "pod": self.pod, "job": "shop", "instance": self.pod}
        yield {**labels, "__name__": "up"}, lambda _: 1.0
        yield {**labels, "__name__": "process_start_time_seconds"}, lambda _: self.began
        yield {**labels, "__name__": "http_requests_total", "code": "200"}, self._counter(1 - self.errors)
        yield {**labels, "__name__": "http_requests_total", "code": "500"}, self._counter(self.errors)

    def _counter(self, share: float) -> Counter:
        return lambda time: float(math.floor(share * self.rate * (time - self.began)))


Targets = Callable[[], Awaitable[Iterable[Target]]]


class Prometheus:
    """The server; what lies below a path in `down` gives no answers."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self.down: set[str] = set()
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1") -> None:
        """Serve at any free port; `url` says which."""
        app = web.Application()
        app.router.add_route("*", "/{below:.*}api/v1/query", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Serve no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        given = {**request.query, **await request.post()}
        if request.match_info["below"].strip("/") in self.down:
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPServiceUnavailable
        query, at = str(given.get("query", "")), float(str(given.get("time", "nan")))
        try:
            data = evaluate(query, at, await self._targets())
        except (ValueError, re.error) as error:
            body = {"status": "error", "errorType": "bad_data", "error": str(error)}
            return web.Response(status=400, text=json.dumps(body), content_type="application/json")
        return web.json_response({"status": "success", "data": data})


def evaluate(query: str, at: float, targets: Iterable[Target]) -> dict[str, object]:
    """The `data` of an answer. Raises ValueError for what it does not know."""
    if counted := _COUNT.fullmatch(query):
        return _vector(_select(counted["of"], at, targets), counted["by"], at)
    found = _QUERY.fullmatch(query)
    if found is None or found["span"] is None:
        raise ValueError(f"1:1: parse error: {query!r}")
    result = [
        {"metric": labels, "values": [[time, f"{value:.17g}"] for time, value in samples]}
        for labels, samples in _select(query, at, targets)
    ]
    return {"resultType": "matrix", "result": result}


def _vector(series: list[tuple[Labels, list[Sample]]], by: str | None, at: float) -> dict[str, object]:
    groups: dict[str, int] = {}
    for labels, _ in series:
        key = labels.get(by, "") if by else ""
        groups[key] = groups.get(key, 0) + 1
    result = [{"metric": {by: key} if by else {}, "value": [at, str(count)]} for key, count in groups.items()]
    return {"resultType": "vector", "result": result}


def _select(query: str, at: float, targets: Iterable[Target]) -> list[tuple[Labels, list[Sample]]]:
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
        for labels, value in target.series():
            if times and all(_matches(labels, *matcher) for matcher in matchers):
                selected.append((labels, [(time, value(time)) for time in times]))
    return selected


def _matchers(text: str) -> list[tuple[str, str, str]]:
    found = [(m["label"], m["op"], json.loads(f'"{m["value"]}"')) for m in _MATCHER.finditer(text)]
    if text.strip() and not found:
        raise ValueError(f"1:1: parse error: {text!r}")
    return found


def _matches(labels: Labels, label: str, op: str, value: str) -> bool:
    has = labels.get(label, "")
    equal = has == value if op in {"=", "!="} else re.fullmatch(value, has) is not None
    return equal is not op.startswith("!")
