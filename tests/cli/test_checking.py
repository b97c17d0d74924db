"""`rollout lint` on files: what is found, where, and the exit code."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from rollout.cli.app import app
from rollout.demo.player import content

SHOP = content() / "shop"


def lint(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["lint", *map(str, words)])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the demo's manifests to break."""
    for file in SHOP.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    return tmp_path


def test_good_manifests_are_a_silent_yes(shop: Path) -> None:
    done = lint(shop)
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("replicas: 4", "replicas: four", "spec.replicas", id="a value of another type"),
        pytest.param("replicas: 4", "replica: 4", "spec.replica", id="an unknown field"),
        pytest.param(
            "templateName: errors", "templateName: erors", "erors", id="a template that is not there"
        ),
    ],
)
def test_a_fault_is_named_with_its_file_and_line(old: str, new: str, says: str, shop: Path) -> None:
    file = shop / "rollout.yaml"
    lines = file.read_text().splitlines()
    number = next(i for i, line in enumerate(lines, 1) if old in line)
    file.write_text(file.read_text().replace(old, new))
    done = lint(shop)
    assert done.exit_code == 1
    (found,) = [line for line in done.output.splitlines() if line.startswith(str(shop))]
    assert found.startswith(f"{file}:{number}: error: ")
    assert says in found


def test_a_file_that_is_no_yaml_does_not_hide_the_others(shop: Path) -> None:
    (shop / "broken.yaml").write_text("a: [1\nb: 2\n")
    (shop / "rollout.yaml").write_text(
        (SHOP / "rollout.yaml").read_text().replace("replicas: 4", "replicas: -4")
    )
    done = lint(shop)
    assert done.exit_code == 1
    assert f"{shop / 'broken.yaml'}:2: error: column 2" in done.output
    assert f"{shop / 'rollout.yaml'}:7: error: spec.replicas" in done.output


def test_findings_as_json(shop: Path) -> None:
    (shop / "rollout.yaml").write_text(
        (SHOP / "rollout.yaml").read_text().replace("replicas: 4", "replicas: -4")
    )
    done = CliRunner().invoke(app, ["lint", str(shop), "-o", "json"])
    (found,) = json.loads(done.stdout)
    assert (found["line"], found["severity"], found["field"]) == (7, "error", "spec.replicas")


def test_a_path_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert lint(tmp_path / "absent").exit_code == 2


@pytest.mark.parametrize(
    ("allowed", "exit_code"),
    [
        pytest.param("http://prometheus.monitoring:9090", 1, id="another one"),
        pytest.param("http://prometheus:9090", 0, id="that one"),
        pytest.param("http://other:9090 http://prometheus:9090", 0, id="that one among others"),
    ],
)
def test_a_prometheus_that_the_operator_would_not_ask_is_named(
    allowed: str, exit_code: int, shop: Path
) -> None:
    template = shop / "analysis.yaml"
    body = yaml.safe_load(template.read_text())
    body["spec"]["metrics"][0]["provider"] = {"prometheus": {"address": "http://prometheus:9090"}}
    template.write_text(yaml.safe_dump(body))
    done = CliRunner().invoke(app, ["lint", str(shop)], env={"ROLLOUT_PROMETHEUS_ALLOWED": allowed})
    assert done.exit_code == exit_code
    assert ("spec.metrics[0].provider.prometheus.address" in done.output) is bool(exit_code)
