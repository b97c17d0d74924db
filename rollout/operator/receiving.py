"""Webhooks: a host of a repository says that something was pushed. It wakes a poll and carries no trust:
what was pushed is asked of Git itself.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web

from rollout.api.errors import InvalidSpec, Retry, Stalled
from rollout.api.gitsource import parse_git_source
from rollout.forge import signatures
from rollout.gitops.conditions import REQUESTED_AT
from rollout.gitops.secrets import read_secret
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.operator.queue import Key
from rollout.operator.waking import GIT_SOURCE

log = logging.getLogger(__name__)

BODY_BYTES = 1 << 20
READ_SECONDS = 5.0
AT_ONCE = 16
"""Requests; more are told to come again."""
REMEMBER_SECONDS = 10.0
"""How long a secret is used before it is read again: whoever floods us must not flood the API server."""
MOST_KEPT = 1000
_REFUSED = "no such source, or not signed with its secret\n"
"""The same for both: nobody learns which sources there are."""


class Receiver:
    """Hears webhooks at `/hooks/NAMESPACE/NAME`; `wake` is for a GitSource of ours, others are annotated."""

    def __init__(self, kube: Kube, is_ours: Callable[[Key], bool], wake: Callable[[Key], None]) -> None:
        self._kube = kube
        self._is_ours = is_ours
        self._wake = wake
        self._secrets: dict[tuple[str, str], tuple[float, bytes]] = {}
        self._busy = 0

    async def hear(self, request: web.Request) -> web.Response:
        """202 where a poll was woken; 403, 413 or 503 where not."""
        if self._busy >= AT_ONCE:
            return web.Response(status=503, headers={"Retry-After": "5"}, text="busy\n")
        if not signatures.claims(request.headers):
            return web.Response(status=403, text=_REFUSED)
        self._busy += 1
        try:
            return await self._heard(request)
        finally:
            self._busy -= 1

    async def _heard(self, request: web.Request) -> web.Response:
        place = (request.match_info["namespace"], request.match_info["name"])
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await request.read()
            secret = await self._secret(*place)
            if not signatures.holds(request.headers, body, secret):
                return web.Response(status=403, text=_REFUSED)
            await self._poll(Key(GIT_SOURCE, *place))
        except TimeoutError:
            return web.Response(status=408)
        except Retry as failed:
            log.warning("a webhook of %s/%s is lost: %s", *place, failed)
            return web.Response(status=503, headers={"Retry-After": "5"}, text="try again\n")
        return web.Response(status=202, text="asking Git\n")

    async def _poll(self, key: Key) -> None:
        if self._is_ours(key):
            self._wake(key)
            return
        # Whoever works on it follows its annotations.
        said = {REQUESTED_AT[0]: f"webhook {datetime.now(UTC).isoformat(timespec='seconds')}"}
        body = {"metadata": {"annotations": said}}
        try:
            await self._kube.merge_patch(kinds.GIT_SOURCES, key.namespace, key.name, body)
        except Stalled as refused:
            raise Retry(str(refused)) from refused

    async def _secret(self, namespace: str, name: str) -> bytes:
        """The secret of a GitSource's webhooks; b'' where it takes none."""
        now = time.monotonic()
        until, secret = self._secrets.get((namespace, name), (0.0, b""))
        if now < until:
            return secret
        secret = await self._read(namespace, name)
        if len(self._secrets) >= MOST_KEPT:
            self._secrets.clear()
        self._secrets[namespace, name] = (now + REMEMBER_SECONDS, secret)
        return secret

    async def _read(self, namespace: str, name: str) -> bytes:
        try:
            live = await self._kube.find(kinds.GIT_SOURCES, namespace, name)
            webhook = parse_git_source(live).spec.webhook if live is not None else None
            if webhook is None:
                return b""
            data = await read_secret(
                self._kube, namespace, webhook.secret_ref.name, "spec.webhook.secretRef.name"
            )
        except InvalidSpec:
            return b""
        except Stalled as missing:
            log.warning("webhooks of %s/%s are refused: %s", namespace, name, missing)
            return b""
        return data.get("token", b"").strip(b"\r\n")


@asynccontextmanager
async def receiving(receiver: Receiver, place: str) -> AsyncIterator[int]:
    """Receive webhooks at `HOST:PORT`; gives the port, which is a free one where it is 0."""
    host, _, port = place.rpartition(":")
    application = web.Application(client_max_size=BODY_BYTES)
    application.router.add_post("/hooks/{namespace:[a-z0-9-]{1,63}}/{name:[a-z0-9.-]{1,253}}", receiver.hear)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
