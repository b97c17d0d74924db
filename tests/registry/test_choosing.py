"""The tag that a policy takes."""

import pytest

from rollout.api.images import ImagePolicy
from rollout.registry.choosing import choose, is_newer

BUILDS = ["main-aaaa111-9", "main-bbbb222-10", "main-cccc333-8", "dev-dddd444-99", "latest"]
NUMBERED = {"filter": "^main-[0-9a-f]+-(?P<n>[0-9]+)$", "extract": "n"}


@pytest.mark.parametrize(
    ("policy", "tags", "taken"),
    [
        pytest.param(
            {"semver": "1.x"}, ["v1.9.0", "v1.10.0", "2.0.0", "latest"], "v1.10.0", id="the highest version"
        ),
        pytest.param({"semver": ">=1.0.0"}, ["1.1.0-rc.1", "1.0.0"], "1.0.0", id="no pre-release unasked"),
        pytest.param({"numeric": "asc", **NUMBERED}, BUILDS, "main-bbbb222-10", id="the largest number"),
        pytest.param({"numeric": "desc", **NUMBERED}, BUILDS, "main-cccc333-8", id="the smallest number"),
        pytest.param(
            {"alphabetical": "asc"},
            ["2024-01", "2024-02", "2023-12"],
            "2024-02",
            id="the last of the alphabet",
        ),
        pytest.param({"alphabetical": "desc"}, ["b", "ab", "a"], "a", id="the first of the alphabet"),
        pytest.param(
            {"alphabetical": "asc", "filter": "^rc-"},
            ["rc-1", "v9"],
            "rc-1",
            id="of those that pass the filter",
        ),
        pytest.param({"semver": "1.x"}, ["latest"], "", id="none qualifies"),
        pytest.param({"semver": "*"}, ["1.0.0\n", "1.0.0 x"], "", id="tags that no registry may hold"),
    ],
)
def test_what_is_taken(policy: dict[str, str], tags: list[str], taken: str) -> None:
    assert choose(ImagePolicy.model_validate(policy), tags) == taken


def test_a_tag_that_failed_is_not_taken_again() -> None:
    policy = ImagePolicy(semver="1.x")
    assert choose(policy, ["v1.5.0", "v1.5.1"], {"v1.5.1"}) == "v1.5.0"


@pytest.mark.parametrize(
    ("tag", "present", "newer"),
    [
        pytest.param("v1.5.1", "v1.5.0", True, id="it is newer"),
        pytest.param("v1.5.0", "v1.5.1", False, id="it is older: Git is never taken back"),
        pytest.param("v1.5.0", "v1.5.0", False, id="it is the same"),
        pytest.param("v1.5.0", "latest", True, id="the present one has no place in the policy"),
    ],
)
def test_a_tag_takes_the_place_of_an_older_one_alone(tag: str, present: str, newer: bool) -> None:
    assert is_newer(ImagePolicy(semver="1.x"), tag, present) is newer


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        pytest.param({}, "exactly one order", id="no order"),
        pytest.param({"semver": "1.x", "numeric": "asc"}, "exactly one order", id="two orders"),
        pytest.param(
            {"alphabetical": "asc", "filter": "(a+)+$"},
            "nor one within another",
            id="a filter that never ends",
        ),
        pytest.param({"alphabetical": "asc", "filter": "["}, "not a regular expression", id="no pattern"),
        pytest.param(
            {"numeric": "asc", "filter": "a", "extract": "n"},
            "no named group",
            id="a group that is not there",
        ),
    ],
)
def test_a_policy_that_can_not_be_is_refused(policy: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ImagePolicy.model_validate(policy)
