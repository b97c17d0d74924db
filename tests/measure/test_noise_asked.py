"""How noisy metrics are is asked of stable's history before the first look, and counts from then on."""

import asyncio
import math
from typing import Any

import pytest
from measured_shop import CANARY, ERRORS, NOW, STABLE, Judged, evidence, pods

from analysis.evidence import Series
from rollout.api.errors import InvalidSpec
from rollout.measure import Measured
from rollout.plan.evidence import Outcome

HISTORY = 1500
CALIBRATED = {"calibrate": f"{HISTORY}s"}


def clumps(size: int) -> Any:
    """Events come so many at once, as retries do; each pod at its own time."""
    return lambda events: math.floor(events / size) * size


def shop(size: int = 1, errors: float = 0.01, stable: int = 4, **about: Any) -> Judged:
    every = [
        *pods(STABLE, stable, rps=40 / stable, count=clumps(size)),
        *pods(CANARY, 2, rps=20.0, errors=errors, began=120.0, count=clumps(size)),
    ]
    staggered = [pod.began_earlier(97 * pod.number) for pod in every]
    return Judged([ERRORS], staggered, analysis=CALIBRATED, history=HISTORY, **about)


async def looked(shop: Judged) -> Measured:
    """The first look after the calibration."""
    for _ in range(200):
        measured = await shop.look(0 if shop.seconds else 5)
        if measured.evidence.metrics:
            return measured
        assert measured.evidence.outcome is Outcome.UNDECIDED
        assert "waits until stable's history" in measured.evidence.reason
        await asyncio.sleep(0.05)
    raise AssertionError("never calibrated")


async def test_a_quiet_metric_is_told_to_be_one() -> None:
    shown = evidence(await looked(shop()), "errors")
    assert shown.noise.startswith("errors: A/A: 0/200 false rollbacks, phi 1")


async def test_a_noisy_metric_is_tempered_by_what_its_history_showed() -> None:
    noisy = shop(size=8)
    shown = evidence(await looked(noisy), "errors")
    phi = float(shown.noise.partition("phi ")[2].split(",")[0])
    assert 2 < phi < 20
    quiet = Judged([ERRORS], noisy.pods, history=HISTORY)
    for each in (noisy, quiet):
        assert (await each.until(Outcome.NOT_WORSE)).evidence.outcome is Outcome.NOT_WORSE
    assert noisy.seconds > quiet.seconds


async def test_beyond_phi_20_a_metric_may_not_roll_back() -> None:
    wild = shop(size=40, errors=0.5)
    shown = evidence(await looked(wild), "errors")
    assert "above 20 it may not roll back" in shown.noise
    assert (await wild.until(Outcome.WORSE, within=200)).evidence.outcome is not Outcome.WORSE


async def test_too_few_pods_are_said_to_be_too_few() -> None:
    shown = evidence(await looked(shop(stable=1)), "errors")
    assert shown.noise == "errors: not calibrated, 1 stable pods are too few to compare"


class Refusing:
    """A source that knows nothing older than the rollout."""

    def __init__(self, shop: Judged) -> None:
        self.live = shop.source

    async def query(self, selector: str, at: Any, span: Any) -> tuple[Series, ...]:
        if at <= NOW:
            raise ValueError("the history is gone")
        return await self.live.query(selector, at, span)

    async def instant(self, expression: str, at: Any) -> Any:
        return await self.live.instant(expression, at)


async def test_a_history_that_cant_be_read_is_said_and_holds_nobody_up() -> None:
    blind = shop()
    blind.source = Refusing(blind)  # type: ignore[assignment]
    shown = evidence(await looked(blind), "errors")
    assert shown.noise == "errors: not calibrated: the history is gone"


async def test_what_was_found_survives_a_restart() -> None:
    before = shop(size=8)
    found = evidence(await looked(before), "errors").noise
    await before.written()
    measured = await before.look()
    assert evidence(measured, "errors").noise == found, "at once, without asking again"


async def test_nobody_waits_who_did_not_ask() -> None:
    measured = await Judged([ERRORS], shop().pods).look()
    assert evidence(measured, "errors").noise == ""


@pytest.mark.parametrize("span", ["5m", "200h"])
def test_a_history_too_short_or_too_long_is_refused(span: str) -> None:
    with pytest.raises(InvalidSpec, match=r"analysis\.calibrate: must be from 10m to 168h"):
        Judged([ERRORS], [], analysis={"calibrate": span})
