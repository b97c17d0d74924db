"""Whether a verdict came back to Git, once: what is `missing` yet, and what is `broken` when all is over."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from manifests import CANARY, NAME, STABLE

from rollout.git.notes import NOTES_REF
from rollout.git.reverting import REVERTS
from rollout.sandbox.apiserver.resource import CONFIG_MAPS, PODS, REPLICA_SETS

from .campaign_repository import Repository, gits
from .cluster import GIT_SOURCES, ROLLOUTS, RUNS
from .scene import Scene
from .stories import FILE, PROPOSED, PUT_BACK, TOLD, Story

FIRST, SECOND = 0, 1
OF_ROLLOUTS = {PODS.plural, REPLICA_SETS.plural, RUNS.plural}
"""Kinds that come and go with versions; all others are the applier's to delete."""
VERDICTS = {
    PUT_BACK.name: ["Promoted", "RolledBack", "Promoted"],
    PROPOSED.name: ["Promoted", "RolledBack"],
    TOLD.name: ["Promoted", "Promoted"],
}
"""Of the commits of the branch, in their order."""


def missing(scene: Scene, story: Story) -> list[str]:
    """What is still to come."""
    commits = _branch(_repository(scene))
    wanted = VERDICTS[story.name]
    if len(commits) < len(wanted):
        return [f"{len(commits)} commits, not {len(wanted)}"]
    notes = _notes(_repository(scene))
    found = [f"no note on commit {nth}" for nth, commit in enumerate(commits) if commit not in notes]
    if story is PROPOSED and not scene.host.proposals:
        found.append("nothing is proposed")
    told = {(each["sha"], each["context"].split("/")[0]): each["state"] for each in scene.host.statuses}
    for nth, (commit, verdict) in enumerate(zip(commits, wanted, strict=False)):
        states = {"gitsource": "success", "rollout": "failure" if verdict == "RolledBack" else "success"}
        for kind, state in states.items():
            if told.get((commit, kind)) != state:
                found.append(f"{kind} of commit {nth} is told {told.get((commit, kind))}, not {state}")
    return found


def broken(scene: Scene, story: Story) -> list[str]:
    """What is wrong when all is over."""
    return [
        *missing(scene, story),
        *_verdicts(scene, story),
        *_reverts(scene, story),
        *_statuses(scene),
        *_applied(scene),
        *_left(scene),
    ]


def _verdicts(scene: Scene, story: Story) -> Iterator[str]:
    """One verdict an attempt, pushed once."""
    repository = _repository(scene)
    notes = _notes(repository)
    found = [record["verdict"] for commit in _branch(repository) for record in notes.get(commit, ())]
    if found != VERDICTS[story.name]:
        yield f"the notes say {found}"
    pushes = int(repository.ask("rev-list", "--count", NOTES_REF))
    if pushes != len(found):
        yield f"{len(found)} notes were pushed {pushes} times"


