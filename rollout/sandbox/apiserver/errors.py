"""The API's own errors: every refusal is a `Status` object."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rollout.sandbox.apiserver.resource import Object


class ApiError(Exception):
    """A refusal: an HTTP status, a reason and a message, as the API writes them.

    `details` is the `details` of the Status object, or None where it has none.
    """

    def __init__(self, status: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details
        self.headers: dict[str, str] = {}
        self.warnings: list[str] = []
        self.continue_token = ""

    def body(self) -> Object:
        """The Status object that is sent."""
        meta = {"continue": self.continue_token} if self.continue_token else {}
        status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": meta, "status": "Failure"}
        status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return status | {"code": self.status}


@dataclass(frozen=True, slots=True)
class Cause:
    """One finding of validation: its reason (`FieldValueInvalid`), message and field path."""

    reason: str
    message: str
    field: str

    def as_json(self) -> Object:
        """The entry of `details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


@dataclass(frozen=True, slots=True)
class Named:
    """What an error is about; `kind` is the plural in some errors and the kind in others, as upstream."""

    group: str
    kind: str
    name: str

    @property
    def qualified(self) -> str:
        """`deployments.apps`, or `configmaps` in the core group."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def details(self) -> Object:
        """The `details` of a Status about it."""
        found = {"name": self.name, "group": self.group, "kind": self.kind}
        return {key: value for key, value in found.items() if value}


def not_found(group: str, plural: str, name: str) -> ApiError:
    """404 for an object."""
    named = Named(group, plural, name)
    return ApiError(404, "NotFound", f'{named.qualified} "{name}" not found', named.details())


def path_not_found() -> ApiError:
    """404 for a path that no resource serves."""
    message = "the server could not find the requested resource"
    return ApiError(404, "NotFound", message, {})


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """409 for a create."""
    named = Named(group, plural, name)
    return ApiError(409, "AlreadyExists", f'{named.qualified} "{name}" already exists', named.details())


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    """409 for a stale write."""
    named = Named(group, plural, name)
    message = f'Operation cannot be fulfilled on {named.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, named.details())


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    """403 for an object."""
    named = Named(group, plural, name)
    quoted = f'{named.qualified} "{name}"' if name else named.qualified
    return ApiError(403, "Forbidden", f"{quoted} is forbidden: {why}", named.details())


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422 with every cause; the message joins them as the API does."""
    named = Named(group, kind, name)
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details: dict[str, Any] = named.details() | {"causes": [cause.as_json() for cause in causes]}
    return ApiError(422, "Invalid", f'{named.qualified} "{name}" is invalid: {joined}', details)


def method_not_allowed(group: str, plural: str) -> ApiError:
    """405."""
    details = Named(group, plural, "").details()
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details
    )


def gone(message: str) -> ApiError:
    """410: the resourceVersion is older than what is kept."""
    return ApiError(410, "Expired", message)


def not_implemented(what: str) -> ApiError:
    """501: this server does not build that part of Kubernetes."""
    return ApiError(501, "NotImplemented", f"the embedded API server does not implement {what}")
