"""`rollout plan` on files: the table, what it warns of, and the exit codes."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from rollout.cli.app import app
from rollout.demo.player import content

SHOP = content() / "shop"
PLENTY = ("--rps", "600", "--error-rate", "1%")
LITTLE = ("--rps", "2", "--error-rate", "0.01")


def plan(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, words)])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the demo's manifests to change."""
    for file in SHOP.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    return tmp_path


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        pytest.param(PLENTY, 0, id="enough traffic is a yes"),
        pytest.param((*PLENTY, "--strict"), 0, id="enough traffic is a yes, strictly too"),
        pytest.param(LITTLE, 0, id="too little traffic is a warning"),
        pytest.param((*LITTLE, "--strict"), 1, id="too little traffic is a no where it is strict"),
        pytest.param(("--rps", "5"), 2, id="no error rate is wrong usage"),
        pytest.param(("--rps", "0", "--error-rate", "1%"), 2, id="no traffic is wrong usage"),
        pytest.param(
            ("--rps", "5", "--error-rate", "120%"), 2, id="more errors than requests are wrong usage"
        ),
        pytest.param(("--rps", "5", "--error-rate", "few"), 2, id="a rate that is none is wrong usage"),
        pytest.param((*PLENTY, "--rate", "speed=1%"), 2, id="a metric that is not there is wrong usage"),
        pytest.param((*PLENTY, "--rate", "errors"), 2, id="a metric without its rate is wrong usage"),
        pytest.param((*PLENTY, "--power", "1"), 2, id="certainty is wrong usage"),
        pytest.param((*PLENTY, "-o", "xml"), 2, id="an unknown output is wrong usage"),
    ],
)
def test_exit_codes(words: tuple[str, ...], exit_code: int) -> None:
    done = plan(SHOP, *words)
    assert done.exit_code == exit_code, done.output


def test_a_line_a_step_and_what_to_expect() -> None:
    done = plan(SHOP, *PLENTY)
    lines = done.stdout.splitlines()
    assert lines[0] == "shop  at 600 requests/s, with power 0.8"
    assert [line.split()[:2] for line in lines[2:5]] == [["1", "judge"], ["3", "judge"], ["5", "judge"]]
    assert "A good rollout takes about " in done.stdout
    assert "A canary at 3 % errors is proved worse after about " in done.stdout
    assert done.stderr == ""


def test_a_step_that_can_not_reach_its_margin_is_warned_of_with_a_remedy() -> None:
    done = plan(SHOP, *LITTLE)
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: shop: step ")]
    assert len(warnings) == 3
    assert "step 1 (judge at 5 %) has 2.0 min: to prove a good canary takes " in warnings[0]
    assert "raise maxDuration" in warnings[0]
    assert "may be held as inconclusive at step 1, 3, 5" in done.stdout


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_machines_read_the_same(form: str) -> None:
    done = plan(SHOP, *LITTLE, "-o", form)
    body = json.loads(done.stdout) if form == "json" else yaml.safe_load(done.stdout)
    (told,) = body["rollouts"]
    assert [step["index"] for step in told["steps"]] == [1, 3, 5]
    assert [step["reachesMargin"] for step in told["steps"]] == [False] * 3
    (metric,) = told["steps"][0]["metrics"]
    assert metric["unacceptable"] == pytest.approx(0.03)
    assert metric["detectableRatio"] > 3
    assert told["bad"]["end"] == "held"
    assert len(told["warnings"]) == 3


def test_what_it_predicts_grows_with_less_traffic() -> None:
    def minutes(rps: str) -> float:
        told = json.loads(plan(SHOP, "--rps", rps, "--error-rate", "1%", "-o", "json").stdout)
        expected: float = told["rollouts"][0]["goodMinutes"]["expected"]
        return expected

    assert minutes("10") > minutes("100") > minutes("1000")


def test_a_bad_rate_of_ones_own() -> None:
    told = json.loads(plan(SHOP, *PLENTY, "--bad-rate", "10%", "-o", "json").stdout)["rollouts"][0]
    assert told["bad"]["rate"] == 0.1
    assert told["bad"]["minutes"]["expected"] < 0.2


