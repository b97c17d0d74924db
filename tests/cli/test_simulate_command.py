"""`rollout simulate` on files: what is told, that it is reproducible, and the exit codes."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rollout.cli.app import app
from rollout.demo.player import content

SHOP = content() / "shop"
SOME = ("--rps", "600", "--error-rate", "1%", "--runs", "10")


def simulate(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        pytest.param(SOME, 0, id="a policy is played"),
        pytest.param(("--rps", "5"), 2, id="no error rate is wrong usage"),
        pytest.param((*SOME, "--rps", "0"), 2, id="no traffic is wrong usage"),
        pytest.param((*SOME, "--runs", "0"), 2, id="no run is wrong usage"),
        pytest.param((*SOME, "--bad-rate", "lots"), 2, id="a rate that is none is wrong usage"),
        pytest.param((*SOME, "--rate", "speed=1%"), 2, id="a metric that is not there is wrong usage"),
        pytest.param((*SOME, "-o", "xml"), 2, id="an unknown output is wrong usage"),
    ],
)
def test_exit_codes_of_a_simulation(words: tuple[str, ...], exit_code: int) -> None:
    done = simulate(SHOP, *words)
    assert done.exit_code == exit_code, done.output


def test_a_line_a_canary_and_what_was_promised() -> None:
    done = simulate(SHOP, *SOME)
    lines = done.stdout.splitlines()
    assert lines[0] == "shop  at 600 requests/s, 10 rollouts of each canary, seed 1"
    assert [line[:12].strip() for line in lines[2:5]] == ["like stable", "as tolerated", "errors 3 %"]
    assert "False rollback, like stable: 0 of 10, with 95 % confidence 0 % to 30.8 %; promised 1 %." in lines
    assert lines[-1].startswith("Missed regression, errors 3 %: 0 of 10")
    assert done.stderr == ""


def test_the_same_seed_prints_the_same() -> None:
    first, again = simulate(SHOP, *SOME).stdout, simulate(SHOP, *SOME).stdout
    assert first == again
    assert first != simulate(SHOP, *SOME, "--seed", "2").stdout.replace("seed 2", "seed 1")


def test_machines_read_the_shares_with_their_intervals() -> None:
    body = json.loads(simulate(SHOP, *SOME, "--bad-rate", "20%", "-o", "json").stdout)
    (told,) = body["rollouts"]
    good, tolerated, bad = told["canaries"]
    assert good["promoted"]["count"] + good["rolledBack"]["count"] + good["inconclusive"]["count"] == 10
    assert good["extraFailures"]["mean"] == 0
    assert tolerated["canary"] == {"errors": pytest.approx(0.0107)}
    assert bad["rolledBack"] == {
        "share": 1.0,
        "count": 10,
        "low": pytest.approx(0.6915, abs=1e-4),
        "high": 1.0,
    }
    assert bad["stoppedAtStep"] == {"1": 10}


def test_a_bad_rate_between_the_margins_is_no_missed_regression() -> None:
    assert "Missed regression" not in simulate(SHOP, *SOME, "--bad-rate", "1.2%").stdout


def test_a_policy_without_metrics_has_nothing_to_simulate(tmp_path: Path) -> None:
    text = (SHOP / "rollout.yaml").read_text()
    head = text.partition("      analysis:")[0]
    steps = "      steps:\n      - setWeight: 5\n      - pause: {duration: 1m}\n"
    (tmp_path / "rollout.yaml").write_text(head + steps)
    done = simulate(tmp_path, *SOME)
    assert done.exit_code == 2, done.output
    assert "nothing to simulate" in done.stderr


def test_a_metric_that_can_not_be_drawn_is_named_and_taken_as_passed(tmp_path: Path) -> None:
    for file in SHOP.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    memory = """  - name: memory
    compare: {mean: {gauge: memory_bytes}}
    provider: {prometheus: {address: "http://a"}}
"""
    template = tmp_path / "analysis.yaml"
    template.write_text(template.read_text() + memory)
    done = simulate(tmp_path, *SOME, "--rate", "memory=1")
    assert done.exit_code == 0, done.output
    assert "not simulated: memory, taken as passed" in done.stderr
    assert "like stable    100 %" in done.stdout


def test_the_example_of_a_simulation_in_the_documentation_has_the_lines_that_are_printed() -> None:
    root = Path(__file__).parents[2]
    words = "--rps 100 --error-rate 1% --rate latency=1% --bad-rate 3% --runs 50"
    done = simulate(root / "crds" / "examples", *words.split())
    page = (root / "docs" / "planning.md").read_text()
    assert f"$ rollout simulate crds/examples {words}\n" in page
    for line in done.stdout.splitlines():  # figures may move with numpy's streams, words may not
        assert re.split(r"  +|: \d", line)[0] in page
