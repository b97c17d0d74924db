"""The story as data: what somebody does in each act, and how it has to end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rollout.api.intents import IntentKey
from rollout.api.status import Phase, Verdict

NAMESPACE = "shop"
NAME = "shop"
MANIFEST = "shop/rollout.yaml"
FIRST_PAUSE = ("      - setWeight: 5\n", "      - setWeight: 5\n      - pause: {}\n")


@dataclass(frozen=True, slots=True)
class Commit:
    """Edit the manifest and push: each (old, new) replaces text that must be there."""

    subject: str
    edits: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Restore:
    """Check out the manifest as an earlier act left it, and push."""

    subject: str
    of: str
    """The key of that act."""


@dataclass(frozen=True, slots=True)
class AwaitPause:
    """Wait until the rollout stands in a pause and the canary has answered real requests."""

    weight: int
    requests: int


@dataclass(frozen=True, slots=True)
class Annotate:
    """`kubectl annotate`, as a person would."""

    key: IntentKey
    reason: str


@dataclass(frozen=True, slots=True)
class AwaitRevert:
    """Wait until the operator has put the manifest back on the branch, and take its commit over."""


Deed = Commit | Restore | AwaitPause | Annotate | AwaitRevert


@dataclass(frozen=True, slots=True)
class Expectation:
    """How an act has to end."""

    phase: Phase
    serves: str
    """The version that all users get."""
    verdict: Verdict | None
    """Of this act's attempt; None where it is none."""
    top_weight: tuple[int, int]
    """Between which percentages the most lies that the canary was given."""
    canary_requests: tuple[int, int | None]
    """Between which counts the requests lie that the canary answered; None: no upper bound."""
    applied: bool = True
    """Whether the commit reached the cluster."""
    complaint: re.Pattern[str] | None = None
    """What the GitSource has to say where it did not."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act."""

    key: str
    title: str
    told: str
    """What the audience is told while it plays."""
    version: str
    """The version that this act tries."""
    deeds: tuple[Deed, ...]
    ends: Expectation
    timeout_s: float
    trial: bool = True
    """Whether the version is tried beside another one."""
    fails: float | None = None
    """The share of its requests that the version fails, where the plan is to be held to what comes."""


def image(old: str, new: str) -> tuple[str, str]:
    """The edit that brings another version."""
    return (f"image: shop:{old}\n", f"image: shop:{new}\n")


STORY = (
    Act(
        key="first",
        title="the first version",
        told="Git holds the manifests; the operator pulls them and deploys v1. Nothing to compare with yet.",
        version="v1",
        deeds=(Commit("deploy shop v1"),),
        ends=Expectation(Phase.HEALTHY, "v1", Verdict.PROMOTED, (100, 100), (0, 0)),
        timeout_s=60,
        trial=False,
    ),
    Act(
        key="good",
        title="a good version",
        told="A commit brings v2, as good as v1. At 5, 25 and 50 % it has to prove so before it gets more.",
        version="v2",
        deeds=(Commit("bump shop to v2", (image("v1", "v2"),)),),
        ends=Expectation(Phase.HEALTHY, "v2", Verdict.PROMOTED, (50, 100), (500, None)),
        timeout_s=200,
        fails=0.01,
    ),
    Act(
        key="bad",
        title="a bad version",
        told="A commit brings v3, which fails 6 % of its requests instead of 1 %. Only the judge watches.",
        version="v3-6pct",
        deeds=(Commit("bump shop to v3", (image("v2", "v3-6pct"),)),),
        ends=Expectation(Phase.DEGRADED, "v2", Verdict.ROLLED_BACK, (5, 50), (20, 20_000)),
        timeout_s=90,
        fails=0.06,
    ),
    Act(
        key="stopped",
        title="a version that somebody stops",
        told="A commit brings v4 with a pause at 5 %. Somebody dislikes it: one kubectl annotate aborts it.",
        version="v4",
        deeds=(
            Commit("bump shop to v4, pause at 5 %", (image("v3-6pct", "v4"), FIRST_PAUSE)),
            AwaitPause(weight=5, requests=30),
            Annotate(IntentKey.ABORT, "the checkout page looks odd"),
        ),
        ends=Expectation(Phase.DEGRADED, "v2", Verdict.ABORTED, (5, 5), (30, 5_000)),
        timeout_s=60,
    ),
    Act(
        key="back",
        title="the way back",
        told="A commit restores v2's manifest: that is what serves, so all is well at once, without a step.",
        version="v2",
        deeds=(Restore("restore shop v2", of="good"),),
        ends=Expectation(Phase.HEALTHY, "v2", Verdict.PROMOTED, (100, 100), (0, 0)),
        timeout_s=30,
        trial=False,
    ),
    Act(
        key="malformed",
        title="a slip of the hand",
        told="A commit breaks the YAML. Nothing of it is applied, and the error names file, line and column.",
        version="v5",
        deeds=(
            Commit(
                "bump shop to v5",
                (image("v2", "v5"), ("  strategy:\n    canary:\n", "  strategy:\n   canary\n")),
            ),
        ),
        ends=Expectation(
            Phase.HEALTHY,
            "v2",
            None,
            (0, 0),
            (0, 0),
            applied=False,
            complaint=re.compile(r"shop/rollout\.yaml:\d+:\d+"),
        ),
        timeout_s=30,
    ),
)


def put_back(story: tuple[Act, ...] = STORY) -> Iterator[Act]:
    """The same story where the operator reverts in Git what it refused: nobody has to find the way back."""
    for act in story:
        if act.ends.phase is Phase.DEGRADED:
            # The operator has put the file back to v2 before, and this act begins with it.
            deeds = tuple(_from_v2(each) for each in act.deeds)
            yield replace(
                act,
                told=f"{act.told} The operator puts the manifest back by a commit of its own.",
                deeds=(*deeds, AwaitRevert()),
                ends=replace(act.ends, phase=Phase.HEALTHY),
            )
        elif act.key != "back":
            yield act


def _from_v2(deed: Deed) -> Deed:
    if not isinstance(deed, Commit):
        return deed
    return replace(
        deed, edits=tuple((old.replace("shop:v3-6pct", "shop:v2"), new) for old, new in deed.edits)
    )
