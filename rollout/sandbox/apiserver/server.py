"""The API server on a socket: TLS by its own authority, bearer tokens, a request log and faults."""

import asyncio
import base64
import logging
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme
import yaml
from aiohttp import web

from rollout.sandbox.apiserver import identity
from rollout.sandbox.apiserver.core import ADMIN, Api
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.http import Handler
from rollout.sandbox.apiserver.local import LocalClient
from rollout.sandbox.apiserver.replies import refuse
from rollout.sandbox.apiserver.requests import Fault, Faults, Request, RequestLog
from rollout.sandbox.apiserver.served import Caller
from rollout.sandbox.apiserver.verb import LIMIT

LOG = logging.getLogger(__name__)
SHUTDOWN_SECONDS = 0.2


class ApiServer:
    """An API server on 127.0.0.1, as an async context.

        async with ApiServer() as server:
            Path("kubeconfig").write_text(server.kubeconfig())

    `requests` is the log of what came in; `fault`, where set, is asked before each request is served.
    """

    def __init__(self, port: int = 0) -> None:
        self.api = Api()
        self.requests = RequestLog()
        self.fault: Faults | None = None
        self.port = port
        self.url = ""
        self.admin_token = self.api.tokens.issue(ADMIN)
        authority = trustme.CA()
        self.ca_pem = authority.cert_pem.bytes().decode()
        self._certificate = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
        self._runner: web.ServerRunner | None = None
        self._handler = Handler(self.api)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._certificate.configure_cert(context)
        server = web.Server(
            self._serve, request_factory=_request, keepalive_timeout=3600, handler_cancellation=True
        )
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"https://127.0.0.1:{self.port}"
        self._handler.address = f"127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Close watches and stop listening, at once."""
        self.api.store.close_watchers()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def cut_watches(self) -> None:
        """End every open watch; clients begin theirs again."""
        with self.api.lock:
            self.api.store.close_watchers()

    def issue_token(self, user: str, groups: Iterable[str] = ()) -> str:
        """A token for a user; everyone with one is `system:authenticated`."""
        return self.api.tokens.issue(Caller(user, (*groups, "system:authenticated")))

    def client(
        self, user: str | None = None, groups: Iterable[str] = (), *, manager: str = "local"
    ) -> LocalClient:
        """The API in-process, as the named user or as an administrator."""
        caller = ADMIN if user is None else Caller(user, (*groups, "system:authenticated"))
        return LocalClient(self.api, caller, manager)

    def kubeconfig(self, token: str | None = None, namespace: str = "default") -> str:
        """A kubeconfig (YAML) for a token, or for the administrator."""
        authority = base64.b64encode(self.ca_pem.encode()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "sandbox", "cluster": {"server": self.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": "sandbox", "user": {"token": token or self.admin_token}}],
            "contexts": [
                {
                    "name": "sandbox",
                    "context": {"cluster": "sandbox", "user": "sandbox", "namespace": namespace},
                }
            ],
            "current-context": "sandbox",
        }
        return yaml.safe_dump(config, sort_keys=False)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        caller = identity.of_token(self.api, request.headers)
        agent = request.headers.get("User-Agent", "")
        entry = self.requests.begin(
            request.method, request.path, dict(request.query), caller.name if caller else "", agent
        )
        try:
            response = await self._answer(request, entry, caller)
        except ConnectionError:  # the client has gone, which is its right: nobody to answer, nothing to tell
            _abort(request)
            return web.Response()
        entry.status = response.status
        return response

    async def _answer(
        self, request: web.BaseRequest, entry: Request, caller: Caller | None
    ) -> web.StreamResponse:
        try:
            fault = await self.fault(entry) if self.fault is not None else None
            if fault is not None:
                await self._suffer(request, fault)
            if caller is None:
                raise ApiError(401, "Unauthorized", "Unauthorized")
            caller = identity.effective(self.api, caller, request.headers)
            entry.user = caller.name
            response = await self._handler.serve(request, caller)
            if fault is not None and fault.after:
                _cut(request)
        except ApiError as error:
            return refuse(error)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:  # one request's failure is not the server's
            LOG.exception("%s %s failed", request.method, request.path)
            return refuse(ApiError(500, "InternalError", f"Internal error occurred: {error!r}"))
        return response

    async def _suffer(self, request: web.BaseRequest, fault: Fault) -> None:
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.error is not None:
            raise fault.error
        if fault.cut and not fault.after:
            _cut(request)


def _cut(request: web.BaseRequest) -> None:
    _abort(request)
    raise ConnectionResetError


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _request(*args: object) -> web.BaseRequest:
    message, payload, protocol, _writer, task = args[:5]
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, _writer, task, loop, client_max_size=LIMIT + 1024)  # type: ignore[arg-type]


def certificate_file(server: ApiServer) -> Path:
    """The authority's certificate as a file, for clients that want one."""
    with tempfile.NamedTemporaryFile("w", suffix=".crt", delete=False) as held:
        held.write(server.ca_pem)
    return Path(held.name)
