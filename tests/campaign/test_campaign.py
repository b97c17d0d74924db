"""Whole rollouts under faults, in virtual time: each ends as if nothing had happened, and breaks nothing."""

from dataclasses import replace

import pytest

from . import drawing
from .cluster import seeded
from .faults import FREEZES, Fault, Kind
from .schedule import Outcome, Schedule, Stage
from .shrinking import shrunk
from .stories import AT_A_MOMENT, BY_NAME, FIRST, STORIES, WRITTEN_BACK

RANDOM, CHUNK = 500, 10
WITH_GIT = 12
EVENTS = "create events"
ONE_OF = 3
"""What is done to a story here; `make campaign ARGS="--parts kills,sites"` does all of it."""
AT_ONCE = 8
"""Faults of different call sites that share a schedule."""


def holds(stage: Stage, schedule: Schedule) -> Outcome:
    outcome = stage.run(schedule)
    if outcome.violations:
        least = shrunk(schedule, lambda fewer: bool(stage.run(fewer).violations))
        again = stage.run(least)
        pytest.fail("\n".join([f"{least}", *again.violations, *again.history]))
    return outcome


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_story_ends_as_it_has_to_where_nothing_goes_wrong(stage: Stage, name: str) -> None:
    outcome = stage.run(Schedule(name))
    assert outcome.violations == []
    assert len(outcome.written) > (0 if BY_NAME[name] in AT_A_MOMENT else 5)


@pytest.mark.parametrize("first", range(0, RANDOM, CHUNK))
def test_a_drawn_schedule_ends_as_if_nothing_had_gone_wrong(stage: Stage, first: int) -> None:
    for seed in range(first, first + CHUNK):
        holds(stage, drawing.drawn(seed))


@pytest.mark.parametrize("seed", range(WITH_GIT))
def test_a_repository_that_goes_hangs_or_is_forced_changes_nothing(stage: Stage, seed: int) -> None:
    holds(stage, drawing.drawn_with_git(seed))


@pytest.mark.parametrize(
    ("place", "name"), list(enumerate(sorted(story.name for story in (FIRST, *STORIES))))
)
def test_an_operator_that_is_killed_after_a_write_ends_the_same(stage: Stage, name: str, place: int) -> None:
    # Just before the next write is the same place, and nothing depends on an Event.
    written = [site if site != EVENTS else "" for site in stage.run(Schedule(name)).written]
    for schedule in list(drawing.kills(BY_NAME[name], written, [Kind.KILL_AFTER]))[place % ONE_OF :: ONE_OF]:
        holds(stage, schedule)


@pytest.mark.parametrize(("place", "name"), list(enumerate(["promotion", "rollback"])))
def test_a_fault_at_a_call_site_changes_nothing(stage: Stage, name: str, place: int) -> None:
    sites = stage.run(Schedule(name)).sites
    singles = list(drawing.at_sites(BY_NAME[name], sites, often=False))
    for schedule in list(drawing.packed(singles, AT_ONCE))[place::ONE_OF]:
        holds(stage, schedule)


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(
            Schedule("promotion", (Fault(Kind.INVALID, site="create replicasets.apps"),)),
            id="a template that was refused for a while",
        ),
        pytest.param(
            Schedule(
                "retry",
                (Fault(Kind.SECOND, time=5.3, seconds=23.3), Fault(Kind.HANG_AFTER, write=11)),
                seed=864,
                moment=1.47,
            ),
            id="a selector that another operator turned away and back unseen",
        ),
        pytest.param(
            Schedule(
                "rollback",
                (
                    Fault(Kind.HANG_AFTER, site="list httproutes.gateway.networking.k8s.io"),
                    Fault(
                        Kind.FREEZE_BEFORE,
                        site="watch clusteranalysistemplates.progressive.delivery",
                        seconds=12.0,
                    ),
                ),
                seed=14,
            ),
            id="a turn that was stopped while it read counted the time as seen",
        ),
        pytest.param(
            Schedule(
                "promotion",
                (
                    Fault(Kind.FREEZE_AFTER, site="list endpointslices.discovery.k8s.io", seconds=12.0),
                    Fault(Kind.KILL_AFTER, site="list rollouts.progressive.delivery", seconds=3.0),
                    Fault(Kind.BUSY, site="watch analysisruns.progressive.delivery"),
                ),
                seed=58,
            ),
            id="a version lost its traffic by an old list of endpoints",
        ),
        pytest.param(
            Schedule(
                "superseded at a moment",
                (
                    Fault(Kind.FOREIGN_SELECTOR, time=49.5),
                    Fault(Kind.FREEZE_AFTER, write=20, seconds=3.4),
                    Fault(Kind.CANARY_GONE, time=41.0),
                ),
                seed=4143,
                moment=40.09,
            ),
            id="pods beyond its share went just when somebody had opened the selector",
        ),
        pytest.param(
            Schedule(
                "abort",
                (Fault(Kind.FREEZE_SENT, site="patch httproutes.gateway.networking.k8s.io", seconds=9.0),),
                lease=True,
            ),
            id="a weight that was on its way when its writer was stopped",
        ),
        pytest.param(
            Schedule(
                "superseded",
                (
                    Fault(Kind.FOREIGN_WEIGHT, time=33.7),
                    Fault(Kind.HANG_AFTER, request=189),
                    Fault(Kind.FOREIGN_SELECTOR, time=24.8),
                ),
                seed=7985,
                moment=21.33,
                lease=True,
            ),
            id="a weight that somebody took just when the selector had been put back",
        ),
        pytest.param(
            Schedule(
                "asked",
                (
                    Fault(Kind.FREEZE_BEFORE, write=26, seconds=16.2),
                    Fault(Kind.KILL_AFTER, write=14, seconds=0.5),
                    Fault(Kind.CANARY_UNREADY, time=48.3, seconds=18.6),
                ),
                seed=3219,
                moment=26.39,
                lease=True,
            ),
            id="a gate whose evidence came while somebody's pause stood before it",
        ),
    ],
)
def test_what_a_campaign_has_found_stays_mended(stage: Stage, schedule: Schedule) -> None:
    holds(stage, schedule)


