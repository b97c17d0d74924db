"""Who is woken for a change, and how often one object is put back."""

from datetime import UTC, datetime, timedelta

from rollout.api.sourcestatus import InventoryEntry
from rollout.gitops.keeping import Keeper
from rollout.gitops.pace import Pace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_object_that_is_changed_again_and_again_is_put_back_ever_more_slowly() -> None:
    pace, now = Pace(), NOW
    waits = []
    for _ in range(12):
        again = pace.waits_until(now)
        waits.append(int((again - now).total_seconds()) if again else 0)
        now = again or now
        pace.corrected(now)
    assert waits == [0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert pace.waits_until(now + timedelta(minutes=11)) is None, "somebody gave up"


def entry(kind: str, name: str, *, stale: bool = False) -> InventoryEntry:
    return InventoryEntry(api_version="v1", kind=kind, namespace="shop", name=name, stale=stale)


def test_a_change_concerns_who_applied_the_object_and_what_is_followed() -> None:
    keeper = Keeper("home")
    held = (entry("Service", "web"), entry("ConfigMap", "web"), entry("Service", "old", stale=True))
    keeper.knows(("shop", "a"), held, followed=True)
    keeper.knows(("pay", "b"), held, followed=True)
    keeper.knows(("shop", "abroad"), held, followed=False)
    assert keeper.suspect("shop", "Service", "web") == [("shop", "a")]
    assert keeper.suspect("shop", "ConfigMap", "web") == []
    assert keeper.suspect("shop", "Service", "old") == []
    keeper.forget(("shop", "a"))
    assert keeper.suspect("shop", "Service", "web") == []
