"""What people ask for with `kubectl annotate` is done, and acknowledged."""

from stage import Shop

from rollout.api.status import Phase


async def test_scenarios_1_2_3_a_canary_pauses_at_its_weight_and_is_promoted_by_hand(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)
    await shop.annotate("promote")
    await shop.phase(Phase.HEALTHY)
    await shop.serving("shop:v2")


async def test_scenario_5_an_abort_takes_the_canary_off_traffic_and_leaves_the_spec(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)
    await shop.annotate("abort", "looks odd")
    status = await shop.phase(Phase.DEGRADED)
    assert "looks odd" in status.message
    await shop.serving("shop:v1")