def test_a_weight_that_is_sent_after_its_lease_has_run_out_never_gets_through(stage: Stage) -> None:
    """The version is taken back meanwhile, at weight 0: no newer write keeps the old one from its route."""
    frozen = Fault(Kind.FREEZE_BEFORE, write=12, seconds=16.9)
    schedule = Schedule("taken back at a moment", (frozen,), seed=7218, moment=3.53)
    without = stage.run(schedule).violations
    assert any("I8: the canary is raised to 20 % while Stable" in words for words in without), without
    holds(stage, replace(schedule, lease=True))


@pytest.mark.parametrize("kind", sorted(FREEZES))
@pytest.mark.parametrize(
    ("seconds", "operators"),
    [
        pytest.param(3.0, {"operator 1"}, id="for less than a lease goes on"),
        pytest.param(30.0, {"operator 1", "operator 2"}, id="for longer is followed by another one"),
    ],
)
def test_who_is_frozen(stage: Stage, kind: Kind, seconds: float, operators: set[str]) -> None:
    calls: list[str] = []
    schedule = Schedule("promotion", (Fault(kind, write=12, seconds=seconds),), lease=True)
    assert stage.run(schedule, calls=calls).violations == []
    assert {call.split(maxsplit=1)[1].partition(":")[0] for call in calls} == operators


def test_a_schedule_that_is_played_again_goes_the_same_way(stage: Stage) -> None:
    calls: list[list[str]] = [[], []]
    outcomes = [stage.run(drawing.drawn(5), calls=each) for each in calls]
    assert calls[0] == calls[1]
    assert outcomes[0].history == outcomes[1].history


@pytest.mark.parametrize("seed", range(5))
def test_a_schedule_can_be_written_down_and_read_again(seed: int) -> None:
    schedule = drawing.drawn(seed)
    assert Schedule.from_json(schedule.as_json()) == schedule
    assert drawing.drawn(seed) == schedule


def test_all_stories_and_all_kinds_of_faults_are_drawn() -> None:
    drawn = [drawing.drawn(seed) for seed in range(RANDOM)]
    with_git = [drawing.drawn_with_git(seed) for seed in range(RANDOM)]
    every = {story.name: {"git push": 3, "git/mirror.py:1": 9} for story in WRITTEN_BACK}
    at_statements = [drawing.drawn_at_statement(seed, every) for seed in range(RANDOM)]
    all_drawn = (*drawn, *with_git, *at_statements)
    assert {each.story for each in all_drawn} == set(BY_NAME)
    assert {fault.kind for each in all_drawn for fault in each.faults} == set(Kind)


def test_a_failing_schedule_is_shrunk_to_what_it_needs() -> None:
    needed = Fault(Kind.CONFLICT, write=3)
    faults = (Fault(Kind.BUSY, write=1), needed, Fault(Kind.STORM, time=4.0, seconds=2.0))
    schedule = Schedule("abort", faults)
    assert shrunk(schedule, lambda each: needed in each.faults) == replace(schedule, faults=(needed,))


def test_every_fault_of_a_call_strikes(stage: Stage) -> None:
    found: list[Outcome] = [
        stage.run(Schedule("abort", (Fault(kind, write=4, seconds=1.0),))) for kind in drawing.CALLS
    ]
    assert [len(each.struck) for each in found] == [1] * len(drawing.CALLS)


def test_seeded_names_leave_the_server_as_it_was() -> None:
    from rollout.sandbox.apiserver import metadata

    before = metadata.secrets, metadata.uuid
    with seeded(1):
        one = metadata.random_suffix()
    with seeded(1):
        assert metadata.random_suffix() == one
    assert (metadata.secrets, metadata.uuid) == before
