"""Who leads, as a table: a Lease, what was heard of it by our own clock, and what follows."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.kube.lease import Lease
from rollout.operator.election import (
    Acquire,
    Decision,
    Held,
    Lost,
    Renew,
    Seen,
    Terms,
    Wait,
    decide,
    gives_up,
    other_division,
    patience,
    wish,
)
from rollout.operator.shards import lease_name, shard_of

TERMS = Terms(lease=15.0, deadline=10.0, retry=2.0)
ME, OTHER = "a", "b"
NOW = 1000.0
LONG_AGO = "1970-01-01T00:00:00.000000Z"
IN_THE_FUTURE = "2999-01-01T00:00:00.000000Z"


def lease(holder: str = OTHER, renewed: str = "t1", **words: object) -> Lease:
    plain = Lease(
        name="rollout",
        version="7",
        holder=holder,
        seconds=15.0,
        renewed=renewed,
        transitions=3,
        shards=1,
        wanted_by="",
    )
    return replace(plain, **words)  # type: ignore[arg-type]


def heard(seconds_ago: float, of: Lease | None) -> Seen:
    return Seen(of, NOW - seconds_ago)


def held(renewed: float, tried: float) -> Held:
    """Ours: the last renewal that succeeded, and the last try, were sent so many seconds ago."""
    return Held(NOW - renewed, NOW - tried)


@pytest.mark.parametrize(
    ("seen", "mine", "follows"),
    [
        pytest.param(heard(0, None), None, Acquire(), id="there is none: take it"),
        pytest.param(heard(0, lease("")), None, Acquire(), id="it was released: take it at once"),
        pytest.param(heard(0, lease()), None, Wait(NOW + 15), id="just heard of its holder: wait for it"),
        pytest.param(heard(14.9, lease()), None, Wait(NOW + 0.1), id="its holder has 0.1 s left"),
        pytest.param(heard(15, lease()), None, Acquire(), id="nothing was heard of its holder for 15 s"),
        pytest.param(
            heard(3, lease(renewed=LONG_AGO)), None, Wait(NOW + 12), id="its holder's clock is years late"
        ),
        pytest.param(
            heard(15, lease(renewed=IN_THE_FUTURE)), None, Acquire(), id="its holder's clock is years early"
        ),
        pytest.param(
            heard(5, lease(seconds=60.0)), None, Wait(NOW + 55), id="its holder asked to be waited for longer"
        ),
        pytest.param(
            heard(5, lease(seconds=0.0)), None, Wait(NOW + 10), id="its holder says nothing: our own terms"
        ),
        pytest.param(
            heard(1, lease(ME)),
            None,
            Acquire(),
            id="it says us: the answer was lost, or we were started again",
        ),
        pytest.param(heard(1, lease(ME)), held(1, 1), Wait(NOW + 1), id="ours, renewed a second ago"),
        pytest.param(heard(2, lease(ME)), held(2, 2), Renew(), id="ours, renewed two seconds ago"),
        pytest.param(heard(6, lease(ME)), held(6, 1), Wait(NOW + 1), id="ours, just tried in vain"),
        pytest.param(heard(9, lease(ME)), held(9, 2), Renew(), id="ours, not renewed for 9 s: try again"),
        pytest.param(
            heard(10, lease(ME)),
            held(10, 1),
            Lost("it could not be renewed for 10 s"),
            id="ours, not renewed for 10 s: stop",
        ),
        pytest.param(
            heard(0, lease()), held(1, 1), Lost("b holds it"), id="ours, but somebody else holds it"
        ),
        pytest.param(
            heard(0, lease("")), held(1, 1), Lost("nobody holds it"), id="ours, but somebody freed it"
        ),
        pytest.param(
            heard(0, None), held(1, 1), Lost("the Lease was deleted"), id="ours, but somebody deleted it"
        ),
    ],
)
def test_what_follows(seen: Seen, mine: Held | None, follows: Decision) -> None:
    decided = decide(seen, mine, ME, NOW, TERMS)
    if isinstance(follows, Wait) and isinstance(decided, Wait):
        assert decided.until == pytest.approx(follows.until)
    else:
        assert decided == follows


@pytest.mark.parametrize(
    ("again", "since"),
    [
        pytest.param(lease(), NOW - 9, id="nothing new"),
        pytest.param(
            lease(version="8", wanted_by="c"), NOW - 9, id="somebody asks for it: no sign of its holder"
        ),
        pytest.param(lease(renewed="t2"), NOW, id="renewed"),
        pytest.param(lease(transitions=4), NOW, id="taken again within one tick of its holder's clock"),
        pytest.param(lease(ME), NOW, id="taken by another"),
        pytest.param(None, NOW, id="deleted"),
    ],
)
def test_only_a_sign_of_life_of_its_holder_begins_the_wait_anew(again: Lease | None, since: float) -> None:
    assert heard(9, lease()).after(again, NOW) == Seen(again, since)


@given(renewed=st.floats(0, 40), heard_after=st.floats(0, 40), at=st.floats(0, 100), tried=st.floats(0, 40))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_nobody_takes_over_while_a_holder_may_still_write(
    renewed: float, heard_after: float, at: float, tried: float
) -> None:
    """Both clocks run alike, from wherever: the holder's renewal was heard of after it was sent."""
    holder = decide(Seen(lease(OTHER), 0.0), Held(renewed, tried), OTHER, at, TERMS)
    other = decide(Seen(lease(OTHER), renewed + heard_after), None, ME, at, TERMS)
    assert isinstance(holder, Lost) or not isinstance(other, Acquire)


