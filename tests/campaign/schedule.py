"""One schedule: a story, what goes wrong in it, and whether it ended as if nothing had."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from manifests import Manifest

from . import holding, stories, written_back
from .campaign_forge import hosted
from .campaign_repository import Repository
from .campaign_weather import Weather
from .checks import Checks
from .cluster import Cluster, seeded
from .faults import GIT, Fault, Kind
from .loop import Standstill, play
from .scene import Never, Scene
from .stories import BY_NAME, FIRST, Story

FAULTY_S = 120.0
"""For how long after the change things go wrong; later the weather is fine."""
SETTLES_S = 3600.0
REST_S = 30.0
QUIET_S = 120.0
LOOKS_S = 5.0
WORLDLY = {
    Kind.POD_GONE,
    Kind.CANARY_GONE,
    Kind.STABLE_GONE,
    Kind.FOREIGN_WEIGHT,
    Kind.FOREIGN_SELECTOR,
    Kind.SLOW_PODS,
    Kind.CANARY_UNREADY,
    Kind.STABLE_UNREADY,
    Kind.FLIPPING,
}
"""What changes the very way that the weights take."""
SLOWS = {
    Kind.DELAY,
    Kind.HANG_BEFORE,
    Kind.HANG_AFTER,
    Kind.FREEZE_BEFORE,
    Kind.FREEZE_AFTER,
    Kind.FREEZE_SENT,
    Kind.STORM,
    Kind.WATCHES_LATE,
    Kind.WATCHES_CUT,
    Kind.WATCHES_GONE,
}
"""What lets endpoints change between a look at them and what is done about it."""
QUICK_S, SLOW_S = 0.2, 45.0
"""For how long at most: endpoints come by watches, and a turn makes several calls."""
FALSIFIES = {Kind.METRICS, Kind.RESETS}


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is to be played; `seed` is for all that is drawn meanwhile, `moment` for stories in which people
    act at any: seconds after the change. With a `lease` nobody works while another one that is frozen holds
    it, and nobody writes without it; else another one begins at once, and both go on.
    """

    story: str
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    moment: float = 0.0
    lease: bool = False

    def as_json(self) -> dict[str, Any]:
        """As it is written down."""
        faults = [each.as_json() for each in self.faults]
        told = {"story": self.story, "seed": self.seed, "moment": self.moment, "faults": faults}
        return told | ({"lease": True} if self.lease else {})

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """As it was written down."""
        faults = tuple(map(Fault.from_json, told["faults"]))
        return cls(told["story"], faults, told["seed"], told["moment"], told.get("lease", False))

    def __str__(self) -> str:
        moment = f" at {self.moment:.2f} s" if self.moment else ""
        lease = ", with a Lease" if self.lease else ""
        return f"{self.story}{moment}, seed {self.seed}{lease}: " + (
            "; ".join(map(str, self.faults)) or "no faults"
        )


@dataclass(slots=True)
class Outcome:
    """What became of it. `violations` is empty where all was well."""

    schedule: Schedule
    violations: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    requests: int = 0
    written: list[str] = field(default_factory=list)
    """The call site of each write: `create events`."""
    sites: dict[str, int] = field(default_factory=dict)
    statements: dict[str, int] = field(default_factory=dict)
    """How often each statement of the work on Git ran until its end was there, where that was asked for."""
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    history: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {
            **self.schedule.as_json(),
            "violations": self.violations,
            "struck": self.struck,
            "writes": len(self.written),
            "virtualSeconds": round(self.virtual_s, 1),
            "cpuSeconds": round(self.cpu_s, 3),
        }


class Stage:
    """Plays schedules, one after the other; made once a process.

    All stories but the first deploy begin where that one ended.
    """

    def __init__(self) -> None:
        self._cluster = play(Cluster.made())
        self._empty = self._cluster.kept()
        first = self.run(Schedule(FIRST.name))
        assert not first.violations, first.violations
        self._standing = self._cluster.kept(first.virtual_s)

    def run(self, schedule: Schedule, *, calls: list[str] | None = None, statements: bool = False) -> Outcome:
        """Play one; with `statements`, count those of the work on Git."""
        story = BY_NAME[schedule.story]
        outcome = Outcome(schedule)
        began = time.process_time()
        kept = self._empty if story is FIRST or story.git else self._standing
        self._cluster.reset(kept)
        with (
            holding.virtual(),
            seeded(schedule.seed),
            tempfile.TemporaryDirectory(prefix="campaign-") as home,
        ):
            repository = Repository(Path(home)) if story.git else None
            try:
                played = _played(self._cluster, story, outcome, calls, repository, statements=statements)
                play(played, kept.at_s)
            except Standstill as standstill:
                outcome.violations.append(f"it stands still: {standstill}")
        outcome.cpu_s = time.process_time() - began
        return outcome


