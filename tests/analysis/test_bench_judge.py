"""The judge's benchmark: its rollouts side by side are the judge's own, its rules are what they say."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis import Dispersion, Metric, Policy, Proportion
from analysis.power import Side
from benchmarks.judge import __main__ as command
from benchmarks.judge import many as side_by_side
from benchmarks.judge.cells import Cell, error_rate, mean, median, median_ratio, share
from benchmarks.judge.data import increase
from benchmarks.judge.efficiency import wald
from benchmarks.judge.effort import Effort
from benchmarks.judge.many import Many, NotTheJudgeError, watch
from benchmarks.judge.peers import calibrated, failed_measurements, first, judged_high, peeking_z
from benchmarks.judge.policies import bare, default
from benchmarks.judge.traffic import Index, Split, Traffic, steady

NEVER = 1e9
EFFORT = Effort(seed=5, say=lambda _: None, part=0.01)


def noisy(dispersion: Dispersion) -> Policy:
    return bare(alpha=0.05, dispersion=dispersion)


def replayed(policy: Policy, rate: float, side: Side, *, requests: int = 300, look_s: int = 15) -> int:
    """All of six rollouts over 40 looks, side by side and by the folds: raises where they differ."""
    many = Many(policy, 6, side=side, pods=(2, 20), look=timedelta(seconds=look_s))
    world = Split(np.random.default_rng(3), 0.1, steady(rate, rate), lambda _: requests)
    return watch(many, world, 6, 40, [NEVER], replayed=6).replayed


@pytest.mark.parametrize("side", sorted(Side, key=str))
@pytest.mark.parametrize(
    ("policy", "rate", "requests"),
    [
        pytest.param(bare(), 0.01, 300, id="no margin"),
        pytest.param(default(), 0.01, 300, id="default margins and reserve"),
        pytest.param(default(), 0.01, 12, id="looks in which an arm has no request"),
        pytest.param(default(), 0.2, 300, id="frequent events"),
        pytest.param(default(), 0.05, 300, id="frequent in some rollouts and rare in others"),
        pytest.param(default(), 0.0, 300, id="no errors at all"),
        pytest.param(default(horizon=timedelta(minutes=5)), 0.01, 300, id="a reserve that is soon put in"),
        pytest.param(noisy(Dispersion(phi=4.0)), 0.01, 300, id="tempered"),
        pytest.param(noisy(Dispersion(tau=0.15, pods=20)), 0.01, 300, id="pods that differ"),
    ],
)
def test_rollouts_side_by_side_are_judged_as_one_by_one(
    policy: Policy, rate: float, requests: int, side: Side
) -> None:
    assert replayed(policy, rate, side, requests=requests) == 6


def test_arithmetic_that_is_not_the_judges_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle can fail: the first look is bet on in full."""
    monkeypatch.setattr(side_by_side, "half", lambda gained: gained)
    with pytest.raises(NotTheJudgeError, match="look 1"):
        replayed(bare(), 0.05, Side.HARM)


def test_rollouts_that_are_over_are_left_out_and_change_nothing_for_the_others() -> None:
    rng = np.random.default_rng(1)
    drawn = [tuple(rng.binomial(1000, rate, 30).astype(float) for rate in (0.03, 0.01)) for _ in range(60)]

    class Given:
        def look(self, number: int, who: Index) -> Traffic:
            canary, stable = drawn[number]
            whole = np.full(len(who), 1000.0)
            return Traffic(canary[who], whole, stable[who], whole)

    level = math.log(20)
    together = watch(Many(bare(), 30), Given(), 30, 60, [level, NEVER], replayed=2)
    leaving = watch(Many(bare(), 30), Given(), 30, 60, [level], replayed=2)
    assert np.isfinite(leaving.at(level)).all()
    assert leaving.at(level).tolist() == together.at(level).tolist()


def test_five_metrics_side_by_side_have_the_judges_weights() -> None:
    metrics = tuple(Metric(name, Proportion("bad", "total")) for name in "abc")
    policy = Policy(metrics, late_share=0.0)
    thresholds = [Many(policy, 1, name=name).question.threshold for name in "abc"]
    assert thresholds == pytest.approx([-math.log(0.01 * weight) for weight in (0.5, 0.25, 0.25)])


def test_a_promise_holds_by_its_bound_and_fails_by_it_too() -> None:
    assert error_rate(1, "", 100, 4000, 0.05).holds is True
    assert error_rate(1, "", 190, 4000, 0.05).holds is None, "4.75 % of 4,000 may be more than 5 %"
    assert error_rate(1, "", 240, 4000, 0.05).holds is False
    assert error_rate(1, "", 0, 10, 0.05).holds is None
    assert error_rate(1, "", 240, 4000, None).asked is False


def test_an_interval_of_a_share_is_clopper_and_pearsons() -> None:
    cell, oracle = share(5, "", 7, 90), stats.binomtest(7, 90).proportion_ci(0.95, "exact")
    assert (cell.low, cell.high) == pytest.approx((oracle.low, oracle.high))


@pytest.mark.parametrize("kind", [median, mean])
def test_intervals_hold_the_truth_as_often_as_they_say(kind: Any) -> None:
    rng = np.random.default_rng(8)
    truth = math.log(2) if kind is median else 1.0
    cells = [kind(2, "", rng.exponential(1.0, 120)) for _ in range(300)]
    inside = sum(cell.low <= truth <= cell.high for cell in cells)
    assert stats.binomtest(inside, 300, 0.93, "less").pvalue > 1e-3


