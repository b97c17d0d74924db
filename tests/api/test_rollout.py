from datetime import timedelta

import api_manifests as manifests
import pytest
from api_manifests import Body, changed

from rollout.api.errors import InvalidSpec
from rollout.api.rollout import JudgeStep, OnInconclusive, PauseStep, SetWeightStep, parse_rollout

CANARY = "spec.strategy.canary"


def problems(body: Body) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        parse_rollout(body)
    return {problem.path: f"{problem.message} ({problem.remedy})" for problem in caught.value.problems}


def test_a_manifest_becomes_a_value_with_its_defaults() -> None:
    spec = parse_rollout(manifests.rollout()).spec
    canary = spec.strategy.canary
    assert canary.steps[0] == SetWeightStep(set_weight=5)
    judge, pause = canary.steps[1], canary.steps[2]
    assert isinstance(judge, JudgeStep)
    assert (judge.judge.min_duration, judge.judge.max_duration) == (
        timedelta(minutes=1),
        timedelta(minutes=10),
    )
    assert judge.judge.on_inconclusive is OnInconclusive.PAUSE
    assert isinstance(pause, PauseStep)
    assert pause.pause.duration == timedelta(seconds=30)
    assert canary.analysis is not None
    assert (canary.analysis.false_rollback, canary.analysis.false_promotion) == (0.01, 0.05)
    assert (spec.progress_deadline_seconds, spec.revision_history_limit, canary.scale_down_delay_seconds) == (
        600,
        10,
        30,
    )


def test_a_value_written_back_is_the_same_value() -> None:
    body = manifests.rollout()
    first = parse_rollout(body)
    assert parse_rollout(body | {"spec": first.spec.manifest()}).spec == first.spec


def test_absent_replicas_stay_absent_so_that_an_autoscaler_keeps_its_number() -> None:
    assert parse_rollout(changed(manifests.rollout(), "spec.replicas", None)).spec.replicas is None


def test_a_pause_without_duration_waits_for_somebody() -> None:
    step = parse_rollout(changed(manifests.rollout(), f"{CANARY}.steps[2]", {"pause": {}})).spec.strategy
    assert step.canary.steps[2] == PauseStep.model_validate({"pause": {}})


def test_status_and_metadata_that_the_server_adds_are_no_problem() -> None:
    body = changed(manifests.rollout(), "metadata.managedFields", [{"manager": "kubectl"}])
    assert parse_rollout(body | {"status": {"anything": 1}}).metadata.name == "shop"


