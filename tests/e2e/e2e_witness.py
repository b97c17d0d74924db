"""Sees a namespace from outside: every version of its objects, the proxy's and the pods' own counters."""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from rollout.kube import kinds
from rollout.sandbox.apiserver.resource import Resource
from rollout.sandbox.cluster import Sandbox

Object = Mapping[str, Any]

WATCHED = {
    kind.plural: Resource(kind.group, kind.version, kind.plural)
    for kind in (
        kinds.ROLLOUTS,
        kinds.HTTP_ROUTES,
        kinds.SERVICES,
        kinds.ANALYSIS_RUNS,
        kinds.REPLICA_SETS,
        kinds.PODS,
        kinds.ENDPOINT_SLICES,
        kinds.EVENTS,
    )
}
LOOK_EVERY_S = 0.25
LOOK_AGAIN_S = 0.2
"""How often a condition is asked anew that no watch announces."""
_ANSWER_S = 2.0
_PROXIED = re.compile(
    r'^traefik_service_requests_total\{.*service="[^"]*-svc-(?P<service>.+)-\d+@kubernetesgateway"\} '
    r"(?P<count>\S+)$",
    re.MULTILINE,
)
_ANSWERED = re.compile(r'^http_requests_total\{code="(?P<code>\d+)".*\} (?P<count>\d+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of an object, and when it was seen (epoch seconds)."""

    at: float
    object: Object
    gone: bool = False

    @property
    def name(self) -> str:
        return self.object["metadata"]["name"]

    @property
    def serves(self) -> bool:
        """Whether it is a pod that is ready and not on its way out."""
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in self.status.get("conditions", ()))
        return ready and not self.gone and not self.object["metadata"].get("deletionTimestamp")

    @property
    def status(self) -> Object:
        return self.object.get("status") or {}


@dataclass(frozen=True, slots=True)
class Passed:
    """What the proxy has passed to each Service since its start, read between two moments (epoch seconds)."""

    asked: float
    answered: float
    counts: Mapping[str, int]
    """By `<namespace>-<service>`; a series that the proxy dropped keeps what it had."""


@dataclass(slots=True)
class PodCounts:
    """A pod's own counters as it gave them last."""

    version: str
    answers: int = 0
    failed: int = 0


class Witness:
    """Watches one namespace of a sandbox in the sandbox's loop; read it from any thread."""

    def __init__(self, sandbox: Sandbox, namespace: str) -> None:
        self.sandbox = sandbox
        self.namespace = namespace
        self.seen: dict[str, list[Seen]] = {plural: [] for plural in WATCHED}
        self.proxy: list[Passed] = []
        self.pods: dict[str, PodCounts] = {}  # by pod, those that have ended included
        self._news = threading.Condition()
        self._series: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S))
        self._tasks = [asyncio.create_task(self._watch(plural)) for plural in WATCHED]
        self._tasks += [
            asyncio.create_task(self._again(look)) for look in (self.look_at_proxy, self.look_at_pods)
        ]

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    def until(self, holds: Callable[[], Any], within_s: float, what: str) -> None:
        """Wait until something holds; asks anew with everything seen."""
        end = time.monotonic() + within_s
        while not holds():
            for task in self._tasks:
                assert not task.done(), f"the witness is blind: {task}"
            assert time.monotonic() < end, f"not within {within_s:.0f} s: {what}"
            with self._news:
                self._news.wait(LOOK_AGAIN_S)

    def last(self, plural: str, name: str) -> Object:
        """The newest version of an object; empty while there is none."""
        found = [each for each in self.seen[plural] if each.name == name]
        return found[-1].object if found and not found[-1].gone else {}

    def versions(self, plural: str, name: str, since: float = 0.0) -> list[Seen]:
        """All versions of an object seen since a moment, beginning with the one that held then."""
        found = [each for each in self.seen[plural] if each.name == name]
        before = [each for each in found if each.at < since][-1:]
        return [*before, *(each for each in found if each.at >= since)]

    async def look_at_proxy(self) -> None:
        """Read the proxy's counters."""
        assert self.sandbox.traefik is not None
        asked = time.time()
        text = await self._get(f"http://{self.sandbox.traefik.metrics_address}/metrics")
        if text is None:
            return
        fresh: Counter[str] = Counter()
        for match in _PROXIED.finditer(text):
            fresh[match[0].rpartition(" ")[0]] += int(float(match["count"]))
        self._series |= fresh
        counts: Counter[str] = Counter()
        for series, count in self._series.items():
            match = _PROXIED.match(f"{series} 0")
            assert match is not None
            counts[match["service"]] += count
        self.proxy.append(Passed(asked, time.time(), dict(counts)))

    async def look_at_pods(self) -> None:
        """Read the counters of every pod that answers."""
        alive = {each.name: each for each in self.seen["pods"]}
        await asyncio.gather(*(self._look_at_pod(pod) for pod in alive.values() if not pod.gone))

    async def _look_at_pod(self, pod: Seen) -> None:
        address = pod.status.get("podIP")
        text = await self._get(f"http://{address}:8080/metrics") if address else None
        if text is None:
            return
        self.pods[pod.name] = counted(pod, text)

    def hear_last_words(self) -> None:
        """Take the counters that pods left behind as they ended; one that was killed left none."""
        for pod in {each.name: each for each in self.seen["pods"]}.values():
            name = pod.object["spec"]["containers"][0]["name"]
            log = self.sandbox.folder / "pods" / self.namespace / f"{pod.name}-{name}.log"
            if log.is_file() and _ANSWERED.search(text := log.read_text()):
                self.pods[pod.name] = counted(pod, text)

    async def answered(self, host: str) -> bool:
        """Whether the proxy reaches a pod for `host` now; on a path that pods don't count."""
        return await self._get(f"{self.sandbox.proxy_url}/healthz", host) is not None

    async def version_at(self, proxy_url: str, host: str) -> str:
        """Which version a proxy sends users of `host` to; empty where it reaches none."""
        assert self._http is not None
        async with self._http.get(f"{proxy_url}/healthz", headers={"Host": host}) as answer:
            return answer.headers.get("X-Version", "")

    async def _get(self, url: str, host: str = "") -> str | None:
        assert self._http is not None
        headers = {"Host": host} if host else {}
        try:
            async with self._http.get(url, headers=headers) as answer:
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _again(self, look: Callable[[], Any]) -> None:
        while True:
            await look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _watch(self, plural: str) -> None:
        async for event in self.sandbox.client.watch(WATCHED[plural], self.namespace):
            with self._news:
                self.seen[plural].append(Seen(time.time(), event.object, event.type == "DELETED"))
                self._news.notify_all()


def counted(pod: Seen, text: str) -> PodCounts:
    """A pod's counters, read from their exposition."""
    counts = {match["code"]: int(match["count"]) for match in _ANSWERED.finditer(text)}
    tag = pod.object["spec"]["containers"][0]["image"].partition(":")[2]
    failed = sum(count for code, count in counts.items() if code.startswith("5"))
    return PodCounts(tag, sum(counts.values()), failed)


def answers(pods: Iterable[PodCounts], version: str) -> tuple[int, int]:
    """(answers, failures) that the pods of a version counted themselves."""
    own = [pod for pod in pods if pod.version == version]
    return sum(pod.answers for pod in own), sum(pod.failed for pod in own)
