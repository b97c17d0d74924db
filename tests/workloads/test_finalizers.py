"""The finalizer of a Rollout: set and removed beside those of others, on the object that was read."""

from typing import Any

import jsonpatch
import pytest

from rollout.api.meta import TRAFFIC_FINALIZER as OURS
from rollout.workloads import finalizers

THEIRS = "somebody.else/holds"


def rollout(*listed: str, version: str = "7") -> dict[str, Any]:
    metadata = {"name": "shop", "resourceVersion": version}
    return {"metadata": {**metadata, "finalizers": list(listed)} if listed else metadata}


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        pytest.param(rollout(), True, [OURS], id="set where there is none"),
        pytest.param(rollout(THEIRS), True, [THEIRS, OURS], id="set beside another"),
        pytest.param(rollout(OURS), False, [], id="removed"),
        pytest.param(rollout(OURS, THEIRS), False, [THEIRS], id="removed, the other stays"),
    ],
)
def test_it_is_set_and_removed(before: dict[str, Any], wanted: bool, after: list[str]) -> None:
    patched = jsonpatch.apply_patch(before, finalizers.patch(before, wanted=wanted))
    assert patched["metadata"]["finalizers"] == after
    assert finalizers.held(patched) is wanted


@pytest.mark.parametrize("wanted", [True, False])
def test_what_holds_already_is_no_patch(wanted: bool) -> None:
    assert finalizers.patch(rollout(OURS) if wanted else rollout(THEIRS), wanted=wanted) == ()


def test_it_fails_on_any_object_but_the_one_that_was_read() -> None:
    operations = finalizers.patch(rollout(THEIRS), wanted=True)
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(rollout(THEIRS, version="8"), operations)
