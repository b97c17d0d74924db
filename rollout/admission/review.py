"""AdmissionReview (admission.k8s.io/v1): what the API server asks, and what it is answered. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.api.base import Manifest
from rollout.api.caps import short
from rollout.api.errors import Problem

API_VERSION = "admission.k8s.io/v1"
WARNING_LIMIT_BYTES = 256
"""A longer one is cut by the API server."""
WARNINGS_LIMIT = 12
"""All of them must stay below 4 kB there."""
_GENERATED = "xxxxx"
"""What stands for the end of a name that the API server has yet to make."""


class MalformedReviewError(ValueError):
    """No AdmissionReview that could be answered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One object that somebody creates or changes."""

    uid: str
    operation: str
    subresource: str
    namespace: str
    body: Manifest
    old: Manifest | None

    @property
    def needs_no_look(self) -> bool:
        """Whether nothing is asked of us by it: a status, metadata alone, or an object that goes."""
        if self.operation not in ("CREATE", "UPDATE") or self.subresource:
            return True
        if "deletionTimestamp" in self.body["metadata"]:
            return True
        return self.old is not None and self.old.get("spec") == self.body.get("spec")


def asked_by(review: object) -> Asked:
    """The question in a body.

    Raises:
        MalformedReviewError: it is no AdmissionReview of version 1.
    """
    request = review.get("request") if isinstance(review, Mapping) else None
    if not isinstance(review, Mapping) or review.get("apiVersion") != API_VERSION:
        raise MalformedReviewError(f"no AdmissionReview of {API_VERSION}")
    if not isinstance(request, Mapping) or not isinstance(request.get("uid"), str):
        raise MalformedReviewError("an AdmissionReview without a request and its uid")
    body, old = request.get("object"), request.get("oldObject")
    return Asked(
        uid=request["uid"],
        operation=str(request.get("operation", "")),
        subresource=str(request.get("subResource") or ""),
        namespace=str(request.get("namespace") or ""),
        body=_named(body) if isinstance(body, Mapping) else {"metadata": {}},
        old=old if isinstance(old, Mapping) else None,
    )


def _named(body: Mapping[str, Any]) -> Manifest:
    """With a name, which an object by `generateName` has not got yet."""
    metadata = body.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    if not metadata.get("name") and metadata.get("generateName"):
        metadata = {**metadata, "name": f"{metadata['generateName']}{_GENERATED}"}
    return {**body, "metadata": metadata}


def allowed(uid: str, warnings: Iterable[str] = ()) -> dict[str, Any]:
    """It may be stored; clients print the warnings."""
    return _answered({"uid": uid, "allowed": True}, warnings)


def denied(asked: Asked, problems: Sequence[Problem], warnings: Iterable[str] = ()) -> dict[str, Any]:
    """It is refused, by a Status as the API server's own schema would refuse it."""
    api_version, kind = str(asked.body.get("apiVersion", "")), str(asked.body.get("kind", ""))
    causes = [
        {
            "reason": "FieldValueInvalid",
            "field": problem.path,
            "message": problem.message + (f" ({problem.remedy})" if problem.remedy else ""),
        }
        for problem in problems
    ]
    status = {
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": "; ".join(f"{cause['field']}: {cause['message']}" for cause in causes),
        "details": {
            "group": api_version.rpartition("/")[0],
            "kind": kind,
            "name": str(asked.body["metadata"].get("name", "")),
            "causes": causes,
        },
    }
    return _answered({"uid": asked.uid, "allowed": False, "status": status}, warnings)


def _answered(response: Mapping[str, Any], warnings: Iterable[str]) -> dict[str, Any]:
    said = [short(text, WARNING_LIMIT_BYTES) for text in dict.fromkeys(warnings)]
    response = {**response, "warnings": said[:WARNINGS_LIMIT]}
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}
