"""The parts that need no server: selectors, patches, ownership, names of columns."""

import pytest

from rollout.sandbox.apiserver import ownership, patches, selectors
from rollout.sandbox.apiserver.ages import short_duration
from rollout.sandbox.apiserver.shape import custom_shape, kind_shape
from rollout.sandbox.apiserver.store import Store
from rollout.sandbox.apiserver.table import json_path

LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("text", "matched"),
    [
        pytest.param("app=web,tier!=back", True, id="equal and unequal"),
        pytest.param("app in (web,api),!canary", True, id="one of a set, and absent"),
        pytest.param("app notin (web)", False, id="none of a set"),
        pytest.param("canary", False, id="present"),
        pytest.param("", True, id="nothing asked"),
    ],
)
def test_a_label_selector_selects(text, matched):
    assert selectors.match_labels(selectors.parse_labels(text), {"metadata": {"labels": LABELS}}) is matched


def test_a_selector_that_does_not_parse_says_where():
    with pytest.raises(selectors.SelectorError, match="found '', expected"):
        selectors.parse_labels("app in (web")


def test_a_strategic_patch_merges_containers_by_name_and_deletes_by_directive():
    pod = {"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}}
    patch = {"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "a", "$patch": "delete"}]}}
    merged = patches.strategic_patch(pod, patch, kind_shape("", "v1", "Pod"))
    assert merged == {"spec": {"containers": [{"name": "b", "image": "2"}]}}


def test_ownership_of_a_list_of_maps_is_by_key_and_survives_its_written_form():
    schema = {
        "type": "object",
        "properties": {
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
                },
            }
        },
    }
    owned = ownership.field_set({"ports": [{"name": "x", "n": 1}]}, custom_shape(schema))
    written = ownership.to_fields_v1(owned)
    assert written == {"f:ports": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:n": {}}}}
    assert ownership.from_fields_v1(written) == owned


def test_a_filtered_json_path_reads_conditions():
    obj = {"status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]}}
    assert json_path(obj, '.status.conditions[?(@.type=="Ready")].status') == ["True"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(59, "59s"), (125, "2m5s"), (4 * 3600, "4h"), (3 * 86400 + 3600, "3d1h"), (86400 * 30, "30d")],
)
def test_ages_are_shown_in_the_units_that_matter(seconds, shown):
    assert short_duration(seconds) == shown


def test_versions_of_a_later_store_are_later_though_nothing_is_kept():
    first = Store()
    for name in range(50):
        first.put(("", "x"), ("", str(name)), {"metadata": {"name": str(name)}})
    assert first.version - first.first == 50
    assert Store().first >= first.first
