"""Answers: objects, refusals and plain text."""

import orjson
import yaml
from aiohttp import web

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.negotiation import Wanted


def respond(
    body: bytes, wanted: Wanted, status: int = 200, warnings: list[str] | None = None
) -> web.Response:
    """An answer in the form wanted."""
    if wanted.media == "application/yaml":
        body = yaml.dump(orjson.loads(body), Dumper=yaml.CSafeDumper).encode()
    response = web.Response(body=body, status=status)
    response.headers["Content-Type"] = wanted.raw
    response.headers["Cache-Control"] = "no-cache, private"
    for warning in warnings or ():
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


def plain(status: int, text: str) -> web.Response:
    """Plain text."""
    return web.Response(text=text, status=status, content_type="text/plain", charset="utf-8")


def refuse(error: ApiError) -> web.Response:
    """A Status."""
    response = respond(orjson.dumps(error.body()), Wanted(), error.status, error.warnings)
    for key, value in error.headers.items():
        response.headers[key] = value
    return response
