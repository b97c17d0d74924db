"""What an event of a Rollout does, ours or another operator's."""

from datetime import UTC, datetime
from typing import Any

from rollout.api.base import Manifest
from rollout.gitops.notes import Notebook
from rollout.observe.memory import Claim, Memory
from rollout.operator.queue import Key, Queue
from rollout.operator.waking import Waker

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

    def event(self, key: Key, kind: str | None) -> None:
        body: dict[str, Any] = {"metadata": {"namespace": key.namespace, "name": key.name}}
        self.waker.rollout_event({"type": kind}, body)

    def known(self) -> list[Key]:
        return self.queue.known(lambda _: True)


async def test_a_rollout_of_another_operator_is_heard_and_remembered_for_the_day_that_it_is_ours() -> None:
    scene = Scene()
    scene.event(OURS, "ADDED")
    scene.event(THEIRS, "ADDED")
    assert scene.heard == ["theirs"]
    assert scene.known() == [OURS, THEIRS]


async def test_one_that_is_gone_is_forgotten_where_no_turn_would_notice() -> None:
    scene = Scene()
    for key in (OURS, THEIRS):
        scene.event(key, None)
        scene.memory.claim((key.namespace, key.name), CLAIM)
        scene.event(key, "DELETED")
    assert scene.known() == [OURS], "the turn that finds it gone forgets it"
    assert set(scene.memory.claims) == {("shop", "ours")}
