"""Plays the story: does what each act says, waits for its end, and records what was seen."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rollout.api.intents import PREFIX
from rollout.api.status import HistoryEntry, Phase, Stage, TakenState, Verdict
from rollout.demo.foreseen import OUTSIDE, Foreseen, Stopwatch, foreseen
from rollout.demo.glimpse import Glimpse
from rollout.demo.ledger import Record, Users, differences, entry_of, serving, users
from rollout.demo.repository import Repository
from rollout.demo.scrapes import Scrapes
from rollout.demo.stage import RATE
from rollout.demo.story import (
    MANIFEST,
    NAME,
    NAMESPACE,
    Act,
    Annotate,
    AwaitPause,
    AwaitRevert,
    Commit,
    Deed,
    Restore,
)
from rollout.demo.view import View
from rollout.demo.witness import Witness
from rollout.sandbox.shop.load import LoadReport

STABLE_FAILS = 0.01
"""The share of its requests that a good version of the shop fails."""
LAST_ANSWERS_S = 1.2
"""How long after an end the last answers may still come in: two reports of the load generator."""
READING_S = 2.5
"""The pause between two acts, for people; `--fast` leaves it out."""


class DeedFailedError(Exception):
    """What an act wanted to do could not be done; the message says why."""


@dataclass(slots=True)
class Progress:
    """What an act has done up to now."""

    began: datetime
    load: LoadReport
    commit: str = ""
    asked_at: datetime | None = None
    """When a person asked for something."""
    put_back: str = ""
    """The operator's commit that took ours back."""
    evidence: Stopwatch = field(default_factory=Stopwatch)
    """How long the judge gathered evidence."""