@pytest.mark.parametrize(
    ("of", "holding", "seconds"),
    [
        pytest.param(None, 0, 0, id="whoever holds nothing takes at once"),
        pytest.param(lease(""), 2, 0.5, id="whoever holds some leaves it to others first"),
        pytest.param(lease(""), 60, 2, id="but not for long, however many it holds"),
        pytest.param(lease("", wanted_by=ME), 2, 0, id="what we asked for is ours"),
        pytest.param(lease("", wanted_by=OTHER), 0, 2, id="what another asked for is left to it"),
    ],
)
def test_a_free_shard_goes_to_whoever_holds_fewest(of: Lease | None, holding: int, seconds: float) -> None:
    assert patience(of, ME, holding, TERMS) == seconds


def shares(*holders: str, **words: object) -> list[Seen]:
    return [heard(1, lease(holder, name=f"rollout-{n}", **words)) for n, holder in enumerate(holders)]


@pytest.mark.parametrize(
    ("leases", "asks_for"),
    [
        pytest.param(shares("b", "b"), "rollout-0", id="two to none: ask for one"),
        pytest.param(shares("b"), "", id="one to none: there is nothing to share"),
        pytest.param(shares("a", "b", "b"), "", id="two to one is as even as it gets"),
        pytest.param(shares("a", "b", "b", "b"), "rollout-1", id="three to one"),
        pytest.param(shares("b", "b", "c", "c", "c"), "rollout-2", id="of whoever holds most"),
        pytest.param(shares("b", "b", ""), "", id="one is free: take that first"),
        pytest.param(
            [*shares("b", "b"), heard(20, lease("c"))], "", id="one's holder died: wait for that first"
        ),
        pytest.param(shares("b", "b", wanted_by=ME), "", id="asked already"),
        pytest.param(shares("b", "b", wanted_by="c"), "", id="others asked for all of them"),
    ],
)
def test_whoever_holds_at_least_two_fewer_asks(leases: list[Seen], asks_for: str) -> None:
    wished = wish(leases, ME, NOW, TERMS)
    assert (wished.name if wished else "") == asks_for


@pytest.mark.parametrize(
    ("leases", "gives"),
    [
        pytest.param(shares("a", "a", wanted_by=OTHER), True, id="to one that holds nothing"),
        pytest.param(shares("a", "a", "b", wanted_by=OTHER), False, id="not to one that holds one fewer"),
        pytest.param(shares("a", "a"), False, id="not where nobody asks"),
    ],
)
def test_a_shard_is_handed_over_to_whoever_holds_at_least_two_fewer(leases: list[Seen], gives: bool) -> None:
    asked = leases[0].lease
    assert asked is not None
    assert gives_up(asked, leases, ME, NOW, TERMS) is gives


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=16))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_asking_ends_and_leaves_even_shares(holders: list[str]) -> None:
    held_by = list(holders)
    for _ in range(len(holders) * 4):
        for me in "abcd":
            now = shares(*held_by)
            wished = wish(now, me, NOW, TERMS)
            if wished is not None:
                number = int(wished.name.rpartition("-")[2])
                asked = replace(wished, wanted_by=me)
                assert gives_up(asked, now, wished.holder, NOW, TERMS)
                held_by[number] = me
    counts = [held_by.count(me) for me in "abcd"]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("leases", "says"),
    [
        pytest.param(shares("b", shards=2), "", id="the same number"),
        pytest.param(shares("b", shards=3), "b holds rollout-0, one of 3", id="another number"),
        pytest.param(shares("a", shards=3), "", id="our own former life"),
        pytest.param(shares("", shards=3), "", id="released"),
        pytest.param([heard(20, lease("b", shards=3))], "", id="its holder died"),
        pytest.param(shares("b", shards=0), "b holds rollout-0, one of an unknown number of", id="untold"),
    ],
)
def test_nobody_begins_while_another_divides_the_work_in_another_way(leases: list[Seen], says: str) -> None:
    assert other_division(leases, 2, ME, NOW, TERMS) == says


def test_a_shard_is_the_same_for_every_process_of_every_version() -> None:
    """Figures of a hash that must never change: another one would have two operators work on one key."""
    assert [shard_of("shop", name, 4) for name in ("checkout", "cart", "search", "pay")] == [3, 1, 2, 2]


def test_shards_are_even() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[shard_of(f"team-{number % 50}", f"rollout-{number}", 8)] += 1
    assert max(counts) < 1.15 * min(counts)


def test_leases_are_numbered_where_there_are_several() -> None:
    assert [lease_name("rollout", shard, 2) for shard in range(2)] == ["rollout-0", "rollout-1"]
    assert lease_name("rollout", 0, 1) == "rollout"
