"""What no single object tells: promises that are about a status and the world at once."""

import asyncio
from collections.abc import Iterator
from typing import Any

from chronicle import Entry, percent
from manifests import Manifest

from .cluster import ROLLOUTS, ROUTES
from .prometheus import Prometheus

GIVEN = {"RollingBack", "Refused", "Stable", "Initial"}
"""Stages in which the canary gets nothing."""
MEMORY_S = 45.0
"""How far back a turn's snapshot may lie: a call hangs 10 s at most, and a turn makes a few."""
GATE = "judge"


class Checks:
    """Takes in every write, in order; `counts` says whether evidence can be held to the true traffic."""

    def __init__(self, prometheus: Prometheus, steps: list[dict[str, Any]], *, counts: bool) -> None:
        self._prometheus = prometheus
        self._steps = steps
        self._counts = counts
        self._told: dict[str, Any] = {}
        self._weights: list[tuple[float, int]] = [(0.0, 0)]
        """(since, percent)"""
        self._intents: list[tuple[str, str, str]] = []

    def broken(self, entry: Entry, images: dict[str, str]) -> list[str]:
        """What a write breaks; `images` by revision."""
        match entry.kind:
            case ROUTES.plural if not entry.gone:
                found = list(self._routed(entry))
            case ROLLOUTS.plural:
                found = list(self._recorded(entry, images))
            case _:
                found = []
        return found if entry.ours else []

    def _routed(self, entry: Entry) -> Iterator[str]:
        weight, before = percent(entry.object), self._weights[-1][1]
        if weight is None or weight == before:
            return
        stage = self._told.get("stage", "")
        if weight > before and stage in GIVEN:
            yield f"I8: the canary is raised to {weight} % while {stage}"
        self._weights.append((asyncio.get_running_loop().time(), weight))

    def _recorded(self, entry: Entry, images: dict[str, str]) -> Iterator[str]:
        before, after = self._told, entry.object.get("status") or {}
        self._told = {} if entry.gone else after
        if entry.gone or after == before:
            return
        if before and not after.get("turn", 0) > before.get("turn", 0):
            yield f"I11: turn {after.get('turn')} is recorded after turn {before.get('turn')}"
        yield from self._observed(after)
        yield from self._intent(after)
        yield from self._advanced(before, after)
        if self._counts:
            yield from self._counted(after, images)

    def _observed(self, after: Manifest) -> Iterator[str]:
        """I9: what is called observed stood there when the turn may have looked."""
        weights = (after.get("canary") or {}).get("weights")
        if not weights or after.get("stage") in ("Stable", "Refused"):
            return
        claimed = weights["canary"].get("weight", 0)
        now = asyncio.get_running_loop().time()
        ends = [since for since, _ in self._weights[1:]] + [now]
        stood = {
            weight for (_, weight), end in zip(self._weights, ends, strict=True) if end >= now - MEMORY_S
        }
        if claimed not in stood:
            yield f"I9: weight {claimed} % is called observed, and was {sorted(stood)} lately"

    def _intent(self, after: Manifest) -> Iterator[str]:
        told = after.get("intent")
        if not told:
            return
        key = (told["action"], told.get("value", ""), told["setAt"])
        if self._intents and self._intents[-1] == key:
            return
        if key in self._intents:
            yield f"I12: {key} is taken twice"
        self._intents.append(key)

    def _advanced(self, before: Manifest, after: Manifest) -> Iterator[str]:
        """I6: past a gate only by evidence that was gathered at it, or by a person."""
        old, new = before.get("currentStepIndex"), after.get("currentStepIndex")
        same = before.get("attempt") == after.get("attempt")
        if old is None or new is None or not same or new <= old or after.get("exception"):
            return
        for step in self._steps[old:new]:
            evidence = after.get("evidence") or ()
            if GATE in step and not (evidence and all(each["verdict"] == "NotWorse" for each in evidence)):
                yield f"I6: past a gate with {[each['verdict'] for each in evidence]}"
            if GATE in step and not before.get("stepEffectSince"):
                yield "I6: past a gate whose effect was never observed"

    def _counted(self, after: Manifest, images: dict[str, str]) -> Iterator[str]:
        """I10: nothing is counted twice, whoever counts after a restart."""
        canary = images.get(after.get("currentPodHash", ""))
        for each in after.get("evidence") or ():
            counted = (each.get("canary") or {}).get("total", 0)
            true = self._prometheus.requests(canary or "")
            if counted > true + 1:
                yield f"I10: {counted:.0f} requests of the canary are counted, it had {true:.0f}"
