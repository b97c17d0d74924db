"""What the API server refuses, by what has to happen before it can go on.

| error | HTTP | remedy |
|---|---|---|
| `NotFound` | 404 | read again: it is gone or not there yet |
| `Conflict`, `AlreadyExists` | 409, 422 of a failed `test` | a new turn, on what stands there now |
| `Gone` | 410 | list again |
| `Unavailable` | 408, 429, 5xx, no answer in time, no connection | wait |
| `NotLeading` | of a write that was not sent | leave it to who leads now |
| `Invalid` | 400, 413, 422, 500 of a wrong type, or too large to be stored | somebody mends the manifest |
| `Forbidden` | 401, 403 | somebody grants the right that is named |
| `Owned` | 409 of an apply without force | somebody gives the fields up |
| `NotServed` | 404 of a kind, 405, 406, 415, 501 | somebody installs what serves it |

`after` is what the server asked for, else zero: who tries again has a back-off of its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from rollout.api.errors import Problem, Retry, Stalled

_STRICT = re.compile(r'(?P<what>unknown|duplicate) field "(?P<field>[^"]+)"')
_TYPED = re.compile(
    r"failed to create typed (?:patch )?object \([^)]*\): \.?(?P<field>\S+?): (?P<what>.+)", re.DOTALL
)
_TOO_LARGE = re.compile("etcdserver: request is too large|trying to send message larger than max")
"""What a real server says of an object that its storage does not take, with the code 500."""
_NO_WAIT = timedelta(0)
_LONGEST_WAIT = timedelta(minutes=1)


class NotFound(Retry):
    """It does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__(message, _NO_WAIT)


class Conflict(Retry):
    """Somebody else wrote first."""

    def __init__(self, message: str) -> None:
        super().__init__(message, _NO_WAIT)


class AlreadyExists(Conflict):
    """Something by that name exists."""


class Gone(Retry):
    """The resourceVersion is too old to go on from."""

    def __init__(self, message: str) -> None:
        super().__init__(message, _NO_WAIT)


class Unavailable(Retry):
    """The server is busy, broken or out of reach; of a write, nobody knows whether it was done."""

    def __init__(self, message: str, after: timedelta = _NO_WAIT) -> None:
        super().__init__(message, after)


class NotLeading(Retry):
    """Somebody else may lead by now, so nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, _NO_WAIT)


class Invalid(Stalled):
    """The server refuses the object; `problems` keeps its causes, one for each field."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__("Invalid", message)
        self.problems = problems


class Forbidden(Stalled):
    """We lack a right; the message names it."""

    def __init__(self, message: str) -> None:
        super().__init__("Forbidden", message)


class Owned(Stalled):
    """Other field managers own what an apply would change."""

    def __init__(self, message: str) -> None:
        super().__init__("FieldsOwned", message)


class NotServed(Stalled):
    """The API server does not serve this."""

    def __init__(self, message: str) -> None:
        super().__init__("NotServed", message)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: the words of an error message."""

    verb: str
    """As RBAC names it: get, list, watch, create, update, patch, delete."""
    resource: str
    """As RBAC names it: `rollouts.progressive.delivery/status`."""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """Say it in words: `patch httproutes.gateway.networking.k8s.io "shop" in "default"`."""
        name = f' "{self.name}"' if self.name else ""
        return f"{self.verb} {self.resource}{name}" + (f' in "{self.namespace}"' if self.namespace else "")


def refusal(asked: Asked, status: int, body: Any, headers: Mapping[str, str], now: datetime) -> Exception:
    """The error for an answer that is no success; `body` is its Status object, or text."""
    told: Mapping[str, Any] = body if isinstance(body, Mapping) else {"message": str(body).strip()[:1024]}
    details: Mapping[str, Any] = told.get("details") or {}
    causes: tuple[Mapping[str, Any], ...] = tuple(details.get("causes") or ())
    text = f"{asked}: {told.get('message') or f'HTTP {status}'}"
    match status:
        case 401:
            return Forbidden(f"{text}: the API server does not know us (renew the credentials)")
        case 403:
            return _forbidden(asked, text, causes)
        case 404:
            return _missing(details, text)
        case 405 | 406 | 415 | 501:
            return NotServed(text)
        case 409:
            return _conflict(told, causes, text)
        case 410:
            return Gone(text)
        case 422 if not causes:
            return Conflict(f"{text} (a test of the patch failed: the object has changed)")
        case 400 | 413 | 422:
            return Invalid(text, _problems(str(told.get("message") or text), causes))
        case 500 if _TYPED.search(text) or _TOO_LARGE.search(text):
            return Invalid(text, _problems(text, causes))
        case _:
            return Unavailable(text, retry_after(headers, details, now))


def retry_after(headers: Mapping[str, str], details: Mapping[str, Any], now: datetime) -> timedelta:
    """How long to wait, as the server asks (seconds or an HTTP date), at most a minute; a second where it
    doesn't.
    """
    asked = str(headers.get("Retry-After") or details.get("retryAfterSeconds") or "")
    if asked.isdecimal():
        return min(timedelta(seconds=int(asked)), _LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(asked)
    except ValueError:
        return _NO_WAIT
    until = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(until - now, _NO_WAIT), _LONGEST_WAIT)


def _forbidden(asked: Asked, text: str, causes: tuple[Mapping[str, Any], ...]) -> Exception:
    if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return Unavailable(text, _LONGEST_WAIT)
    where = f"in namespace {asked.namespace!r}" if asked.namespace else "in the whole cluster"
    return Forbidden(f"{text} (grant our ServiceAccount {asked.verb!r} on {asked.resource!r} {where})")


def _missing(details: Mapping[str, Any], text: str) -> Exception:
    """A missing object is named in `details`; where nothing is named, the path itself is not served."""
    return NotFound(text) if details.get("name") else NotServed(text)


def _conflict(told: Mapping[str, Any], causes: tuple[Mapping[str, Any], ...], text: str) -> Exception:
    if told.get("reason") == "AlreadyExists":
        return AlreadyExists(text)
    if any(cause.get("reason") == "FieldManagerConflict" for cause in causes):
        return Owned(text)
    return Conflict(text)


def _problems(message: str, causes: tuple[Mapping[str, Any], ...]) -> tuple[Problem, ...]:
    """One problem for each field: from the causes, or from the words of a strict or a typed refusal."""
    strict = [
        Problem(each["field"], f"{each['what']} field", "remove it") for each in _STRICT.finditer(message)
    ]
    if strict:
        return tuple(strict)
    if causes:
        return tuple(Problem(str(each.get("field") or ""), str(each.get("message") or "")) for each in causes)
    typed = _TYPED.search(message)
    return (Problem(typed["field"], typed["what"]),) if typed else ()