def _reverts(scene: Scene, story: Story) -> Iterator[str]:
    """At most one, of the very path, upon all that was there."""
    repository = _repository(scene)
    commits = _branch(repository)
    if len(commits) != len(VERDICTS[story.name]):
        yield f"{len(commits)} commits on the branch"
    branches = repository.ask("for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    if len(branches) != (2 if story is PROPOSED else 1):
        yield f"the branches are {branches}"
    if len(scene.host.proposals) != (story is PROPOSED):
        yield f"{len(scene.host.proposals)} pull requests"
    if story is TOLD:
        return
    revert = next(each for each in branches if (each == "main") is (story is PUT_BACK))
    made = repository.ask("log", "--format=%H", f"{commits[SECOND]}..{revert}").split()
    if len(made) != 1:
        yield f"{len(made)} reverts"
    for commit in made:
        paths = repository.ask("diff", "--name-only", commits[SECOND], commit).split()
        trailer = repository.ask("log", "-1", f"--format=%(trailers:key={REVERTS},valueonly)", commit).strip()
        if paths != [FILE] or trailer != commits[SECOND]:
            yield f"the revert of {trailer[:12]} changes {paths}"
        if repository.ask("diff", "--name-only", commits[FIRST], commit, "--", FILE):
            yield f"{FILE} is not what it was"


def _statuses(scene: Scene) -> Iterator[str]:
    """Never the same twice in a row, and nothing after a verdict."""
    by_place: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for each in scene.host.statuses:
        place = by_place.setdefault((each["sha"], each["context"]), [])
        place.append((each["state"], each["description"]))
    for (sha, context), told in by_place.items():
        yield from (
            f"{context} of {sha[:12]} is told twice: {one}" for one, two in pairwise(told) if one == two
        )
        ends = [nth for nth, (state, _) in enumerate(told) if state != "pending"]
        if ends and ends[0] != len(told) - 1:
            yield f"{context} of {sha[:12]} goes on after its verdict: {told}"


def _applied(scene: Scene) -> Iterator[str]:
    """Each manifest as Git has it, written once; nothing deleted but what left Git."""
    writes = Counter(
        (entry.kind, entry.object["metadata"]["name"]) for entry in scene.ours() if not entry.gone
    )
    gone = {
        (entry.kind, entry.object["metadata"]["name"])
        for entry in scene.ours()
        if entry.gone and entry.kind not in OF_ROLLOUTS
    }
    if gone != {(CONFIG_MAPS.plural, "dropped")}:
        yield f"deleted: {sorted(gone)}"
    for name, times in (("kept", 0), ("changed", 1)):
        if writes[CONFIG_MAPS.plural, name] != times:
            yield f"{name} was written {writes[CONFIG_MAPS.plural, name]} times"
    specs = [
        entry.object["metadata"]["generation"]
        for entry in scene.history
        if (entry.kind, entry.object["metadata"]["name"]) == (ROLLOUTS.plural, NAME)
    ]
    changes = len(_branch(_repository(scene))) - 1
    if specs[-1] != changes + 1:
        yield f"the Rollout's spec was written {specs[-1] - 1} times, not {changes}"
    status = scene.objects[GIT_SOURCES.plural, NAME].get("status") or {}
    held = sorted((each["kind"], each["name"], each["stale"]) for each in status.get("inventory") or ())
    wanted = [
        ("AnalysisTemplate", "errors"),
        ("ConfigMap", "changed"),
        ("ConfigMap", "kept"),
        ("HTTPRoute", NAME),
        ("Rollout", NAME),
        ("Service", CANARY),
        ("Service", STABLE),
    ]
    if held != [(*each, False) for each in wanted]:
        yield f"the inventory holds {held}"


def _left(scene: Scene) -> Iterator[str]:
    """No process, no secret file and no lock of those who were killed."""
    repository = _repository(scene)
    if working := gits(repository.home):
        yield f"processes are left: {sorted(working.values())}"
    for mirror in scene.disk.glob("*"):
        left = [*mirror.glob("private-*"), *mirror.rglob("*.lock"), *mirror.rglob("tmp_*")]
        if left:
            yield f"{len(left)} files are left, {left[0].name} among them"


def _branch(repository: Repository) -> list[str]:
    return repository.ask("log", "--reverse", "--format=%H", "main").split()


def _notes(repository: Repository) -> dict[str, list[dict[str, Any]]]:
    """The records on each commit."""
    found: dict[str, list[dict[str, Any]]] = {}
    if repository.ask("for-each-ref", NOTES_REF):
        for line in repository.ask("notes", f"--ref={NOTES_REF}", "list").splitlines():
            blob, commit = line.split()
            found[commit] = [
                json.loads(each) for each in repository.ask("cat-file", "blob", blob).splitlines()
            ]
    return found


def _repository(scene: Scene) -> Repository:
    assert scene.repository is not None
    return scene.repository
