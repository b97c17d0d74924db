"""What has to be mended is named with path and remedy; an abort works meanwhile, mending is enough."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import manifests
import pytest
import pytest_asyncio
import yaml
from crew import Crew
from manifests import CANARY, JUDGED, NAME, STABLE
from prometheus_fake import FakePrometheus, Mode
from stage import ROLLOUTS, ROUTES, TEMPLATES, Shop, side_by_side, until

from rollout.api.status import Phase, Stage
from rollout.sandbox.apiserver.resource import SERVICES
from rollout.sandbox.cluster import Sandbox

Deed = Callable[[Shop], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Mistake:
    """What somebody does, what is said of it (path, what, remedy), and what mends it."""

    make: Deed
    said: tuple[str, str, str]
    mend: Deed


async def _lose_service(shop: Shop) -> None:
    await shop.delete(SERVICES, CANARY)


async def _select(shop: Shop, service: str, app: str) -> None:
    await shop.patch(SERVICES, service, [{"op": "replace", "path": "/spec/selector/app", "value": app}])


async def _select_others(shop: Shop) -> None:
    await _select(shop, CANARY, "something-else")


async def _select_ours(shop: Shop) -> None:
    await _select(shop, CANARY, "shop")


async def _lose_route(shop: Shop) -> None:
    await shop.delete(ROUTES, NAME)


async def _send_elsewhere(shop: Shop) -> None:
    refs = [{"name": "another", "port": 80}]
    await shop.patch(ROUTES, NAME, {"spec": {"rules": [{"backendRefs": refs}]}})


async def _restore(shop: Shop) -> None:
    await shop.apply(*manifests.traffic())


async def _lose_template(shop: Shop) -> None:
    await shop.delete(TEMPLATES, "errors")


async def _write_template(shop: Shop) -> None:
    await shop.apply(manifests.errors(shop.prometheus.url))


async def _ask_nonsense(shop: Shop) -> None:
    shop.prometheus.modes[shop.namespace] = Mode.REFUSING


async def _answer_well(shop: Shop) -> None:
    shop.prometheus.modes.pop(shop.namespace, None)


_STABLE_AT = "spec.strategy.canary.stableService"
_CANARY_AT = "spec.strategy.canary.canaryService"
_ROUTE_AT = "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes[0]"

MISTAKES = [
    pytest.param(
        Mistake(_lose_service, (_CANARY_AT, f"the Service '{CANARY}' does not exist", "create it"), _restore),
        id="a Service is missing",
    ),
    pytest.param(
        Mistake(
            _select_others,
            (_CANARY_AT, "app=something-else, which the pods don't carry", "match spec.template.metadata"),
            _select_ours,
        ),
        id="a Service selects other pods",
    ),
    pytest.param(
        Mistake(_lose_route, (_ROUTE_AT, f"the route '{NAME}' does not exist", "create it"), _restore),
        id="the route is missing",
    ),
    pytest.param(
        Mistake(_send_elsewhere, (_ROUTE_AT, STABLE, CANARY), _restore), id="the route lacks our pair"
    ),
    pytest.param(
        Mistake(
            _lose_template,
            (
                "spec.strategy.canary.analysis.templates[0].templateName",
                "AnalysisTemplate 'errors' does not exist",
                "create the AnalysisTemplate",
            ),
            _write_template,
        ),
        id="scenario 29: the AnalysisTemplate is missing",
    ),
]

QUERIES = [
    pytest.param(
        Mistake(
            _ask_nonsense, ("errors", "Prometheus refused http_requests_total", "parse error"), _answer_well
        ),
        id="Prometheus refuses a query",
    ),
]


async def _complains(shop: Shop, said: tuple[str, ...]) -> None:
    message = await shop.holds("InvalidSpec", said[1])
    assert all(part in message for part in said), message
    status = await shop.status()
    assert status.phase is Phase.DEGRADED
    assert status.message.startswith("InvalidSpec: ")
    assert said[0] in status.message


async def _stopped(shop: Shop) -> None:
    """The canary carries nothing, and the intent is acknowledged."""

    async def off() -> bool:
        status = await shop.status()
        return await shop.weight() == 0 and status.intent is not None and status.intent.state == "Cleared"

    await until("weight 0 and the abort acknowledged", off)
    status = await shop.status()
    assert status.intent is not None
    assert (status.intent.action, status.intent.outcome) == ("abort", "Acted")
    assert status.stage in (Stage.ROLLING_BACK, Stage.REFUSED)


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_first_rollout_waits_for_what_is_missing_and_goes_on_by_itself(
    shop: Shop, mistake: Mistake
) -> None:
    await shop.apply(*manifests.traffic(), manifests.errors(shop.prometheus.url))
    await mistake.make(shop)
    await shop.apply(manifests.rollout(canary=JUDGED))
    await _complains(shop, mistake.said)
    await mistake.mend(shop)
    await shop.phase(Phase.HEALTHY)
    assert await shop.condition("InvalidSpec") == ("False", "")


def _records_before_the_weight(shop: Shop, since: datetime) -> int:
    """How often the status was written before the route was."""
    paths = [each.path for each in shop.writes(since)]
    routed = next(at for at, path in enumerate(paths) if "/httproutes/" in path)
    return sum(path.endswith(f"/rollouts/{NAME}/status") for path in paths[:routed])


async def aborted(sandbox: Sandbox, metrics: FakePrometheus, mistake: Mistake) -> None:
    """A mistake during a canary, and an abort meanwhile."""
    shop = await Shop.open(sandbox, metrics)
    await shop.healthy("shop:v1", manifests.errors(shop.prometheus.url), canary=JUDGED)
    await shop.set_image("shop:v2")
    await shop.paused(50)
    await mistake.make(shop)
    await _complains(shop, mistake.said)
    lost = mistake.make in (_lose_route, _send_elsewhere)
    carries = not lost and await shop.weight() > 0
    since = datetime.now(UTC)
    await shop.annotate("abort")
    if lost:
        await mistake.mend(shop)  # there is nothing to take a weight from before
    await _stopped(shop)
    if carries:
        assert _records_before_the_weight(shop, since) <= 2, "one turn, and one that was under way"
    await mistake.mend(shop)
    await shop.over("InvalidSpec")
    await shop.stage(Stage.REFUSED)
    assert (await shop.status()).verdict == "Aborted"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(
    sandbox: Sandbox, metrics: FakePrometheus, operator: Crew
) -> AsyncIterator[dict[Mistake, "asyncio.Task[None]"]]:
    mistakes = [cast("Mistake", each.values[0]) for each in (*MISTAKES, *QUERIES)]
    async with side_by_side(mistakes, partial(aborted, sandbox, metrics)) as tasks:
        yield tasks


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("mistake", [*MISTAKES, *QUERIES])
async def test_scenario_39_an_abort_works_while_something_has_to_be_mended(
    played: dict[Mistake, "asyncio.Task[None]"], mistake: Mistake
) -> None:
    await played[mistake]


async def test_a_route_of_somebody_else_is_left_as_it_is(shop: Shop) -> None:
    await shop.apply(*manifests.traffic())
    await shop.apply(manifests.route("their-stable", "their-canary"))
    before = (await shop.get(ROUTES))["spec"]
    await shop.apply(manifests.rollout())
    await _complains(shop, (_ROUTE_AT, STABLE, CANARY))
    assert (await shop.get(ROUTES))["spec"] == before


async def test_the_older_of_two_rollouts_keeps_a_service(shop: Shop) -> None:
    await shop.healthy()
    younger = manifests.rollout()
    younger["metadata"] = {"name": "younger"}
    await shop.apply(younger)

    async def complains() -> str | None:
        status = (await shop.get(ROLLOUTS, "younger")).get("status") or {}
        message = str(status.get("message", ""))
        return message if status.get("phase") == "Degraded" and "older" in message else None

    message = await until("the younger one's complaint", complains)
    assert _STABLE_AT in message
    assert "'shop'" in message
    assert (await shop.status()).phase is Phase.HEALTHY
    await shop.delete(ROLLOUTS, NAME)

    async def over() -> bool:
        status = (await shop.get(ROLLOUTS, "younger")).get("status") or {}
        return status.get("phase") == "Healthy"

    await until("the younger one to take the Services over", over)


async def test_a_pod_that_the_server_refuses_is_named_by_its_place_in_the_template(shop: Shop) -> None:
    await shop.healthy()
    await shop.patch(
        ROLLOUTS,
        NAME,
        [
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop:v2"},
            {"op": "add", "path": "/spec/template/spec/containers/0/imagee", "value": "typo"},
        ],
    )
    await _complains(shop, ("spec.template.spec.containers[0].imagee", "unknown field"))
    assert await shop.images() == {"shop:v1": 2}
    await shop.patch(ROLLOUTS, NAME, [{"op": "remove", "path": "/spec/template/spec/containers/0/imagee"}])
    await shop.paused(50)
    await shop.over("InvalidSpec")


async def test_a_query_that_is_wrong_in_the_template_is_asked_anew_when_it_is_mended(shop: Shop) -> None:
    counted = {"bad": 'http_requests_total{code=~"5(.."}', "total": "http_requests_total"}
    await shop.healthy("shop:v1", manifests.errors(shop.prometheus.url, proportion=counted), canary=JUDGED)
    await shop.set_image("shop:v2")
    await _complains(shop, ("errors", "Prometheus refused http_requests_total", "5("))
    await shop.apply(manifests.errors(shop.prometheus.url))
    await shop.over("InvalidSpec", seconds=6)
    await shop.paused(50)


async def test_an_abort_without_ready_stable_pods_is_taken_and_waits_for_them(shop: Shop) -> None:
    await shop.healthy()
    await shop.set_image("shop:v2")
    await shop.paused(50)
    await _select(shop, STABLE, "something-else")
    await _complains(shop, (_STABLE_AT, "app=something-else, which the pods don't carry", "let its selector"))
    await shop.weighs(100)  # an arm without pods gets nothing while the other has some (invariant I1)
    await shop.annotate("abort")
    await shop.stage(Stage.ROLLING_BACK)
    assert await shop.weight() == 100
    await _select(shop, STABLE, "shop")
    await _stopped(shop)
    await shop.serving("shop:v1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"replicaz": 3}, ('unknown field "spec.replicaz"',), id="an unknown field"),
        pytest.param(
            {"strategy": {"blueGreen": {"activeService": "shop"}}},
            ("spec.strategy", "blueGreen", "not supported yet"),
            id="a field that is not built yet",
        ),
    ],
)
async def test_what_can_not_be_meant_is_refused_at_the_door(
    shop: Shop, tmp_path: Path, change: manifests.Manifest, said: tuple[str, ...]
) -> None:
    await shop.healthy()
    with pytest.raises(AssertionError) as refused:
        await shop.kubectl("apply", f"--filename={_written(tmp_path, change)}")
    assert all(part in str(refused.value) for part in said), refused.value
    assert (await shop.phase(Phase.HEALTHY)).current_pod_hash
    assert await shop.images() == {"shop:v1": 2}


async def test_a_field_that_a_careless_client_had_dropped_is_named(shop: Shop, tmp_path: Path) -> None:
    await shop.healthy()
    wrong = _written(tmp_path, {"replicaz": 3})
    await shop.kubectl("apply", "--server-side=false", "--validate=false", f"--filename={wrong}")
    message = await shop.told("FieldsPruned", "spec.replicaz")
    assert "did you mean replicas?" in message
    wrong = _written(tmp_path, {"replicaz": 3, "pauzed": True})
    await shop.kubectl("apply", "--server-side=false", "--validate=false", f"--filename={wrong}")
    await shop.told("FieldsPruned", "spec.pauzed")  # though nothing of what is stored has changed


def _written(folder: Path, change: manifests.Manifest) -> Path:
    wrong = manifests.rollout("shop:v2")
    wrong["spec"] = {**wrong["spec"], **change}
    path = folder / "rollout.yaml"
    path.write_text(yaml.safe_dump(wrong))
    return path
