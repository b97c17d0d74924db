"""What outlives a turn."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from rollout.api.intents import UNKNOWN, Intent, IntentKey
from rollout.observe.memory import Claim, Memory
from rollout.observe.reading import Specified

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)


def test_an_intent_without_a_date_is_dated_by_its_first_sight_until_it_is_gone() -> None:
    memory = Memory()
    abort = Intent(IntentKey.ABORT, "stop", NOW, UNKNOWN)
    again = Intent(IntentKey.ABORT, "stop", LATER, UNKNOWN)
    assert memory.dated("u", (abort,)) == (abort,)
    assert memory.dated("u", (again,)) == (abort,)
    assert memory.dated("u", ()) == ()
    assert memory.dated("u", (again,)) == (again,)


def test_a_date_that_managed_fields_tell_stands() -> None:
    memory = Memory()
    intents = (Intent(IntentKey.PAUSE, "lunch", NOW, "kubectl-annotate"),)
    assert memory.dated("u", intents) == intents


def test_what_stands_is_dated_from_the_last_change() -> None:
    memory = Memory()
    assert memory.stands_since("u", "web", ("v1", 2), NOW) == NOW
    assert memory.stands_since("u", "web", ("v1", 2), LATER) == NOW
    assert memory.stands_since("u", "web", ("v1", 1), LATER) == LATER


def claim(uid: str, *services: str) -> Claim:
    return Claim(
        created="",
        serves=True,
        uid=uid,
        services=frozenset(services),
        references=frozenset(("shop", "Service", each) for each in services),
    )


def test_who_refers_to_an_object_is_known_as_long_as_he_does() -> None:
    memory = Memory()
    memory.claim(("shop", "a"), claim("u1", "web"))
    memory.claim(("shop", "b"), claim("u2", "web", "api"))
    assert memory.users("shop", "Service", "web") == (("shop", "a"), ("shop", "b"))
    assert memory.users("shop", "Service", "api") == (("shop", "b"),)
    memory.claim(("shop", "b"), claim("u2", "api"))
    assert memory.users("shop", "Service", "web") == (("shop", "a"),)
    memory.forget(("shop", "a"))
    assert memory.users("shop", "Service", "web") == ()
    assert memory.lives_in("shop")
    memory.forget(("shop", "b"))
    assert not memory.lives_in("shop")


def test_nothing_is_kept_of_a_rollout_that_is_gone() -> None:
    memory = Memory()
    empty = asdict(memory)
    memory.claim(("shop", "a"), claim("u1", "web"))
    memory.heard[("shop", "a")] = ("u1", 1, True)
    memory.stands_since("u1", "web", ("v1", 2), NOW)
    memory.dated("u1", (Intent(IntentKey.ABORT, "stop", NOW, UNKNOWN),))
    memory.tried_templates["u1"] = {}
    memory.live_at["u1"] = NOW
    memory.specified["u1"] = Specified((1, 0), None, (), "", ())
    memory.forget(("shop", "a"))
    memory.forget(("shop", "a"))
    assert {key: value or {} for key, value in asdict(memory).items() if key != "_lives_in"} == {
        key: value or {} for key, value in empty.items() if key != "_lives_in"
    }
