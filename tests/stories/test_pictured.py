"""The evidence of a live rollout over time stands in its AnalysisRun, for whoever draws it."""

import math
from pathlib import Path

from manifests import JUDGED, errors
from stage import RUNS, Shop, until

from rollout.cli.plotting import draw_run
from rollout.measure.course import sights

STEPS = (
    {"setWeight": 25},
    {"judge": {"minDuration": "2s", "maxDuration": "2m"}},
    {"setWeight": 50},
    {"judge": {"minDuration": "2s", "maxDuration": "2m"}},
)


async def test_a_rollout_that_was_promoted_can_be_drawn(shop: Shop, tmp_path: Path) -> None:
    await shop.healthy("shop:v1", errors(shop.prometheus.url), steps=STEPS, canary=JUDGED)
    await shop.set_image("shop:v2")

    async def promoted() -> bool:
        runs = [run.get("status") or {} for run in await shop.every(RUNS)]
        return [status.get("phase") for status in runs] == ["Successful"]

    await until("the second version is promoted", promoted)
    (run,) = await shop.every(RUNS)
    seen = sights(run["status"]["course"])
    assert [step for step in ("0", "2") if any(look.step == step for look in seen)] == ["0", "2"]
    for step, weight in (("0", 0.25), ("2", 0.5)):
        proofs = [look for look in seen if look.step == step and look.log_e_safe is not None]
        assert proofs[-1].log_e_safe is not None
        assert proofs[-1].log_e_safe >= math.log(20), "what let the step pass was drawn"
        assert proofs[0].weight == weight
    assert all(look.log_e_harm < math.log(100) for look in seen)
    draw_run(tmp_path / "shop.svg", "shop", run)
    assert "promoted after" in (tmp_path / "shop.svg").read_text()
