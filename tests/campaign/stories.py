"""What people do while everything around goes wrong, and how it ends."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace

import manifests
from manifests import CANARY, STABLE, Manifest
from repository import git_source, text

from rollout.api.intents import IntentKey
from tests.forge.forge_servers import TOKEN

from .campaign_forge import HOST
from .cluster import NAMESPACE, ROLLOUTS
from .scene import Scene

REPLICAS = 3
FILE = "deploy/rollout.yaml"
ADDRESS = "http://prometheus:9090"
LONG_S = 3600.0
SETTINGS = {name: f"deploy/{name}.yaml" for name in ("kept", "changed", "dropped")}
"""ConfigMaps beside the Rollout, by what the second commit does to them."""
TOKEN_OF_HOST: Manifest = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "git-api"},
    "data": {"token": base64.b64encode(TOKEN.encode()).decode()},
}
PROVIDER: Manifest = {
    "type": "github",
    "address": HOST,
    "repository": "shop/env",
    "secretRef": {"name": "git-api"},
}
GATE: Manifest = {"judge": {"minDuration": "1s", "maxDuration": "30m"}}
STEPS: tuple[Manifest, ...] = (
    {"setWeight": 20},
    GATE,
    {"pause": {"duration": "10s"}},
    {"setWeight": 60},
    GATE,
)
ASKED: tuple[Manifest, ...] = ({"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, GATE)
"""With a pause that waits for a person."""


@dataclass(frozen=True, slots=True)
class End:
    """How the world stands when all is over."""

    phase: str
    stage: str
    verdict: str
    images: tuple[tuple[str, int], ...]
    serves: tuple[str, str]
    """The images that the stable and the canary Service select."""
    weight: int
    refused: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    """Annotations of ours that nobody has taken."""

    def differs(self, other: "End") -> list[str]:
        """In words, field by field."""
        ours, theirs = asdict(self), asdict(other)
        return [f"{key} is {ours[key]!r}, not {theirs[key]!r}" for key in ours if ours[key] != theirs[key]]


GONE = End("", "", "", (), ("", ""), 0)


def end(scene: Scene) -> End:
    """How it stands now."""
    rollout, told = scene.rollout, scene.told
    images = scene.revisions()
    serves = (images.get(scene.selects(STABLE), ""), images.get(scene.selects(CANARY), ""))
    if rollout is None:
        return End("", "", "", tuple(sorted(scene.images().items())), serves, scene.weight)
    verdicts = [each["verdict"] for each in told.get("history") or ()]
    return End(
        phase=str(told.get("phase", "")) if scene.current else "",
        stage=str(told.get("stage", "")),
        verdict=verdicts[-1] if verdicts else "",
        images=tuple(sorted(scene.images().items())),
        serves=serves,
        weight=scene.weight,
        refused=tuple(each["verdict"] for each in told.get("refused") or ()),
        pending=tuple(
            key
            for key in sorted(rollout["metadata"].get("annotations") or ())
            if key.removeprefix("progressive.delivery/") in set(IntentKey)
        ),
    )


def template() -> Manifest:
    """What every rollout here is judged by."""
    found = manifests.errors(ADDRESS)
    found["spec"]["metrics"][0]["interval"] = "5s"
    return found


def rollout(image: str, steps: Sequence[Manifest] = STEPS) -> Manifest:
    """The shop's Rollout."""
    return manifests.rollout(image, steps=steps, replicas=REPLICAS, canary=manifests.JUDGED)


async def first_deploy(scene: Scene) -> None:
    """Everything is created."""
    await scene.apply(*manifests.traffic(), template(), rollout("shop:v1"))


async def change(scene: Scene, image: str, steps: Sequence[Manifest] = STEPS) -> None:
    """A new version, as Git would bring it."""
    body = rollout(image, steps)["spec"]
    wanted = {"template": body["template"], "strategy": body["strategy"]}
    await scene.patch(ROLLOUTS, manifests.NAME, {"spec": wanted})


async def promotion(scene: Scene) -> None:
    """A good version."""
    await change(scene, "shop:v2")


async def rollback(scene: Scene) -> None:
    """A version that fails 6 % of its requests."""
    await change(scene, "shop:v2-bad")


async def abort(scene: Scene) -> None:
    """Somebody aborts it at its first weight."""
    await change(scene, "shop:v2")
    await _weighs(scene, 20)
    await scene.annotate("abort", "no")


async def superseded(scene: Scene) -> None:
    """A newer version comes while the canary is under way."""
    await change(scene, "shop:v2")
    await _weighs(scene, 20)
    await change(scene, "shop:v3")


async def retry(scene: Scene) -> None:
    """Aborted, then asked for again."""
    await abort(scene)
    await scene.until("the refusal", lambda: scene.told.get("stage") == "Refused", LONG_S)
    await scene.annotate("retry", "yes")


