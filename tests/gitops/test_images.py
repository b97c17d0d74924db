"""Which tags are excluded, and what a field becomes."""

from typing import Any

import pytest
from test_verdicts import A, B, C, entry, rollout

from rollout.api.images import Image
from rollout.gitops.images import changed, failed

NAME = "ghcr.io/team/shop"
IMAGE = Image.model_validate(
    {
        "image": NAME,
        "policy": {"semver": "1.x"},
        "update": {"path": "shop.yaml", "field": "spec.image"},
    }
)


def ended(verdict: str, tag: str, at: int, commit: str = A) -> dict[str, Any]:
    return entry(verdict, commit, version=f"{NAME}:{tag}, side:v1", at=f"2026-01-01T00:00:{at:02}Z")


def test_a_tag_that_was_refused_is_excluded_until_it_is_promoted() -> None:
    history = [
        ended("Promoted", "v1.0.0", 1),
        ended("RolledBack", "v1.1.0", 2, B),
        ended("Aborted", "v1.2.0", 3, C),
    ]
    assert set(failed((), [rollout(*history)], "web")) == {f"{NAME}:v1.1.0", f"{NAME}:v1.2.0", "side:v1"}
    later = [*history, ended("Promoted", "v1.1.0", 4)]
    assert failed((), [rollout(*later)], "web") == (f"{NAME}:v1.2.0",)


def test_what_is_remembered_outlives_the_history_and_other_sources_have_no_say() -> None:
    assert failed((f"{NAME}:v0.9.0",), [rollout()], "web") == (f"{NAME}:v0.9.0",)
    assert failed((), [rollout(ended("RolledBack", "v1.1.0", 1))], "other") == ()


@pytest.mark.parametrize(
    ("present", "becomes"),
    [
        pytest.param(f"{NAME}:v1.0.0", f"{NAME}:v1.1.0", id="an older tag"),
        pytest.param(f"{NAME}:v1.2.0", f"{NAME}:v1.2.0", id="a newer tag stays"),
        pytest.param(NAME, f"{NAME}:v1.1.0", id="no tag"),
        pytest.param(f"{NAME}:v1.0.0@sha256:{'0' * 64}", f"{NAME}:v1.1.0", id="a digest goes with its tag"),
        pytest.param("ghcr.io/team/other:v1.0.0", None, id="another image is not meant"),
    ],
)
def test_what_a_field_becomes(present: str, becomes: str | None) -> None:
    assert changed(IMAGE, present, "v1.1.0") == becomes