def test_an_estimate_outside_by_chance_is_not_called_a_failure() -> None:
    values = np.linspace(0.5, 1.6, 41)
    assert median(2, "", values, 1.1).holds is True
    assert median(2, "", values, 1.0).holds is None
    assert median(2, "", values, 0.6).holds is False
    assert median_ratio(3, "", 3 * values, values, least=2.9).holds is True


def test_argo_and_flagger_never_forget_a_failed_measurement() -> None:
    rates = np.array([[0.02, 0.0], [0.0, 0.02], [0.02, 0.0], [0.02, 0.0]])
    assert failed_measurements(rates, 0.01, 2).tolist() == [4, math.inf]
    assert failed_measurements(rates, 0.01, 0).tolist() == [1, 2]


def test_a_calibrated_threshold_is_passed_by_alpha_of_equal_arms() -> None:
    rates = np.random.default_rng(2).random((60, 4000))
    for allowed in (0, 3):
        found = failed_measurements(rates, calibrated(rates, allowed, 0.05), allowed)
        assert np.isfinite(found).mean() == pytest.approx(0.05, abs=0.002)


def test_peeking_z_is_the_pooled_test_of_two_proportions() -> None:
    seen = Traffic(*(np.array([[value]]) for value in (20.0, 1000.0, 100.0, 9000.0)))
    pooled = 120 / 10_000
    z = (0.02 - 100 / 9000) / math.sqrt(pooled * (1 - pooled) * (1 / 1000 + 1 / 9000))
    assert peeking_z(seen, stats.norm.sf(z) * 1.001).tolist() == [1]
    assert peeking_z(seen, stats.norm.sf(z) * 0.999).tolist() == [math.inf]


def test_kayenta_is_high_where_mann_and_whitney_still_reject_a_quarter_of_the_estimate() -> None:
    rng = np.random.default_rng(6)
    canary, stable = rng.poisson(4, (80, 30)) / 75.0, rng.poisson(3, (80, 30)) / 75.0
    said = judged_high(canary, stable)
    for one, other, high in zip(canary, stable, said, strict=True):
        beyond = 0.25 * abs(np.median(np.subtract.outer(one, other)))
        test = stats.mannwhitneyu(one - beyond, other, alternative="greater", method="asymptotic")
        assert high == (test.pvalue < 0.01)
    assert 0 < said.sum() < 80


def test_values_that_are_all_equal_are_not_high() -> None:
    assert not judged_high(np.zeros((1, 10)), np.zeros((1, 10))).any()
    assert first(np.zeros((3, 1), dtype=bool)).tolist() == [math.inf]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([(10_000, 5.0)], 0.0, id="one sample shows no increase"),
        pytest.param([(15_000, 4.0), (30_000, 6.0), (45_000, 8.0)], 8.0, id="extrapolated to both ends"),
        pytest.param([(15_000, 1.0), (30_000, 1.0)], 0.0, id="the first event of a series is never seen"),
        pytest.param([(15_000, 9.0), (30_000, 2.0), (45_000, 4.0)], 8.0, id="a reset"),
    ],
)
def test_increase_is_as_documented(samples: list[tuple[int, float]], expected: float) -> None:
    assert increase(samples, 0, 60_000) == pytest.approx(expected)


def test_the_limit_is_walds() -> None:
    found = [wald(0.02, 0.01, part, 0.05) for part in (0.05, 0.1, 0.5)]
    assert found == pytest.approx([16_347, 8_748, 3_475], abs=1)


def all_cells(seed: int) -> list[Cell]:
    ((_, cells),) = command.measured(replace(EFFORT, seed=seed, part=0.002), frozenset({10}))
    return cells


def test_the_same_seed_gives_the_same_numbers_and_another_others() -> None:
    one, again, other = (all_cells(seed) for seed in (5, 5, 6))
    assert one == again != other


def test_a_quick_run_prints_a_table_and_writes_every_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results" / "judge.json"
    given = ["judge", "--quick", "--only", "5", "8", "--json", str(file), "--seed", "7"]
    monkeypatch.setattr("sys.argv", given)
    assert command.main() == 0
    told = json.loads(file.read_text())
    assert (told["seed"], told["quick"]) == (7, True)
    assert {cell["target"] for cell in told["cells"]} == {5, 8}
    for cell in told["cells"]:
        assert cell["low"] <= cell["value"] <= cell["high"]
        assert cell["repetitions"] >= 1
        assert (cell["holds"] is None) or cell["wanted"]
    assert "Events that are counted" in capsys.readouterr().out


def test_a_target_that_fails_is_told_by_name_and_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_: Effort) -> Iterator[Cell]:
        yield error_rate(1, "a canary that is not worse", 400, 4000, 0.05)

    monkeypatch.setattr(command, "PARTS", ((frozenset({1}), failing),))
    monkeypatch.setattr("sys.argv", ["judge", "--json", str(tmp_path / "judge.json")])
    assert command.main() == 1
    assert "1. a canary that is not worse: 0.1, wanted <= 0.05" in capsys.readouterr().out
