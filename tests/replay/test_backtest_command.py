"""`rollout backtest` on records: what is told, when, and the exit codes."""

import json
import re
from pathlib import Path

import pytest
from recorded_traffic import CANARY, NAMES, recorded, shop
from typer.testing import CliRunner, Result

from analysis.sources.recorded import from_lines, to_lines
from rollout.cli.app import app
from rollout.demo.player import content

SHOP = content() / "shop"


def backtest(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["backtest", *map(str, words)])


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    recorded(folder / "good.jsonl", shop(0.01))
    recorded(folder / "bad.jsonl", shop(0.06))
    recorded(folder / "late.jsonl", shop(lambda second: 0.06 if second >= 20 else 0.01, share=0.05))
    recorded(folder / "blind.jsonl", shop(0.01, blind=range(9, 60)))
    recorded(folder / "short.jsonl", shop(0.01, seconds=9))
    recorded(folder / "doubtful.jsonl", shop(0.017, seconds=200, rps=150))
    return folder


def policy(folder: Path, old: str, new: str) -> Path:
    """The shop's manifests with an edit of the Rollout."""
    for file in SHOP.iterdir():
        (folder / file.name).write_text(file.read_text())
    text = (folder / "rollout.yaml").read_text()
    assert old in text
    (folder / "rollout.yaml").write_text(text.replace(old, new))
    return folder


def test_a_good_canary_is_promoted_step_by_step(records: Path) -> None:
    done = backtest(SHOP, "--record", records / "good.jsonl", *NAMES)
    assert done.exit_code == 0, done.output
    head, columns, *steps, end, errors = done.stdout.splitlines()
    assert head.startswith(
        "shop  replayed on 2026-03-01 12:00:00 UTC to 2026-03-01 12:01:59 UTC: canary 7d4b9c"
    )
    assert columns.split("  ")[0] == "STEP"
    assert [re.split(r"  +", line)[0] for line in steps] == [
        "1 judge at 5 %",
        "3 judge at 25 %",
        "5 judge at 50 %",
    ]
    assert all(line.endswith("passed") for line in steps)
    assert re.match(r"Promoted at 2026-03-01 12:00:\d\d UTC, after \d+ s: every guardrail", end)
    assert "not worse" in errors
    assert "10 % for 50 %" in done.stderr, "the record's split is not the policy's, and that is said"


def test_a_bad_canary_is_rolled_back_at_the_first_step(records: Path) -> None:
    done = backtest(SHOP, "--record", records / "bad.jsonl", *NAMES, "-o", "json")
    (told,) = json.loads(done.stdout)["rollouts"]
    assert told["end"] == "rolledBack"
    assert [step["ended"] for step in told["steps"]] == ["rolled back"]
    assert told["minutes"] < 0.5
    assert told["reason"].startswith("the canary is worse than the stable version: errors")
    assert told["evidence"][0]["worseProgress"] == 1


def test_what_begins_late_is_found_when_it_begins(records: Path) -> None:
    done = backtest(SHOP, "--record", records / "late.jsonl", *NAMES, "-o", "json")
    (told,) = json.loads(done.stdout)["rollouts"]
    assert told["end"] == "rolledBack"
    assert told["at"] > "2026-03-01T12:00:20"
    assert told["warnings"] == [] or "step 1" not in told["warnings"][0], "the record has the step's weight"


def test_a_hole_in_the_record_holds_and_is_told(records: Path) -> None:
    done = backtest(SHOP, "--record", records / "blind.jsonl", *NAMES, "-o", "json")
    (told,) = json.loads(done.stdout)["rollouts"]
    assert told["end"] == "promoted"
    assert told["at"] > "2026-03-01T12:01:00", "what can't be seen passes nothing"
    (blind,) = told["blind"]
    assert blind["reason"].startswith("errors: nothing new since 12:00:0")
    assert blind["to"] >= "2026-03-01T12:01:00"


def test_a_record_that_ends_too_soon_decides_nothing(records: Path) -> None:
    done = backtest(SHOP, "--record", records / "short.jsonl", *NAMES)
    assert "Not decided when the record ends at 2026-03-01 12:00:08 UTC" in done.stdout
    assert "not over when the record ends" in done.stdout


