"""A stub Prometheus with raw samples, as a process: `python -m benchmarks.fleet.prometheus FILE SCRAPE RATE`.

FILE holds the scraped pods, one JSON object a line (namespace, pod, began); it is read again when it changes.
Each is scraped every SCRAPE seconds and serves RATE requests a second. Counters are functions of time, so two
answers never disagree. It prints its address, and answers /stats.
"""

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import orjson
from aiohttp import web

ERRORS = 0.01
EDGES = {"0.1": 0.9, "0.3": 0.99, "+Inf": 1.0}
_QUERY = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)?\{(?P<matchers>.*)\}\[(?P<span>\d+)ms\]", re.DOTALL)
_COUNT = re.compile(r"count(?: by \(\w+\))?\s*\(.*\)", re.DOTALL)
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)("(?:[^"\\]|\\.)*")')

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """One pod that is scraped."""

    namespace: str
    pod: str
    began: float

    def scrapes(self, since: float, until: float, every: int) -> list[float]:
        """The instants in `(since, until]` at which it was scraped: each at its own place in the interval."""
        phase = crc32(self.pod.encode()) % (every * 1000) / 1000
        number = int((max(since, self.began) - phase) // every) + 1
        found = []
        while (at := number * every + phase) <= until:
            found.append(round(at, 3))
            number += 1
        return found


class Pods:
    """The targets in the file, by namespace."""

    def __init__(self, file: Path, scrape: int, rate: float) -> None:
        self.scrape = scrape
        self.rate = rate
        self._file = file
        self._read_at = -1.0
        self.by_namespace: dict[str, list[Target]] = {}

    def refresh(self) -> None:
        """Read the file again where it has changed."""
        changed = self._file.stat().st_mtime if self._file.exists() else 0.0
        if changed == self._read_at:
            return
        self._read_at = changed
        found: dict[str, list[Target]] = defaultdict(list)
        for line in self._file.read_text().splitlines() if changed else ():
            target = Target(**json.loads(line))
            found[target.namespace].append(target)
        self.by_namespace = found


def series(target: Target, name: str, rate: float) -> Iterator[tuple[Labels, float]]:
    """(labels, growth a second) of the target's series of a metric; 0 is a constant."""
    labels = {"namespace": target.namespace, "pod": target.pod, "job": "shop", "instance": target.pod}
    match name:
        case "http_requests_total":
            yield {**labels, "__name__": name, "code": "200"}, rate * (1 - ERRORS)
            yield {**labels, "__name__": name, "code": "500"}, rate * ERRORS
        case "http_request_duration_seconds_bucket":
            for edge, share in EDGES.items():
                yield {**labels, "__name__": name, "le": edge}, rate * share
        case "":
            yield {**labels, "__name__": "up"}, 0.0
            yield {**labels, "__name__": "process_start_time_seconds"}, 0.0


def answer(pods: Pods, query: str, at: float) -> tuple[bytes, int]:
    """The `data` of an answer and how many series it holds. Raises ValueError for what it does not know."""
    if _COUNT.fullmatch(query):
        return b'{"resultType":"vector","result":[{"metric":{},"value":[0,"1"]}]}', 1
    found = _QUERY.fullmatch(query)
    if found is None:
        raise ValueError(f"1:1: parse error: {query!r}")
    matchers = [(one[0], one[1], str(json.loads(one[2]))) for one in _MATCHER.findall(found["matchers"])]
    span, name = int(found["span"]) / 1000, found["name"] or ""
    parts = []
    for target in _targets(pods, matchers):
        scraped = target.scrapes(at - span, at, pods.scrape)
        for labels, growth in series(target, name, pods.rate) if scraped else ():
            if all(_matches(labels.get(label, ""), op, value) for label, op, value in matchers):
                parts.append(_one(labels, scraped, target, growth))
    return b'{"resultType":"matrix","result":[' + b",".join(parts) + b"]}", len(parts)


def _targets(pods: Pods, matchers: list[tuple[str, str, str]]) -> Iterator[Target]:
    named = next((each for each in matchers if each[0] == "namespace"), ("namespace", "=~", ".*"))
    chosen: Iterable[str] = pods.by_namespace
    if named[1] == "=":
        chosen = [named[2]]
    elif named[1] == "=~" and re.fullmatch(r"[\w|\\-]+", named[2]):
        chosen = named[2].replace("\\", "").split("|")
    pod = next((re.compile(each[2]) for each in matchers if each[:2] == ("pod", "=~")), None)
    for namespace in chosen:
        for target in pods.by_namespace.get(namespace, ()):
            if pod is None or pod.fullmatch(target.pod):
                yield target


def _matches(has: str, op: str, value: str) -> bool:
    match op:
        case "=":
            return has == value
        case "!=":
            return has != value
        case "=~":
            return re.fullmatch(value, has) is not None
        case _:
            return re.fullmatch(value, has) is None


def _one(labels: Mapping[str, str], scraped: list[float], target: Target, growth: float) -> bytes:
    constant = 1 if labels["__name__"] == "up" else int(target.began)
    values = [[at, str(int(growth * (at - target.began)) if growth else constant)] for at in scraped]
    return orjson.dumps({"metric": labels, "values": values})


class Server:
    """Answers, and counts what it answered."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self.stats = {"queries": 0, "series": 0, "bytes": 0, "refused": 0, "longest": 0}

    async def query(self, request: web.Request) -> web.Response:
        given = {**request.query, **await request.post()}
        asked, at = str(given.get("query", "")), float(str(given.get("time", "nan")))
        self.stats["queries"] += 1
        self.stats["longest"] = max(self.stats["longest"], len(asked))
        self._pods.refresh()
        try:
            data, count = answer(self._pods, asked, at)
        except ValueError as error:
            self.stats["refused"] += 1
            body = {"status": "error", "errorType": "bad_data", "error": str(error)}
            return web.Response(status=400, body=orjson.dumps(body), content_type="application/json")
        self.stats["series"] += count
        self.stats["bytes"] += len(data)
        return web.Response(
            body=b'{"status":"success","data":' + data + b"}", content_type="application/json"
        )

    async def told(self, _request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self.stats), content_type="application/json")


async def serve(pods: Pods) -> None:
    """Serve until stdin ends."""
    server = Server(pods)
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/api/v1/query", server.query)
    app.router.add_get("/api/v1/query", server.query)
    app.router.add_get("/stats", server.told)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Pods(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