def test_metrics_of_inline_analyses_and_latency_are_planned_by_their_rates(shop: Path) -> None:
    template = yaml.safe_load((shop / "analysis.yaml").read_text())
    slow = {"name": "slow", "compare": {"histogram": {"buckets": "d_bucket", "slo": ["300ms", "1s"]}}}
    template["spec"]["metrics"].append(slow)
    (shop / "analysis.yaml").write_text(yaml.safe_dump(template))
    rollout = yaml.safe_load((shop / "rollout.yaml").read_text())
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    steps[1:1] = [{"pause": {"duration": "1m"}}, {"pause": {}}]
    steps.append({"analysis": {"templates": [{"templateName": "errors"}]}})
    (shop / "rollout.yaml").write_text(yaml.safe_dump(rollout))
    without = plan(shop, *PLENTY)
    assert "not planned: slow (say by --rate METRIC=RATE how often it happens)" in without.stderr
    told = json.loads(plan(shop, *PLENTY, "--rate", "slow=2%", "-o", "json").stdout)["rollouts"][0]
    assert [(step["index"], step["kind"]) for step in told["steps"]] == [
        (1, "pause"),
        (3, "judge"),
        (5, "judge"),
        (7, "judge"),
        (8, "analysis"),
    ]
    assert [m["metric"] for m in told["steps"][1]["metrics"]] == ["errors", "slow", "slow"]
    assert {m["metric"] for m in told["steps"][4]["metrics"] if m["minutesToPassGood"]} == {
        "errors@8",
        "slow@8",
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "exit_code", "says"),
    [
        pytest.param(
            "rollout.yaml", "templateName: errors", "templateName: erors", 1, "erors", id="no template"
        ),
        pytest.param(
            "rollout.yaml", "replicas: 4", "replicas: four", 1, "spec.replicas", id="an invalid Rollout"
        ),
        pytest.param("analysis.yaml", "interval: 1s", "interval: 0s", 1, "errors", id="an invalid template"),
        pytest.param("analysis.yaml", "metadata:", "metadata: [", 1, "analysis.yaml:", id="no YAML"),
        pytest.param("rollout.yaml", "kind: Rollout", "kind: Deployment", 2, "no Rollout", id="no Rollout"),
    ],
)
def test_a_policy_that_can_not_be_planned(
    file: str, old: str, new: str, exit_code: int, says: str, shop: Path
) -> None:
    text = (shop / file).read_text()
    assert old in text
    (shop / file).write_text(text.replace(old, new, 1))
    done = plan(shop, *PLENTY)
    assert done.exit_code == exit_code, done.output
    assert says in done.stderr


def test_a_rollout_without_analysis_judges_nothing(shop: Path) -> None:
    body = yaml.safe_load((shop / "rollout.yaml").read_text())
    canary = body["spec"]["strategy"]["canary"]
    del canary["analysis"]
    canary["steps"] = [{"setWeight": 5}, {"pause": {"duration": "1m"}}]
    (shop / "rollout.yaml").write_text(yaml.safe_dump(body))
    assert "no analysis: nothing is judged" in plan(shop, *PLENTY).stderr
    assert plan(shop, *PLENTY).exit_code == 0
    assert plan(shop, *PLENTY, "--strict").exit_code == 1


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert plan(tmp_path / "absent", *PLENTY).exit_code == 2


def test_the_example_of_the_documentation_is_what_is_printed() -> None:
    root = Path(__file__).parents[2]
    words = "--rps 100 --error-rate 1% --rate latency=1%"
    shown = (
        f"$ rollout plan crds/examples {words}\n" + plan(root / "crds" / "examples", *words.split()).stdout
    )
    assert shown in (root / "docs" / "planning.md").read_text()


def test_a_step_under_unequal_load_is_told_with_a_weight_that_would_do(shop: Path) -> None:
    template = shop / "analysis.yaml"
    body = yaml.safe_load(template.read_text())
    slow = {"histogram": {"buckets": "request_seconds_bucket", "slo": ["300ms"]}}
    body["spec"]["metrics"].append({"name": "latency", "compare": slow})
    template.write_text(yaml.safe_dump(body))
    said = plan(shop, *PLENTY, "--rate", "latency=1%").stderr
    assert "step 1 (judge at 5 %): a canary pod gets 0.21 times the requests of a stable pod" in said
    assert "latency may not roll back alone (at 12 % they are alike)" in said
    assert "step 3" not in said