def test_evidence_that_does_not_suffice_is_held(records: Path, tmp_path: Path) -> None:
    edited = policy(tmp_path, "maxDuration: 2m", "maxDuration: 20s")
    done = backtest(edited, "--record", records / "doubtful.jsonl", *NAMES, "--expect", "inconclusive")
    assert done.exit_code == 0, done.output
    assert "held as inconclusive" in done.stdout
    assert "until somebody decides" in done.stdout


def test_a_calibration_reads_what_stable_did_before(records: Path, tmp_path: Path) -> None:
    recorded(records / "history.jsonl", shop(0.01, seconds=640, rps=200))
    edited = policy(tmp_path, "      analysis:\n", "      analysis:\n        calibrate: 1h\n")
    words = ("--from", "2026-03-01T12:10:00Z", "-o", "json")
    done = backtest(edited, "--record", records / "history.jsonl", *NAMES, *words)
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["rollouts"]
    assert told["evidence"][0]["noise"].startswith("errors: A/A: 0/200 false rollbacks")
    assert told["blind"] == [], "no time of the record passes while it is calibrated"


def test_an_open_pause_is_resumed_and_said(records: Path, tmp_path: Path) -> None:
    edited = policy(tmp_path, "      - setWeight: 5\n", "      - setWeight: 5\n      - pause: {}\n")
    done = backtest(edited, "--record", records / "good.jsonl", *NAMES)
    assert "1 pause at 5 % until resumed" in done.stdout
    assert "resumed: nobody is asked in a replay" in done.stdout
    assert "Promoted at" in done.stdout


def test_a_record_holds_no_answers_to_expressions(records: Path, tmp_path: Path) -> None:
    edited = policy(tmp_path, "shop", "shop")
    threshold = """  - name: busy
    successCondition: result[0] > 1
    provider: {prometheus: {address: "http://a", query: "sum(rate(http_requests_total[1m]))"}}
"""
    template = edited / "analysis.yaml"
    template.write_text(template.read_text() + threshold)
    done = backtest(edited, "--record", records / "good.jsonl", *NAMES)
    assert done.exit_code == 2, done.output
    assert "busy: asked by expressions" in done.stderr
    assert "replay it with --prometheus URL" in done.stderr


def test_matchers_tell_the_versions_apart_where_hashes_do_not(records: Path) -> None:
    arms = ("--canary", f'pod=~"shop-{CANARY}-.+"', "--stable", 'pod!~"shop-7.+"')
    named = backtest(SHOP, "--record", records / "bad.jsonl", *NAMES, "-o", "json")
    told = backtest(SHOP, "--record", records / "bad.jsonl", *arms, "-o", "json")
    by_name, by_matchers = (json.loads(each.stdout)["rollouts"][0] for each in (named, told))
    assert by_matchers["at"] == by_name["at"]
    assert by_matchers["evidence"][0]["canary"] == by_name["evidence"][0]["canary"]


def test_stable_against_itself_is_promoted(records: Path) -> None:
    arms = ("--canary", 'pod="shop-6c9f7d-aaaa0"', "--stable", 'pod=~"shop-6c9f7d-aaaa[1-3]"')
    assert backtest(SHOP, "--record", records / "bad.jsonl", *arms, "--expect", "promoted").exit_code == 0


