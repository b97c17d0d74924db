"""AdmissionReviews as an API server sends them, and what is answered: without a cluster."""

from typing import Any

import pytest

from rollout.admission.review import (
    WARNING_LIMIT_BYTES,
    WARNINGS_LIMIT,
    Asked,
    MalformedReviewError,
    allowed,
    asked_by,
    denied,
)
from rollout.api.errors import Problem

OLD = {"metadata": {"name": "shop"}, "spec": {"replicas": 1}}
NEW = {"metadata": {"name": "shop"}, "spec": {"replicas": 2}}


def asked(body: Any = NEW, old: Any = None, operation: str = "UPDATE", subresource: str = "") -> Asked:
    request = {"uid": "u", "operation": operation, "subResource": subresource, "object": body}
    return asked_by({"apiVersion": "admission.k8s.io/v1", "request": request | {"oldObject": old}})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(asked({**OLD, "metadata": {"labels": {"a": "b"}}}, OLD), id="metadata alone"),
        pytest.param(asked({**OLD, "status": {"phase": "Healthy"}}, OLD), id="a status beside the same spec"),
        pytest.param(asked(NEW, OLD, subresource="status"), id="the status"),
        pytest.param(asked(NEW, OLD, subresource="scale"), id="the scale"),
        pytest.param(asked(None, OLD, operation="DELETE"), id="a deletion"),
        pytest.param(asked({**NEW, "metadata": {"deletionTimestamp": "now"}}, OLD), id="an object that goes"),
    ],
)
def test_nothing_is_asked_of_us_by(change: Asked) -> None:
    assert change.needs_no_look


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(asked(NEW, OLD), id="a new spec"),
        pytest.param(asked(operation="CREATE"), id="a new object"),
    ],
)
def test_it_is_looked_at(change: Asked) -> None:
    assert not change.needs_no_look


def test_a_name_that_the_server_has_yet_to_make_is_none_that_is_missing() -> None:
    body = asked({"metadata": {"generateName": "shop-"}}, operation="CREATE").body
    assert body["metadata"]["name"].startswith("shop-")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([], id="a list"),
        pytest.param(
            {"apiVersion": "admission.k8s.io/v1beta1", "request": {"uid": "u"}}, id="another version"
        ),
        pytest.param({"apiVersion": "admission.k8s.io/v1"}, id="no request"),
        pytest.param({"apiVersion": "admission.k8s.io/v1", "request": {"uid": 1}}, id="a uid that is none"),
    ],
)
def test_what_is_no_review_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedReviewError):
        asked_by(body)


def test_warnings_are_few_and_short_enough_for_the_api_server() -> None:
    said = allowed("u", [f"{number}: {'x' * 999}" for number in range(99)])["response"]["warnings"]
    assert len(said) == WARNINGS_LIMIT
    assert sum(len(text.encode()) for text in said) <= WARNINGS_LIMIT * WARNING_LIMIT_BYTES < 4096


def test_a_denial_names_each_field_with_its_remedy() -> None:
    problems = (Problem("spec.a", "must be b", "write b"), Problem("spec.c", "is required"))
    response = denied(asked(), problems)["response"]
    assert (response["uid"], response["allowed"], response["status"]["code"]) == ("u", False, 422)
    assert [(cause["field"], cause["message"]) for cause in response["status"]["details"]["causes"]] == [
        ("spec.a", "must be b (write b)"),
        ("spec.c", "is required"),
    ]