async def _played(
    cluster: Cluster,
    story: Story,
    outcome: Outcome,
    calls: list[str] | None,
    repository: Repository | None,
    *,
    statements: bool,
) -> None:
    scene = Scene(cluster)
    scene.repository = repository
    schedule = outcome.schedule
    weather = Weather(cluster, scene, schedule.faults, schedule.seed, lease=schedule.lease)
    weather.calls = calls
    scene.open()
    controllers = cluster.run()
    hosted_there = AsyncExitStack()
    if story.modes:
        await hosted_there.enter_async_context(hosted(scene.host))
    weather.work()
    kinds = {fault.kind for fault in schedule.faults}
    try:
        if story.git:
            await stories.from_git(scene, story.modes)
        scene.world.stale_s = SLOW_S if kinds & SLOWS else QUICK_S
        scene.watch(Checks(scene.world, scene.prometheus, list(story.steps), counts=not kinds & FALSIFIES))
        began = asyncio.get_running_loop().time()
        weather.begin(every=statements)
        asyncio.get_running_loop().call_later(FAULTY_S, weather.clear)
        scene.moment = schedule.moment
        await story.tell(scene)
        await _arrives(scene, story, outcome)
        outcome.statements = dict(weather.statements.counted)
        await _settled(scene, story, outcome, began, kinds)
        outcome.virtual_s = asyncio.get_running_loop().time() - began
    except Never as never:
        outcome.violations.append(str(never))
        outcome.violations += _differs(scene, story, outcome)
    outcome.violations += [*scene.broken, *weather.failures]
    outcome.struck, outcome.sites = weather.struck, dict(weather.sites)
    outcome.requests, outcome.written = weather.requests, weather.written
    if outcome.violations or calls is not None:
        outcome.history = told(scene.history)
    weather.end()
    await controllers.stop()
    await hosted_there.aclose()


async def _arrives(scene: Scene, story: Story, outcome: Outcome) -> None:
    """It ends as it has to, and Git says so."""
    phases = {end.phase for end in story.ends}

    def there() -> bool:
        if scene.repository is not None and not scene.follows_git():
            return False
        return scene.told.get("phase", "") in phases and not _differs(scene, story, outcome)

    await scene.until("the end", there, SETTLES_S)
    if story.modes:
        await _told_to_git(scene, story)


async def _told_to_git(scene: Scene, story: Story) -> None:
    """Nothing that the API server hears of tells when a verdict has been pushed."""
    until = asyncio.get_running_loop().time() + SETTLES_S
    while missing := written_back.missing(scene, story):
        if asyncio.get_running_loop().time() > until:
            raise Never("; ".join(missing))
        await asyncio.sleep(LOOKS_S)


async def _settled(scene: Scene, story: Story, outcome: Outcome, began: float, kinds: set[Kind]) -> None:
    """It rests there, and then costs nothing."""
    faulty = began + FAULTY_S - asyncio.get_running_loop().time()
    await asyncio.sleep(max(faulty, 0.0) + REST_S)
    outcome.violations += [f"it went on: {each}" for each in _differs(scene, story, outcome)]
    quiet = len(scene.ours())
    await asyncio.sleep(QUIET_S)
    outcome.violations += [f"a write at rest: {each}" for each in told(scene.ours()[quiet:])]
    if story.modes:
        outcome.violations += written_back.broken(scene, story)
    weights = tuple(scene.weights())
    expected = (story.weights, *(story.late if kinds & GIT else ()))
    if not kinds & WORLDLY and story.weights and weights not in expected:
        outcome.violations.append(f"the weights were {list(weights)}, not {list(story.weights)}")


def _differs(scene: Scene, story: Story, outcome: Outcome) -> list[str]:
    """How it stands differently from the end that is nearest."""
    now = stories.end(scene)
    # A status that is refused is written in its least form, which knows no history.
    minimal = any(fault.kind is Kind.INVALID for fault in outcome.schedule.faults)
    found = [
        [each for each in now.differs(end) if not (minimal and each.startswith("verdict"))]
        for end in story.ends
    ]
    return min(found, key=len)


def told(history: Sequence[Any]) -> list[str]:
    """A history of writes, a line each."""
    return [f"{entry.at:9.3f} {'we' if entry.ours else '--'} {_words(entry)}" for entry in history]


def _words(entry: Any) -> str:
    obj: Manifest = entry.object
    name = f"{entry.kind}/{obj['metadata']['name']}@{entry.version}"
    if entry.gone:
        return f"{name} is gone"
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    match entry.kind:
        case "rollouts":
            keys = ("turn", "phase", "stage", "currentStepIndex", "stableRS", "currentPodHash", "message")
            words = {key: status.get(key) for key in keys}
            canary = status.get("canary") or {}
            words["desired"] = canary.get("desiredWeight")
            words["observed"] = ((canary.get("weights") or {}).get("canary") or {}).get("weight")
            words["asked"] = obj["metadata"].get("annotations")
            words["intent"] = status.get("intent")
            return f"{name} {words}"
        case "httproutes":
            return f"{name} {[(ref['name'], ref.get('weight')) for ref in spec['rules'][0]['backendRefs']]}"
        case "services":
            return f"{name} {spec['selector']}"
        case "replicasets":
            return f"{name} wants {spec.get('replicas')}, ready {status.get('readyReplicas', 0)}"
        case "endpointslices":
            ready = [
                end["targetRef"]["name"] for end in obj.get("endpoints") or () if end["conditions"]["ready"]
            ]
            return f"{name} ready {ready}"
        case "analysisruns":
            return f"{name} {status.get('phase')}: {status.get('message')}"
        case _:
            return f"{name} {status.get('phase')}"