def test_from_and_to_choose_a_stretch(records: Path) -> None:
    words = ("--from", "2026-03-01T12:00:30Z", "--to", "2026-03-01T13:00:40+01:00")
    done = backtest(SHOP, "--record", records / "late.jsonl", *NAMES, *words, "-o", "json")
    (told,) = json.loads(done.stdout)["rollouts"]
    assert told["from"] == "2026-03-01T12:00:30+00:00"
    assert told["to"] == "2026-03-01T12:00:40+00:00"


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        pytest.param((*NAMES,), 2, "either --prometheus URL or --record FILE", id="no source"),
        pytest.param(
            ("--record", "good.jsonl", "--prometheus", "http://a", *NAMES), 2, "either", id="two sources"
        ),
        pytest.param(("--prometheus", "http://127.0.0.1:1", *NAMES), 2, "--from TIME", id="no beginning"),
        pytest.param(
            ("--prometheus", "http://127.0.0.1:1", "--from", "5m", *NAMES),
            3,
            "127.0.0.1:1",
            id="nobody there",
        ),
        pytest.param(
            ("--record", "good.jsonl", "--from", "2026-03-01T12:00:00", *NAMES), 2, "zone", id="no zone"
        ),
        pytest.param(("--record", "good.jsonl", "--from", "noon", *NAMES), 2, "noon", id="no time"),
        pytest.param(
            ("--record", "good.jsonl", "--from", "1h", "--to", "2h", *NAMES), 2, "before --to", id="backwards"
        ),
        pytest.param(
            ("--record", "good.jsonl", "--from", "2026-03-01T12:30:00Z", *NAMES), 2, "it ends", id="after it"
        ),
        pytest.param(("--record", "good.jsonl"), 2, "--canary HASH --stable HASH", id="nobody is named"),
        pytest.param(
            ("--record", "good.jsonl", "--canary", "7d4b9c"), 2, "belong together", id="one is named"
        ),
        pytest.param(
            ("--record", "good.jsonl", "--canary", "a", "--stable", "a"), 2, "both a", id="one against itself"
        ),
        pytest.param(
            ("--record", "good.jsonl", "--canary", "v=1", "--stable", "b"), 2, "matchers", id="no matchers"
        ),
        pytest.param(
            ("--record", "good.jsonl", "--canary", "v3", "--stable", "6c9f7d"),
            1,
            "it has pods of 6c9f7d, 7d4b9c",
            id="a version that the record does not have",
        ),
        pytest.param(
            ("--prometheus", "prometheus:9090", "--from", "5m", *NAMES), 2, "http://", id="no address"
        ),
        pytest.param(
            ("--prometheus", "http://127.0.0.1:1", "--from", "5m", *NAMES, "--save", "none/a.jsonl"),
            2,
            "--save none/a.jsonl: no such folder",
            id="nowhere to save",
        ),
        pytest.param(("--record", "absent.jsonl", *NAMES), 2, "can't read", id="no such file"),
        pytest.param(("--record", "torn.jsonl", *NAMES), 1, "torn.jsonl:2: not JSON", id="a torn line"),
        pytest.param(("--record", "empty.jsonl", *NAMES), 1, "no sample in it", id="an empty file"),
        pytest.param(("--record", "binary.jsonl", *NAMES), 1, "UTF-8", id="no text"),
        pytest.param(
            ("--record", "good.jsonl", *NAMES, "--save", "a.jsonl"), 2, "is there already", id="saved twice"
        ),
        pytest.param(
            ("--record", "good.jsonl", *NAMES, "--expect", "rolledBack"),
            1,
            "it is promoted",
            id="not as told",
        ),
        pytest.param(("--record", "good.jsonl", *NAMES, "--plot", "a.pdf"), 2, "--plot", id="no picture"),
    ],
)
def test_what_can_not_be_replayed_says_why(
    words: tuple[str, ...], exit_code: int, said: str, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(records)
    lines = Path("short.jsonl").read_text().splitlines()
    Path("torn.jsonl").write_text(f"{lines[0]}\n{lines[1][:20]}\n")
    Path("empty.jsonl").write_text("\n")
    Path("binary.jsonl").write_bytes(b"\xff\xfe\x00")
    done = backtest(SHOP, *words)
    assert done.exit_code == exit_code, done.output
    assert said in done.stderr


@pytest.mark.parametrize("name", ["replay.svg", "replay.png"])
def test_a_replay_is_drawn(name: str, records: Path, tmp_path: Path) -> None:
    done = backtest(SHOP, "--record", records / "bad.jsonl", *NAMES, "--plot", tmp_path / name)
    assert done.exit_code == 0, done.output
    drawn = (tmp_path / name).read_bytes()
    if name.endswith("svg"):
        for words in ("rolled back", "100: roll back", "at 5 %", "errors: canary by stable", "seconds since"):
            assert words in drawn.decode()
    else:
        assert drawn.startswith(b"\x89PNG")


def test_the_example_of_the_documentation_has_the_lines_that_are_printed(tmp_path: Path) -> None:
    series = shop(lambda second: 0.025 if second >= 20 else 0.01, share=0.05)
    record = recorded(tmp_path / "incident.jsonl", series)
    done = backtest(SHOP, "--record", record, *NAMES)
    page = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text()
    assert f"$ rollout backtest shop/ --record incident.jsonl {' '.join(NAMES)} --plot incident.svg\n" in page
    for line in (done.stdout + done.stderr).splitlines():  # figures may move with numpy's streams
        assert re.split(r"  +|, | \d", line)[0] in page


def test_the_sample_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "backtest.md").read_text()
    (sample,) = [line for line in page.splitlines() if line.startswith('{"labels"')]
    (read,) = from_lines([sample])
    assert list(to_lines([read])) == [sample + "\n"]