class Player:
    """Plays one story on one stage."""

    def __init__(
        self,
        repository: Repository,
        witness: Witness,
        view: View,
        kubectl: Sequence[str],
        scrapes: Scrapes,
        open_doors: Callable[[], Awaitable[None]],
        *,
        fast: bool,
    ) -> None:
        self._repository = repository
        self._witness = witness
        self._view = view
        self._kubectl = kubectl
        self._scrapes = scrapes
        self._open_doors = open_doors
        self._fast = fast
        self._commits: dict[str, str] = {}

    async def play(self, act: Act) -> Record:
        """Play one act to its end, or to its timeout."""
        began = time.monotonic()
        so_far = Progress(datetime.now(UTC).replace(microsecond=0), self._witness.now.load)
        problem = ""
        try:
            await self._foretell(act)
            async with asyncio.timeout(act.timeout_s):
                for deed in act.deeds:
                    await self._do(deed, act, so_far)
                await self._witness.until(lambda now: self._over(now, act, so_far))
        except TimeoutError:
            problem = f"it ended: told within {act.timeout_s:.0f} s, seen not to"
        except (DeedFailedError, ValueError) as error:
            problem = str(error)
        took = time.monotonic() - began
        await asyncio.sleep(LAST_ANSWERS_S)
        await self._witness.look()
        record = await self._record(act, so_far, took, problem)
        if not record.differences:
            await self._open_doors()
        self._view.end(record)
        if not self._fast:
            await asyncio.sleep(READING_S)
        return record

    async def _foretell(self, act: Act) -> None:
        """What the plan says, before anything is done."""
        if act.fails is None:
            return
        bad = "" if act.fails <= STABLE_FAILS else f" --bad-rate {act.fails:.0%}"
        self._view.say(f"$ rollout plan shop --rps {RATE:.0f} --error-rate {STABLE_FAILS:.0%}{bad}", "bold")
        plan = await _foreseen(RATE, act.fails)
        proved = "proved good at every step" if not bad else f"proved worse if it fails {act.fails:.0%}"
        rare = f"all but {2 * OUTSIDE:.1%} within {plan}"
        self._view.say(f"{act.version} is {proved} after about {plan.expected_s:.0f} s of evidence; {rare}")

    async def _do(self, deed: Deed, act: Act, so_far: Progress) -> None:
        match deed:
            case Commit(subject, edits):
                for old, new in edits:
                    self._repository.edit(MANIFEST, old, new)
                await self._push(subject, act, so_far)
            case Restore(subject, of):
                self._view.say(f"$ git checkout {self._commits[of][:7]} -- {MANIFEST}", "bold")
                await self._repository.restore(self._commits[of], MANIFEST)
                await self._push(subject, act, so_far)
            case AwaitPause(weight, requests):
                await self._witness.until(lambda now: _paused(now, act, so_far, weight, requests))
            case AwaitRevert():
                await self._witness.until(lambda now: _moved_on(now, so_far))
                log = await self._repository.take_over()
                so_far.put_back = log.split()[1]
                self._view.say(f"$ git pull && git log -1\n{log}", "bold")
            case Annotate(key, reason):
                await self._annotate(PREFIX + key, reason)
                so_far.asked_at = datetime.now(UTC)

    async def _push(self, subject: str, act: Act, so_far: Progress) -> None:
        self._view.say(f"$ git commit -am {subject!r} && git push", "bold")
        so_far.commit = self._commits[act.key] = await self._repository.push(subject)

    async def _annotate(self, annotation: str, reason: str) -> None:
        words = [
            "annotate",
            f"rollouts.progressive.delivery/{NAME}",
            "-n",
            NAMESPACE,
            f"{annotation}={reason}",
        ]
        self._view.say(f"$ kubectl {' '.join(words[:-1])} {annotation}={reason!r}", "bold")
        child = await asyncio.create_subprocess_exec(
            *self._kubectl, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await child.communicate()
        if child.returncode:
            raise DeedFailedError(f"kubectl annotate: {output.decode(errors='replace').strip()}")

    def _over(self, now: Glimpse, act: Act, so_far: Progress) -> bool:
        """Whether the act has come to an end, the told one or another."""
        seen = now.rollout
        so_far.evidence.see(now, so_far.commit)
        if not act.ends.applied:
            return now.handled == so_far.commit and bool(now.complaint)
        stands = so_far.put_back or so_far.commit
        if seen is None or seen.status.source is None or seen.status.source.commit != stands:
            return False
        status = seen.status
        settled = status.stage in (Stage.STABLE, Stage.REFUSED) and status.phase in (
            Phase.HEALTHY,
            Phase.DEGRADED,
        )
        taken = so_far.asked_at is None or (
            status.intent is not None and status.intent.state is TakenState.CLEARED
        )
        return settled and taken and status.observed_generation >= self._witness.generation

    async def _decided_at(self, so_far: Progress, entry: HistoryEntry | None) -> datetime | None:
        """The scrape that decided, or when a person asked; None where the version was not stopped."""
        if entry is None or entry.verdict not in (Verdict.ROLLED_BACK, Verdict.ABORTED):
            return None
        if so_far.asked_at is not None:
            return so_far.asked_at
        return await self._scrapes.last(entry.hash, entry.decided_at) if entry.decided_at else None

    async def _record(self, act: Act, so_far: Progress, took: float, problem: str) -> Record:
        now = self._witness.now
        counted = users(act.version if act.trial else None, so_far.load, now.load)
        seen = now.rollout
        entry = entry_of(seen.status, act.version, so_far.began) if seen else None
        # Verdicts that are not in the history yet stand in the status itself.
        verdict = str(entry.verdict) if entry else ""
        top = entry.top_weight if entry else 0
        last = now.load.last.get(act.version)
        unlike = [problem] if problem else []
        if seen is not None:
            unlike += differences(act, seen, verdict, top, counted, now.complaint)
        planned, judged_s = await _planned(act, counted, took), round(so_far.evidence.seconds, 1)
        if planned is not None and not planned.holds(judged_s):
            unlike.append(f"time of evidence: told {planned}, seen {judged_s:g} s")
        return Record(
            act=act.key,
            title=act.title,
            version=act.version,
            revision=entry.revision if entry else None,
            hash=entry.hash if entry else "",
            commit=so_far.commit,
            put_back=so_far.put_back,
            phase=str(seen.status.phase) if seen and seen.status.phase else "",
            serves=serving(seen) if seen else "",
            verdict=verdict,
            reason=entry.reason if entry else "",
            decided_at=await self._decided_at(so_far, entry),
            last_answer_at=datetime.fromtimestamp(last, UTC) if last and act.trial else None,
            top_weight=top,
            users=counted,
            took_s=round(took, 1),
            complaint=now.complaint,
            differences=tuple(unlike),
            evidence_s=judged_s if planned is not None else None,
            planned_s=(round(planned.low_s, 1), round(planned.high_s, 1)) if planned is not None else None,
        )


async def _foreseen(rps: float, canary: float) -> Foreseen:
    """The plan; it takes a second, and the cluster goes on meanwhile."""
    folder = content() / "shop"
    return await asyncio.to_thread(foreseen, folder, rps=rps, stable=STABLE_FAILS, canary=canary)


async def _planned(act: Act, counted: Users, took: float) -> Foreseen | None:
    """The plan at the rate at which users came: a machine that has more to do sends fewer."""
    rps = (counted.canary + counted.stable) / took
    return await _foreseen(rps, act.fails) if act.fails is not None and rps else None


def _moved_on(now: Glimpse, so_far: Progress) -> bool:
    """Whether the Rollout is of another commit than ours by now; the evidence is timed meanwhile."""
    so_far.evidence.see(now, so_far.commit)
    source = now.rollout.status.source if now.rollout else None
    gone_on = so_far.asked_at is not None or bool(so_far.evidence.seconds)
    return source is not None and source.commit != so_far.commit and gone_on


def _paused(now: Glimpse, act: Act, so_far: Progress, weight: int, requests: int) -> bool:
    seen = now.rollout
    if seen is None or seen.status.source is None or seen.status.source.commit != so_far.commit:
        return False
    weights = seen.status.canary.weights
    answered = users(act.version, so_far.load, now.load).canary
    at_weight = weights is not None and weights.canary.weight == weight
    return seen.status.phase is Phase.PAUSED and at_weight and answered >= requests


async def played(player: Player, story: Sequence[Act], view: View) -> list[Record]:
    """The whole story, up to the first act that ends otherwise than told, since the next builds on it."""
    records: list[Record] = []
    for number, act in enumerate(story, 1):
        view.begin(act, number, len(story))
        records.append(await player.play(act))
        if records[-1].differences:
            break
    return records


def content() -> Path:
    """The manifests that the story begins with."""
    return Path(__file__).with_name("manifests")