async def back_within_window(scene: Scene) -> None:
    """A version without steps, and the one before again: within the rollback window."""
    await scene.patch(ROLLOUTS, manifests.NAME, {"spec": {"rollbackWindow": {"revisions": 1}}})
    await change(scene, "shop:v2", ())
    await scene.until("the promotion", lambda: scene.images() == {"shop:v2": REPLICAS}, LONG_S)
    await change(scene, "shop:v1")


async def deletion(scene: Scene) -> None:
    """The Rollout is deleted while its canary gets traffic."""
    await change(scene, "shop:v2")
    await _weighs(scene, 20)
    await scene.delete(ROLLOUTS, manifests.NAME)


async def asked(scene: Scene) -> None:
    """A step that waits for a person, a pause in the next one, and its end."""
    await change(scene, "shop:v2", ASKED)
    await scene.until("the pause", lambda: _paused(scene, 1), LONG_S)
    await scene.annotate("promote", "go on")
    await _weighs(scene, 60)
    await scene.annotate("pause", "wait")
    await scene.until("the pause of a person", lambda: scene.told.get("phase") == "Paused", LONG_S)
    await scene.annotate("resume", "go on")


async def abort_at(scene: Scene) -> None:
    """Somebody aborts it, whatever it is at."""
    await promotion(scene)
    await asyncio.sleep(scene.moment)
    await scene.annotate("abort", "no")


async def supersede_at(scene: Scene) -> None:
    """A newer version, whatever the older one is at."""
    await promotion(scene)
    await asyncio.sleep(scene.moment)
    await change(scene, "shop:v3")


async def take_back_at(scene: Scene) -> None:
    """The first version again, whatever the second is at."""
    await promotion(scene)
    await asyncio.sleep(scene.moment)
    await change(scene, "shop:v1")


async def delete_at(scene: Scene) -> None:
    """The Rollout is deleted, whatever it is at."""
    await promotion(scene)
    await asyncio.sleep(scene.moment)
    await scene.delete(ROLLOUTS, manifests.NAME)


async def promote_at(scene: Scene) -> None:
    """Somebody promotes it in full, whatever it is at."""
    await promotion(scene)
    await asyncio.sleep(scene.moment)
    await scene.annotate("promote-full", "now")


async def from_git(scene: Scene, modes: Sequence[str] = ()) -> None:
    """The first version stands, from Git; `modes` of writing back, notes where there are none."""
    assert scene.repository is not None
    traffic = text(*manifests.traffic(), template())
    files = {"deploy/traffic.yaml": traffic, FILE: text(rollout("shop:v1"))}
    spec: Manifest = {"interval": "10s"}
    if modes:
        files |= {path: text(settings(name, "v1")) for name, path in SETTINGS.items()}
        spec = {"interval": "30s", "writeBack": {"modes": list(modes), "provider": PROVIDER}}
        await scene.may_read_secrets(TOKEN_OF_HOST)
    scene.repository.commit(files)
    await scene.apply(git_source(scene.repository.url, **spec))
    await scene.until("v1", lambda: scene.told.get("phase") == "Healthy" and scene.current, LONG_S)


def settings(name: str, value: str) -> Manifest:
    """What a commit brings beside the Rollout."""
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"version": value}}


async def promoted_and_told(scene: Scene) -> None:
    """A good version is committed, with other changes."""
    _commit_with_settings(scene, "shop:v2")


async def refused_and_told(scene: Scene) -> None:
    """A version that fails 6 % of its requests is committed, with other changes."""
    _commit_with_settings(scene, "shop:v2-bad")


def _commit_with_settings(scene: Scene, image: str) -> None:
    assert scene.repository is not None
    changed, dropped = SETTINGS["changed"], SETTINGS["dropped"]
    files = {FILE: text(rollout(image)), changed: text(settings("changed", image)), dropped: None}
    scene.repository.commit(files)
    scene.host.branches.add(f"rollout/revert-{NAMESPACE}-{manifests.NAME}-{scene.repository.tip[:12]}")


async def committed(scene: Scene) -> None:
    """A good version is committed."""
    _commit(scene, text(rollout("shop:v2")))


async def committed_bad(scene: Scene) -> None:
    """A version that fails 6 % of its requests is committed."""
    _commit(scene, text(rollout("shop:v2-bad")))


async def mended(scene: Scene) -> None:
    """A manifest that can't be read, and then one that can."""
    good = text(rollout("shop:v2"))
    _commit(scene, good.replace("replicas: 3", "replicaz: 3"))
    await asyncio.sleep(25)
    assert scene.images() == {"shop:v1": REPLICAS}, "I13: what was refused has changed something"
    _commit(scene, good)


async def superseded_in_git(scene: Scene) -> None:
    """A newer commit while the canary is under way."""
    await committed(scene)
    await _weighs(scene, 20)
    _commit(scene, text(rollout("shop:v3")))


def _commit(scene: Scene, manifest: str) -> None:
    assert scene.repository is not None
    scene.repository.commit({FILE: manifest})


