"""What outlives a turn."""

from datetime import UTC, datetime, timedelta

from rollout.api.intents import UNKNOWN, Intent, IntentKey
from rollout.observe.memory import Memory

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
