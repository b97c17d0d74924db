"""The webhook's server: TLS by a certificate that may be renewed while it runs."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from aiohttp import web

from rollout.admission.judging import Judge
from rollout.admission.review import MalformedReviewError, asked_by

log = logging.getLogger(__name__)

BODY_BYTES = 7 << 20
"""Two objects of the size that the API server takes, and what stands around them."""
READ_SECONDS = 1.0
AT_ONCE = 32
"""Questions; more are told to come again, and the API server goes on without an answer."""
CERTIFICATE, KEY, CLIENTS = "tls.crt", "tls.key", "client-ca.crt"
"""Files of the folder, named as in a Secret; where the last is there, clients must prove themselves by it."""


class Certificate:
    """The certificate in a folder: read again, at the handshake that finds it changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._context = _context()
        self._context.sni_callback = self._chosen
        self._present = self._context
        self._mark = self._looked()
        self._read()

    @property
    def context(self) -> ssl.SSLContext:
        """What a server listens with."""
        return self._context

    def _chosen(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> ssl.AlertDescription | None:
        mark, asked = self._looked(), self._context.verify_mode
        if mark != self._mark:
            self._mark = mark
            self._read()
        connection.context = self._present
        # Whether clients must prove themselves is settled before this: from the next connection on.
        return None if self._context.verify_mode is asked else ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE

    def _looked(self) -> tuple[object, ...]:
        marks: list[object] = []
        for name in (CERTIFICATE, KEY, CLIENTS):
            try:
                seen = (self._folder / name).stat()
            except OSError:
                marks.append(None)
            else:
                marks.append((seen.st_ino, seen.st_mtime_ns, seen.st_size))
        return tuple(marks)

    def _read(self) -> None:
        """One that can't be read leaves the last good one in use."""
        fresh, clients = _context(), self._folder / CLIENTS
        try:
            fresh.load_cert_chain(self._folder / CERTIFICATE, self._folder / KEY)
            if clients.exists():
                for context in (fresh, self._context):
                    context.load_verify_locations(clients)
                    context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as unreadable:
            log.warning("the webhook's certificate in %s can't be read: %s", self._folder, unreadable)
        else:
            self._present = fresh
            log.info("the webhook's certificate was read from %s", self._folder)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Webhook:
    """Answers AdmissionReviews at `/admission`."""

    def __init__(self, judge: Judge, clock: Callable[[], datetime]) -> None:
        self._judge = judge
        self._clock = clock
        self._busy = 0

    async def hear(self, request: web.Request) -> web.Response:
        """200 with an answer; 400, 408, 413 or 503 where there can't be one."""
        if self._busy >= AT_ONCE:
            return web.Response(status=503, text="busy\n")
        self._busy += 1
        try:
            async with asyncio.timeout(READ_SECONDS):
                raw = await request.read()
            asked = asked_by(json.loads(raw))
            return web.json_response(await self._judge.answer(asked, self._clock()))
        except TimeoutError:
            return web.Response(status=408)
        except (MalformedReviewError, ValueError, RecursionError) as malformed:
            return web.Response(status=400, text=f"{malformed}\n")
        finally:
            self._busy -= 1


@asynccontextmanager
async def answering(webhook: Webhook, place: str, folder: Path) -> AsyncIterator[int]:
    """Answer at `HOST:PORT` by the certificate in `folder`; gives the port, a free one where it is 0."""
    host, _, port = place.rpartition(":")
    application = web.Application(client_max_size=BODY_BYTES)
    application.router.add_post("/admission", webhook.hear)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        context = Certificate(folder).context
        await web.TCPSite(runner, host.strip("[]") or None, int(port), ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