async def _weighs(scene: Scene, percent: int) -> None:
    await scene.until(f"{percent} %", lambda: scene.weight == percent, LONG_S)


def _paused(scene: Scene, index: int) -> bool:
    return scene.told.get("phase") == "Paused" and scene.told.get("currentStepIndex") == index


@dataclass(frozen=True, slots=True)
class Story:
    """What people do, the steps that it runs through, and the ways in which it may end."""

    name: str
    tell: Callable[[Scene], Awaitable[None]]
    ends: tuple[End, ...]
    weights: tuple[int, ...] = ()
    """The canary's weights, as long as nothing but the API and the operator were troubled; not held to where
    people act at any moment.
    """
    steps: tuple[Manifest, ...] = STEPS
    git: bool = False
    """Whether its manifests come from a repository."""
    modes: tuple[str, ...] = ()
    """How its verdicts go back to Git, where that is looked at."""
    late: tuple[tuple[int, ...], ...] = ()
    """What the weights may be besides where Git is troubled, and a commit comes late."""


def _promoted(image: str) -> End:
    serving = {"images": ((image, REPLICAS),), "serves": (image, image), "weight": 0}
    return End("Healthy", "Stable", "Promoted", **serving)


def _taken_back(image: str) -> End:
    serving = {"images": ((image, REPLICAS),), "serves": (image, image), "weight": 0}
    return End("Healthy", "Stable", "FastRolledBack", **serving)


def _put_back(image: str, verdict: str) -> End:
    return replace(
        _refused(verdict), phase="Healthy", stage="Stable", verdict="Promoted", images=((image, REPLICAS),)
    )


def _refused(verdict: str) -> End:
    serving = {"images": (("shop:v1", REPLICAS),), "serves": ("shop:v1", "shop:v1"), "weight": 0}
    return End("Degraded", "Refused", verdict, **serving, refused=(verdict,))


UP = (0, 20, 60, 100, 0)
AGAIN = (0, 20, 0, 20, 60, 100, 0)
LATE = tuple((*UP[:reached], *UP) for reached in (3, 4))
"""Superseded at a later weight, or when all was over."""
FIRST = Story("first deploy", first_deploy, (_promoted("shop:v1"),), (0,))
STORIES = (
    Story("promotion", promotion, (_promoted("shop:v2"),), UP),
    Story("rollback", rollback, (_refused("RolledBack"),), (0, 20, 0)),
    Story("abort", abort, (_refused("Aborted"),), (0, 20, 0)),
    Story("superseded", superseded, (_promoted("shop:v3"),), AGAIN),
    Story("retry", retry, (_promoted("shop:v2"),), AGAIN),
    Story("deletion", deletion, (GONE,), (0, 20, 0)),
    Story("asked", asked, (_promoted("shop:v2"),), UP, ASKED),
)
BACK = Story("back within the window", back_within_window, (_promoted("shop:v1"),), (0, 100, 0, 100, 0))
"""Of the campaign alone: its kills would take a minute of every test run."""
AT_A_MOMENT = (
    Story("aborted at a moment", abort_at, (_refused("Aborted"), _promoted("shop:v2"))),
    Story("superseded at a moment", supersede_at, (_promoted("shop:v3"),)),
    Story("taken back at a moment", take_back_at, (_taken_back("shop:v1"), _promoted("shop:v1"))),
    Story("deleted at a moment", delete_at, (GONE,)),
    Story("promoted in full at a moment", promote_at, (_promoted("shop:v2"),)),
)
GIT_STORIES = (
    Story("promotion from Git", committed, (_promoted("shop:v2"),), UP, git=True),
    Story("rollback from Git", committed_bad, (_refused("RolledBack"),), (0, 20, 0), git=True),
    Story("mended in Git", mended, (_promoted("shop:v2"),), UP, git=True),
    Story("superseded from Git", superseded_in_git, (_promoted("shop:v3"),), AGAIN, late=LATE, git=True),
)
PUT_BACK = Story(
    "put back in Git",
    refused_and_told,
    (_put_back("shop:v1", "RolledBack"),),
    (0, 20, 0),
    git=True,
    modes=("notes", "revertCommit", "commitStatus"),
)
PROPOSED = Story(
    "proposed to be put back",
    refused_and_told,
    (_refused("RolledBack"),),
    (0, 20, 0),
    git=True,
    modes=("notes", "revertBranch", "commitStatus"),
)
TOLD = Story(
    "promoted and told to Git",
    promoted_and_told,
    (_promoted("shop:v2"),),
    UP,
    git=True,
    modes=("notes", "commitStatus"),
)
WRITTEN_BACK = (PUT_BACK, PROPOSED, TOLD)
BY_NAME = {story.name: story for story in (FIRST, *STORIES, BACK, *AT_A_MOMENT, *GIT_STORIES, *WRITTEN_BACK)}
