"""What a change of a Rollout does, ours or another operator's."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.api.base import Manifest
from rollout.gitops.notes import Notebook
from rollout.kube import kinds
from rollout.kube.reflector import Change
from rollout.observe.memory import Claim, Memory
from rollout.operator.queue import Key, Queue
from rollout.operator.waking import GIT_DRIFT, Sight, Waker, sight

OURS, THEIRS = Key("Rollout", "shop", "ours"), Key("Rollout", "shop", "theirs")
CLAIM = Claim(created="", serves=True, uid="1", services=frozenset(), references=frozenset())


class Scene:
    """A waker whose queue takes no turns: what is known to it tells what was woken."""

    def __init__(self) -> None:
        async def turn(_: Key) -> None: ...

        self.queue = Queue(turn, 1, lambda: datetime.now(UTC), is_ours=self.is_ours)
        self.memory = Memory()
        self.heard: list[str] = []
        self.waker = Waker(self.queue, self.memory, Notebook(), self.is_ours, self.hear)

    def is_ours(self, key: Key) -> bool:
        return key == OURS

    def hear(self, rollout: Manifest) -> None:
        self.heard.append(rollout["metadata"]["name"])

    def there(self, key: Key) -> None:
        body = rollout(key)
        self.waker.rollout_there(body)
        self._changed(key, None, sight(body))

    def gone(self, key: Key) -> None:
        self._changed(key, sight(rollout(key)), None)

    def _changed(self, key: Key, before: Sight | None, after: Sight | None) -> None:
        self.waker.rollout_changed(Change(kinds.ROLLOUTS, key.namespace, key.name, before, after))

    def known(self) -> list[Key]:
        return self.queue.known(lambda _: True)


def rollout(key: Key, version: str = "1", turn: int = 1, **more: Any) -> Manifest:
    metadata = {"namespace": key.namespace, "name": key.name, "resourceVersion": version, "generation": 1}
    return {"metadata": metadata | more.pop("metadata", {}), "status": {"turn": turn} | more}


async def test_a_rollout_of_another_operator_is_heard_and_remembered_for_the_day_that_it_is_ours() -> None:
    scene = Scene()
    scene.there(OURS)
    scene.there(THEIRS)
    assert scene.heard == ["theirs"]
    assert scene.known() == [OURS, THEIRS]


async def test_one_that_is_gone_is_forgotten_where_no_turn_would_notice() -> None:
    scene = Scene()
    for key in (OURS, THEIRS):
        scene.there(key)
        scene.memory.claim((key.namespace, key.name), CLAIM)
        scene.gone(key)
    assert scene.known() == [OURS], "the turn that finds it gone forgets it"
    assert set(scene.memory.claims) == {("shop", "ours")}


@pytest.mark.parametrize(
    ("after", "wakes"),
    [
        pytest.param(rollout(OURS, "2", 2, phase="Paused"), False, id="a turn wrote the status: nobody"),
        pytest.param(rollout(OURS, "2", 1, phase="Paused"), True, id="somebody else wrote it: a turn"),
        pytest.param(
            rollout(OURS, "2", 2, metadata={"generation": 2}), True, id="the spec changed too: a turn"
        ),
        pytest.param(
            rollout(OURS, "2", 2, metadata={"annotations": {"progressive.delivery/intent": "abort"}}),
            True,
            id="an intent was written: a turn",
        ),
        pytest.param(rollout(OURS, "2", 2, abort=True), True, id="Argo's tools aborted there: a turn"),
        pytest.param(rollout(OURS, "2", 1, metadata={"uid": "new"}), True, id="it was made anew: a turn"),
    ],
)
async def test_a_turn_is_not_woken_by_its_own_status(after: Manifest, wakes: bool) -> None:
    scene = Scene()
    before = sight(rollout(OURS))
    scene.waker.rollout_changed(Change(kinds.ROLLOUTS, "shop", "ours", before, sight(after)))
    assert scene.known() == ([OURS] if wakes else [])


class Recording(Queue):
    """Takes no turns and tells what was asked of it."""

    def __init__(self) -> None:
        async def turn(_: Key) -> None: ...

        super().__init__(turn, 1, lambda: datetime.now(UTC))
        self.asked: list[tuple[str, Key]] = []

    def wake(self, key: Key) -> None:
        self.asked.append(("now", key))

    def wake_in(self, key: Key, seconds: float) -> None:
        self.asked.append(("later", key))


LOOK = Key(GIT_DRIFT, "shop", "source")


@pytest.mark.parametrize(
    ("after", "asked"),
    [
        pytest.param(
            rollout(OURS, "2", 1, metadata={"generation": 2}),
            [("now", LOOK), ("later", OURS), ("now", OURS)],
            id="a new spec is looked at before it is worked on",
        ),
        pytest.param(
            rollout(OURS, "2", 1, metadata={"annotations": {"progressive.delivery/intent": "abort"}}),
            [("now", LOOK), ("now", OURS)],
            id="an intent waits for nobody",
        ),
        pytest.param(rollout(OURS, "2", 2, phase="Paused"), [], id="our own status is no news"),
    ],
)
async def test_a_spec_that_may_not_be_gits_is_looked_at_first(
    after: Manifest, asked: list[tuple[str, Key]]
) -> None:
    queue = Recording()
    waker = Waker(
        queue,
        Memory(),
        Notebook(),
        lambda _: True,
        lambda _: None,
        lambda namespace, kind, name: [("shop", "source")] if (kind, name) == ("Rollout", "ours") else [],
    )
    waker.rollout_changed(Change(kinds.ROLLOUTS, "shop", "ours", sight(rollout(OURS)), sight(after)))
    waker.looked(LOOK)
    waker.looked(LOOK)
    assert queue.asked == asked
