"""Readiness probes over loopback."""

import asyncio
from dataclasses import dataclass

from rollout.sandbox.apiserver.resource import Object

EAGER_S = 0.1
"""Until the first success a probe is made this often: nothing is learnt by waiting a whole period."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe of a container; `path` is None for a TCP probe."""

    port: int
    path: str | None
    period_s: float
    timeout_s: float
    delay_s: float
    failures: int
    successes: int


def readiness(container: Object) -> Probe | None:
    """The readiness probe of a container; None where it has none, or an exec one (there is no container)."""
    spec = container.get("readinessProbe") or {}
    check = spec.get("httpGet") or spec.get("tcpSocket")
    if not check:
        return None
    return Probe(
        port=_port(check["port"], container),
        path=check.get("path", "/") if "httpGet" in spec else None,
        period_s=float(spec.get("periodSeconds", 10)),
        timeout_s=float(spec.get("timeoutSeconds", 1)),
        delay_s=float(spec.get("initialDelaySeconds", 0)),
        failures=int(spec.get("failureThreshold", 3)),
        successes=int(spec.get("successThreshold", 1)),
    )


def _port(port: int | str, container: Object) -> int:
    if isinstance(port, int):
        return port
    named = (p["containerPort"] for p in container.get("ports") or () if p.get("name") == port)
    return int(next(named, 0))


async def check(probe: Probe, address: str) -> bool:
    """Probe once: a status from 200 to 399, or a connection, is success."""
    try:
        async with asyncio.timeout(probe.timeout_s):
            reader, writer = await asyncio.open_connection(address, probe.port)
            try:
                if probe.path is None:
                    return True
                request = f"GET {probe.path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                words = (await reader.readline()).split()
                return len(words) > 1 and b"200" <= words[1] < b"400"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
