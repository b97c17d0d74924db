"""What no single object tells: promises that are about a status and the world at once."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from chronicle import HASH, Entry, World, percent
from manifests import CANARY, STABLE, Manifest

from analysis.evidence import to_ms
from rollout.sandbox import clock
from rollout.sandbox.apiserver.resource import SERVICES

from .cluster import ROLLOUTS, ROUTES, RUNS
from .loop import START
from .prometheus import SCRAPE_MS, Prometheus

GIVEN = {"RollingBack", "Refused", "Stable", "Initial"}
"""Stages in which the canary gets nothing."""
MEMORY_S = 45.0
"""How far back a turn's snapshot may lie: a call hangs 10 s at most, and a turn makes a few."""
SETTLE_S = 1.9
"""How long a selector stands before its Service gains weight, nearly."""
GATE = "judge"


class Checks:
    """Takes in every write, in order; `counts` says whether evidence can be held to the true traffic."""

    def __init__(
        self, world: World, prometheus: Prometheus, steps: list[dict[str, Any]], *, counts: bool
    ) -> None:
        self._world = world
        self._prometheus = prometheus
        self._steps = steps
        self._counts = counts
        self._told: dict[str, Any] = {}
        self._weights: list[tuple[float, int]] = [(0.0, 0)]
        """(since, percent)"""
        self._written_by = [""]
        self._given = 0
        """The percent that we last wrote."""
        self._writer = ""
        self._intents: list[tuple[str, str, str]] = []
        self._selectors: dict[str, tuple[str, float, bool]] = {}
        """By Service: the revision that it selects, since when, and whether we chose it."""
        self._effects: dict[tuple[str, int | None], str] = {}
        """When the effect of a step that sets a weight was first recorded: what interrupts it later, such as
        somebody's pause before the gate, takes no evidence away.
        """
        self._judged = ""
        """What the AnalysisRun was last written to say."""

    def broken(self, entry: Entry, images: dict[str, str], writer: str) -> list[str]:
        """What a write breaks; `images` by revision, `writer` which operator writes."""
        self._writer = writer
        match entry.kind:
            case ROUTES.plural if not entry.gone:
                found = list(self._routed(entry))
            case SERVICES.plural if not entry.gone:
                found = []
                self._selected(entry)
            case RUNS.plural:
                found = []
                self._judged = str((entry.object.get("status") or {}).get("message", ""))
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
        now = asyncio.get_running_loop().time()
        # A stable Service that carried until somebody else took its weight gets it back at once.
        gains, loses, carried = (
            (CANARY, STABLE, before) if weight > before else (STABLE, CANARY, 100 - min(before, self._given))
        )
        self._given = weight if entry.ours else self._given
        _, since, ours = self._selectors.get(gains, ("", 0.0, False))
        # Who carries traffic already, or is the last one with pods, is not waited for.
        waits = ours and not carried and self._world.reached(loses)
        if waits and now - since < SETTLE_S:
            yield f"I4: {gains} gains weight {now - since:.1f} s after its selector changed"
        self._weights.append((now, weight))
        self._written_by.append(self._writer)

    def _selected(self, entry: Entry) -> None:
        name = entry.object["metadata"]["name"]
        revision = (entry.object["spec"].get("selector") or {}).get(HASH, "")
        if self._selectors.get(name, ("?",))[0] != revision:
            self._selectors[name] = (revision, asyncio.get_running_loop().time(), entry.ours)

    def _recorded(self, entry: Entry, images: dict[str, str]) -> Iterator[str]:
        before, after = self._told, entry.object.get("status") or {}
        self._told = {} if entry.gone else after
        if entry.gone or after == before:
            return
        if before and not after.get("turn", 0) > before.get("turn", 0):
            yield f"I11: turn {after.get('turn')} is recorded after turn {before.get('turn')}"
        if after.get("stepEffectSince"):
            self._effects.setdefault(self._weighed(after), after["stepEffectSince"])
            if after["stepEffectSince"] != before.get("stepEffectSince"):
                yield from self._took_effect(after)
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

    def _took_effect(self, after: Manifest) -> Iterator[str]:
        """I6: an effect was read back, so its weight stood before, or another operator wrote it just then."""
        wanted = (after.get("canary") or {}).get("desiredWeight", 0)
        at = (datetime.fromisoformat(after["stepEffectSince"]) - START).total_seconds()
        stood = [weight for since, weight in self._weights if since <= at][-1]
        others = [
            weight
            for (since, weight), writer in zip(self._weights, self._written_by, strict=True)
            if since > at and writer != self._writer
        ]
        if stood != wanted and wanted not in others:
            yield f"I6: {wanted} % is called in effect while the route gives {stood} %"

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
            shown = [each["verdict"] for each in after.get("evidence") or ()]
            # The checkpoint is written first; a status in its least form shows no evidence.
            if GATE in step and (self._judged != "not worse" or set(shown) - {"NotWorse"}):
                yield f"I6: past a gate with {shown}, while the run says {self._judged!r}"
            if GATE in step:
                yield from self._gated(self._effects.get(self._weighed(before)))

    def _weighed(self, status: Manifest) -> tuple[str, int | None]:
        """The attempt, and the step that set the weight which is judged."""
        index = status.get("currentStepIndex")
        upto = self._steps[: index + 1] if index is not None else ()
        weighing = [at for at, step in enumerate(upto) if "setWeight" in step]
        return status.get("attempt", ""), weighing[-1] if weighing else None

    @staticmethod
    def _gated(effect: str | None) -> Iterator[str]:
        if effect is None:
            yield "I6: past a gate whose effect was never observed"
            return
        began, now = to_ms(datetime.fromisoformat(effect)), to_ms(clock.now())
        if began // SCRAPE_MS == now // SCRAPE_MS:
            yield f"I6: past a gate after {(now - began) / 1000:.1f} s, without a scrape: by older evidence"

    def _counted(self, after: Manifest, images: dict[str, str]) -> Iterator[str]:
        """I10: nothing is counted twice, whoever counts after a restart."""
        canary = images.get(after.get("currentPodHash", ""))
        for each in after.get("evidence") or ():
            counted = (each.get("canary") or {}).get("total", 0)
            true = self._prometheus.requests(canary or "")
            if counted > true + 1:
                yield f"I10: {counted:.0f} requests of the canary are counted, it had {true:.0f}"