@pytest.mark.parametrize(
    ("path", "value", "where", "says"),
    [
        pytest.param(
            "spec.replics",
            3,
            "spec.replics",
            "unknown field (did you mean replicas?)",
            id="a misspelt field names the one that is meant",
        ),
        pytest.param(
            f"{CANARY}.steps[0]",
            {"setWieght": 5},
            f"{CANARY}.steps[0].setWieght",
            "unknown field (did you mean setWeight?)",
            id="a misspelt step too",
        ),
        pytest.param(
            "extra",
            1,
            "extra",
            "unknown field (known here: apiVersion, kind, metadata, spec, status)",
            id="an unknown field beside spec",
        ),
        pytest.param(
            "metadata.name",
            "x" * 46,
            "metadata.name",
            "must have at most 45 characters, not 46 ()",
            id="a name too long for pods",
        ),
        pytest.param("metadata.name", None, "metadata.name", "is required ()", id="no name"),
        pytest.param("kind", "Deployment", "kind", "must be Rollout ()", id="another kind"),
        pytest.param(
            "apiVersion",
            "argoproj.io/v1alpha1",
            "apiVersion",
            "argoproj.io/v1alpha1 is not supported yet (write progressive.delivery/v1alpha1)",
            id="a manifest for Argo Rollouts",
        ),
        pytest.param(
            "apiVersion",
            "apps/v1",
            "apiVersion",
            "must be progressive.delivery/v1alpha1 ()",
            id="another group",
        ),
        pytest.param(
            "spec.replicas", "3", "spec.replicas", "must be a whole number, not '3' ()", id="a number as text"
        ),
        pytest.param(
            "spec.replicas",
            True,
            "spec.replicas",
            "must be a whole number, not True ()",
            id="a number as truth",
        ),
        pytest.param(
            "spec.replicas",
            -1,
            "spec.replicas",
            "must be greater than or equal to 0, not -1 ()",
            id="fewer than no pods",
        ),
        pytest.param(
            "spec.paused",
            "yes",
            "spec.paused",
            "must be true or false, not 'yes' ()",
            id="a text that looks like truth",
        ),
        pytest.param(
            "spec.selector",
            {},
            "spec.selector",
            "selects every pod: give it labels ()",
            id="a selector that takes every pod",
        ),
        pytest.param(
            "spec.template.metadata.labels",
            {"app": "other"},
            "spec.template.metadata.labels",
            "does not satisfy spec.selector (make the labels agree)",
            id="labels the selector misses",
        ),
        pytest.param(
            "spec.template.spec.containers",
            [],
            "spec.template.spec.containers",
            "is required (name at least one container)",
            id="no container",
        ),
        pytest.param(
            "spec.template.spec.containers[0].image",
            None,
            "spec.template.spec.containers[0].image",
            "is required ()",
            id="a container without image",
        ),
        pytest.param(
            "spec.template.spec.restartPolicy",
            "Never",
            "spec.template.spec.restartPolicy",
            "must be Always ()",
            id="pods that end",
        ),
        pytest.param(
            "spec.minReadySeconds",
            600,
            "spec.minReadySeconds",
            "must be less than progressDeadlineSeconds ()",
            id="a deadline before any pod can be available",
        ),
        pytest.param(
            f"{CANARY}.stableService",
            "shop-canary",
            f"{CANARY}.stableService",
            "must differ from canaryService ()",
            id="one Service for both versions",
        ),
        pytest.param(
            f"{CANARY}.steps[0].setWeight",
            101,
            f"{CANARY}.steps[0].setWeight",
            "must be less than or equal to 100, not 101 ()",
            id="more than all traffic",
        ),
        pytest.param(
            f"{CANARY}.steps[0].pause",
            {},
            f"{CANARY}.steps[0]",
            "must have exactly one of setWeight, pause, analysis, judge (one item for each)",
            id="two keys in one step",
        ),
        pytest.param(
            f"{CANARY}.steps[1]",
            {},
            f"{CANARY}.steps[1]",
            "must have exactly one of setWeight, pause, analysis, judge (one item for each)",
            id="a step without a key",
        ),
        pytest.param(
            f"{CANARY}.steps[1]",
            "judge",
            f"{CANARY}.steps[1]",
            "must have exactly one of setWeight, pause, analysis, judge (one item for each)",
            id="a step that is a text",
        ),
        pytest.param(
            f"{CANARY}.steps[2].pause.duration",
            "soon",
            f"{CANARY}.steps[2].pause.duration",
            "write a duration such as 30s, 5m, 1h30m, or a number of seconds ()",
            id="no duration",
        ),
        pytest.param(
            f"{CANARY}.steps[1].judge.maxDuration",
            "10s",
            f"{CANARY}.steps[1].judge.maxDuration",
            "must not be shorter than minDuration ()",
            id="a judge whose time is up before it may pass",
        ),
        pytest.param(
            f"{CANARY}.steps[1].judge.onInconclusive",
            "hope",
            f"{CANARY}.steps[1].judge.onInconclusive",
            "must be 'pause', 'rollback' or 'promoteIfCompatible', not 'hope' ()",
            id="no such answer",
        ),
        pytest.param(
            f"{CANARY}.analysis",
            None,
            f"{CANARY}.steps[1].judge",
            "needs strategy.canary.analysis (say which templates judge)",
            id="a judge without analysis",
        ),
        pytest.param(
            f"{CANARY}.steps[0].setWeight",
            0,
            f"{CANARY}.steps[1].judge",
            "no traffic reaches the canary yet (put a setWeight before it)",
            id="a judge without traffic",
        ),
        pytest.param(
            f"{CANARY}.analysis.startingStep",
            2,
            f"{CANARY}.steps[1].judge",
            "comes before analysis.startingStep (start the analysis earlier)",
            id="a judge before its analysis",
        ),
        pytest.param(
            f"{CANARY}.analysis.startingStep",
            3,
            f"{CANARY}.steps",
            "analysis.startingStep lies beyond the last step ()",
            id="an analysis that never starts",
        ),
        pytest.param(
            f"{CANARY}.analysis.templates",
            [],
            f"{CANARY}.analysis.templates",
            "must have at least 1 item ()",
            id="an analysis by nothing",
        ),
        pytest.param(
            f"{CANARY}.analysis.falseRollback",
            0.01,
            f"{CANARY}.analysis.falseRollback",
            "write a number with its unit: 5% ()",
            id="a share without its sign",
        ),
        pytest.param(
            f"{CANARY}.analysis.falseRollback",
            "60%",
            f"{CANARY}.analysis.falseRollback",
            "must be less than 0.5, not '60%' ()",
            id="an alpha that promises nothing",
        ),
        pytest.param(
            f"{CANARY}.analysis.args",
            [{"name": "a"}, {"name": "a"}],
            f"{CANARY}.analysis.args[1]",
            "a is listed twice ()",
            id="an argument twice",
        ),
        pytest.param(
            f"{CANARY}.trafficRouting",
            None,
            f"{CANARY}.trafficRouting",
            "is required (a canary by pod counts alone is not supported yet: "
            "name the HTTPRoutes under trafficRouting.gatewayAPI.httpRoutes)",
            id="a canary without traffic routing",
        ),
        pytest.param(
            f"{CANARY}.trafficRouting.gatewayAPI.httpRoutes",
            [],
            f"{CANARY}.trafficRouting.gatewayAPI.httpRoutes",
            "must have at least 1 item ()",
            id="no route",
        ),
        pytest.param(
            f"{CANARY}.maxSurge",
            "half",
            f"{CANARY}.maxSurge",
            "write a number of pods or a percentage, such as 1 or 25% ()",
            id="a surge in words",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_path(path: str, value: object, where: str, says: str) -> None:
    assert problems(changed(manifests.rollout(), path, value))[where] == says


def test_nothing_may_be_replaced_where_neither_surge_nor_gap_is_allowed() -> None:
    body = changed(changed(manifests.rollout(), f"{CANARY}.maxSurge", 0), f"{CANARY}.maxUnavailable", "0%")
    assert problems(body) == {f"{CANARY}.maxUnavailable": "must not be 0 while maxSurge is 0 ()"}


def test_all_problems_are_found_at_once() -> None:
    body = manifests.rollout()
    for path, value in {
        "metadata.name": "x" * 50,
        "spec.replicas": "3",
        "spec.template.metadata.labels": {"app": "other"},
        f"{CANARY}.stableService": "shop-canary",
        f"{CANARY}.steps[0].setWeight": 500,
        f"{CANARY}.steps[2].pause.duration": "soon",
        "spec.strategy.blueGreen": {"activeService": "shop"},
    }.items():
        body = changed(body, path, value)
    assert set(problems(body)) == {
        "metadata.name",
        "spec.replicas",
        "spec.template.metadata.labels",
        f"{CANARY}.stableService",
        f"{CANARY}.steps[0].setWeight",
        f"{CANARY}.steps[2].pause.duration",
        "spec.strategy.blueGreen",
    }


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"kind": "Rollout", "metadata": None, "spec": None}, id="nulls"),
        pytest.param({"kind": "Rollout", "metadata": [], "spec": []}, id="lists where objects are meant"),
        pytest.param(
            changed(manifests.rollout(), f"{CANARY}.steps", {"setWeight": 5}), id="one object for a list"
        ),
        pytest.param(changed(manifests.rollout(), "spec.strategy", "canary"), id="a text for an object"),
        pytest.param(changed(manifests.rollout(), "spec.template", {"spec": 1}), id="a number for pods"),
        pytest.param(
            changed(manifests.rollout(), "spec.template.metadata.labels", {"app": 1}),
            id="a label that is none",
        ),
    ],
)
def test_no_shape_of_input_escapes_as_another_error(body: Body) -> None:
    assert problems(body)
