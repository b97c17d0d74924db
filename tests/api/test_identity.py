import copy
import re

import api_manifests as manifests
import pytest
from api_manifests import changed
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api.crd import open_api
from rollout.api.identity import attempt_key, template_hash
from rollout.api.kinds import DEFINITIONS
from rollout.api.rollout import parse_rollout
from rollout.sandbox.apiserver import structural

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
templates = st.dictionaries(st.text(max_size=5), json, max_size=4)


def key(body: manifests.Body) -> str:
    return attempt_key(parse_rollout(body).spec)


def test_hash_and_key_stay_what_they_are_over_releases() -> None:
    body = manifests.rollout()
    assert template_hash(body["spec"]["template"]) == "gqb5nqz2tq"
    assert key(body) == "zgs4dz4z4fb8jxl5"


@settings(derandomize=True)
@given(templates)
def test_a_hash_fits_a_name_and_does_not_care_for_order_or_nulls(template: dict[str, object]) -> None:
    found = template_hash(template)
    assert re.fullmatch(r"[bcdfghjklmnpqrstvwxz2456789]{10}", found)
    assert template_hash(dict(reversed(template.items()))) == found
    assert template_hash(template | {"another": None}) == found
    assert template_hash(template | {"another": 1}) != found


@settings(derandomize=True)
@given(templates, st.integers(1, 50))
def test_a_collision_gets_another_hash(template: dict[str, object], collision: int) -> None:
    assert template_hash(template, collision) != template_hash(template)


def test_one_and_one_point_nought_are_the_same_number_to_the_api_server() -> None:
    assert template_hash({"spec": {"a": 1.0}}) == template_hash({"spec": {"a": 1}})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("spec.replicas", 7, id="replicas"),
        pytest.param("spec.paused", True, id="paused"),
        pytest.param("spec.revisionHistoryLimit", 3, id="the history limit"),
        pytest.param("spec.rollbackWindow", {"revisions": 3}, id="the rollback window"),
        pytest.param("spec.progressDeadlineSeconds", 600, id="a default that is written out"),
        pytest.param(
            "spec.strategy.canary.steps[2].pause.duration", "0.5m", id="the same time in another unit"
        ),
        pytest.param("spec.strategy.canary.steps[2].pause.duration", 30, id="the same time as a number"),
        pytest.param("metadata.labels", {"a": "b"}, id="metadata"),
    ],
)
def test_the_attempt_stays_the_same_with_other(path: str, value: object) -> None:
    assert key(changed(manifests.rollout(), path, value)) == key(manifests.rollout())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("spec.retry", "2", id="retry"),
        pytest.param("spec.template.spec.containers[0].image", "shop:v2", id="image"),
        pytest.param("spec.strategy.canary.steps[0].setWeight", 6, id="weight"),
        pytest.param("spec.strategy.canary.steps[2].pause", {}, id="pause"),
        pytest.param("spec.strategy.canary.analysis.falseRollback", "2%", id="alpha"),
        pytest.param("spec.minReadySeconds", 1, id="minReadySeconds"),
    ],
)
def test_it_is_a_new_attempt_with_another(path: str, value: object) -> None:
    assert key(changed(manifests.rollout(), path, value)) != key(manifests.rollout())


def test_defaults_that_the_api_server_fills_in_make_no_new_attempt() -> None:
    stored = copy.deepcopy(manifests.rollout())
    structural.default(stored, open_api(DEFINITIONS[0]))
    assert stored != manifests.rollout()
    assert key(stored) == key(manifests.rollout())
