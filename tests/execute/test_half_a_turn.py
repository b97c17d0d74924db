"""Of a turn that stops half way people hear what was recorded and what was done, and nothing else."""

from typing import cast

import pytest

from rollout.execute.executor import _tell
from rollout.execute.turn import Turn
from rollout.plan.actions import Action, Announce, EnsureSelector, EnsureWeights

WEIGHT, SELECTOR = EnsureWeights(0), EnsureSelector("shop-canary", "v1")
OF_RECORD = Announce("RolloutAborted", "why")
OF_WEIGHT = Announce("TrafficWeightUpdated", "canary weight 50 % to 0 %", of=WEIGHT)
OF_SELECTOR = Announce("SwitchService", "Service shop-canary selects revision v1", of=SELECTOR)


class Heard:
    """What a turn was asked to do."""

    def __init__(self) -> None:
        self.actions: list[Action] = []

    async def do(self, action: Action) -> None:
        self.actions.append(action)


@pytest.mark.parametrize(
    ("done", "told"),
    [
        pytest.param([], [OF_RECORD], id="nothing was done: what was recorded"),
        pytest.param([WEIGHT], [OF_RECORD, OF_WEIGHT], id="the weight was written: that, too"),
        pytest.param([WEIGHT, SELECTOR], [OF_RECORD, OF_WEIGHT, OF_SELECTOR], id="all was written: all"),
    ],
)
async def test_it_is_told(done: list[Action], told: list[Action]) -> None:
    heard = Heard()
    rest: list[Action] = [SELECTOR, OF_RECORD, OF_WEIGHT, OF_SELECTOR]
    await _tell(cast("Turn", heard), rest, done)
    assert heard.actions == told
