"""The story's own manifests and edits, checked without playing it."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from rollout.api.analysis import parse_analysis_template
from rollout.api.gitsource import parse_git_source
from rollout.api.rollout import parse_rollout
from rollout.demo.player import content
from rollout.demo.story import MANIFEST, STORY, Act, AwaitRevert, Commit, Restore, put_back

SHOP = content() / "shop"


def texts(story: Iterable[Act] = STORY) -> dict[str, str]:
    """The manifest as each act leaves it."""
    text, found = (content() / MANIFEST).read_text(), {}
    for act in story:
        for deed in act.deeds:
            if isinstance(deed, AwaitRevert):
                text = found["good"]
            if isinstance(deed, Commit):
                for old, new in deed.edits:
                    assert old in text, f"{act.key}: {old!r} is not there to be replaced"
                    text = text.replace(old, new)
            if isinstance(deed, Restore):
                text = found[deed.of]
        found[act.key] = text
    return found


@pytest.mark.parametrize("act", [act for act in STORY if act.ends.applied], ids=lambda act: act.title)
def test_each_commit_that_is_applied_is_a_rollout_of_the_version_it_tries(act) -> None:
    manifest = yaml.safe_load(texts()[act.key])
    assert parse_rollout(manifest).spec.template["spec"]["containers"][0]["image"] == f"shop:{act.version}"


@pytest.mark.parametrize("act", [act for act in STORY if not act.ends.applied], ids=lambda act: act.title)
def test_the_broken_commit_is_no_yaml(act) -> None:
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(texts()[act.key])


def test_restoring_brings_back_the_very_manifest() -> None:
    assert texts()["back"] == texts()["good"]


def test_the_act_that_is_aborted_has_a_pause_to_abort_in() -> None:
    steps = yaml.safe_load(texts()["stopped"])["spec"]["strategy"]["canary"]["steps"]
    assert steps[:2] == [{"setWeight": 5}, {"pause": {}}]


def test_the_template_and_the_source_are_what_the_api_takes() -> None:
    (metric,) = parse_analysis_template(yaml.safe_load((SHOP / "analysis.yaml").read_text())).spec.metrics
    assert (metric.compare.unacceptable.relative, metric.compare.unacceptable.absolute.value) == (1.0, 0.01)
    assert parse_git_source(yaml.safe_load((content() / "gitsource.yaml").read_text())).spec.path == "shop"


def test_no_manifest_is_left_out_of_the_package() -> None:
    assert {path.name for path in Path(SHOP).iterdir()} == {
        "analysis.yaml",
        "rollout.yaml",
        "route.yaml",
        "services.yaml",
    }


def test_where_the_operator_reverts_each_act_begins_with_what_it_put_back() -> None:
    ours = tuple(put_back())
    left = texts(ours)
    assert [act.key for act in ours] == ["first", "good", "bad", "stopped", "malformed"]
    assert left["bad"] == left["stopped"] == left["good"]
    assert all(act.ends.serves == "v2" for act in ours[1:])
