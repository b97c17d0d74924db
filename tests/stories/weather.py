"""What a bad API server does to an operator: a seeded choice of its calls fails, each in one way."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from stage import OPERATOR

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.requests import Fault, Request
from rollout.sandbox.cluster import Sandbox

HANG_S = 3.0
"""Longer than the operator's patience in these stories."""


def conflict() -> Fault:
    return Fault(error=ApiError(409, "Conflict", "Operation cannot be fulfilled: it has been modified"))


def expired() -> Fault:
    return Fault(error=ApiError(410, "Expired", "too old resource version"))


def busy() -> Fault:
    error = ApiError(429, "TooManyRequests", "too many requests", {"retryAfterSeconds": 1})
    error.headers["Retry-After"] = "1"
    return Fault(error=error)


def broken() -> Fault:
    return Fault(error=ApiError(500, "InternalError", "Internal error occurred: etcdserver: leader changed"))


def unavailable() -> Fault:
    return Fault(error=ApiError(503, "ServiceUnavailable", "apiserver is shutting down"))


def hanging() -> Fault:
    return Fault(delay=HANG_S, cut=True)


def cut() -> Fault:
    return Fault(cut=True)


def lost() -> Fault:
    """Served, and nobody hears of it."""
    return Fault(cut=True, after=True)


@dataclass(slots=True)
class Storm:
    """Hits a share of the operator's calls about some namespaces, `most` at most."""

    fault: Callable[[], Fault]
    hits: Callable[[Request], bool]
    namespaces: frozenset[str]
    share: float = 0.3
    most: int = 30
    seed: int = 7
    struck: list[str] = field(default_factory=list)
    """The calls that were hit: verb and path."""

    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    async def __call__(self, request: Request) -> Fault | None:
        if request.user != OPERATOR or not self._about(request) or len(self.struck) >= self.most:
            return None
        if not self.hits(request) or self.dice.random() >= self.share:
            return None
        self.struck.append(f"{request.method} {request.path}")
        return self.fault()

    def _about(self, request: Request) -> bool:
        """Whether a call is about our namespaces; a watch of all of them is."""
        everywhere = "watch" in request.query and "/namespaces/" not in request.path
        return everywhere or any(f"/{name}/" in request.path for name in self.namespaces)


@contextmanager
def storming(sandbox: Sandbox, storm: Storm) -> Iterator[Storm]:
    """Let a storm rage for as long as the context lasts."""
    sandbox.server.fault = storm
    try:
        yield storm
    finally:
        sandbox.server.fault = None


def every(_: Request) -> bool:
    return True


def writing(request: Request) -> bool:
    return request.writes


def patching(request: Request) -> bool:
    """What may be in conflict: a create has nothing to be in conflict with."""
    return request.method in {"PUT", "PATCH", "DELETE"}


def following(request: Request) -> bool:
    """Lists and watches."""
    return request.method == "GET" and (
        "watch" in request.query or request.path.split("/")[-3:-2] == ["namespaces"]
    )
