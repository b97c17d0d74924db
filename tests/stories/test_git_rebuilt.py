"""A cluster that is built anew from Git begins with what was good last, as the notes tell."""

import json
from pathlib import Path

import manifests
from home import ROLLOUT, TRAFFIC, Home, home
from manifests import NAME
from repository import Repository, git_source, text
from stage import GIT_SOURCES, ROLLOUTS, Shop

from rollout.api.identity import attempt_key, template_hash
from rollout.api.rollout import parse_rollout
from rollout.api.status import Phase, Stage
from rollout.demo.repository import NOTES, git

__all__ = ["home"]  # a fixture


async def rebuilt(home: Home, **spec: object) -> Home:
    """The same repository in a namespace that knows nothing, as in a cluster that was lost."""
    await home.shop.delete(GIT_SOURCES, NAME)
    await home.shop.delete(ROLLOUTS, NAME)

    await home.shop.gone(ROLLOUTS)
    await home.shop.apply(git_source(home.repository.url, recovery="fromGit", **spec))
    return home


async def test_git_31_of_a_refused_version_a_rebuilt_cluster_serves_the_last_good_one(home: Home) -> None:
    bad = await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    await home.shop.annotate("abort", "slow checkouts")
    await home.shop.phase(Phase.DEGRADED)
    await home.note(bad, "Aborted")

    await rebuilt(home)
    message = await home.shop.told("Recovering", "which was good last")
    assert "it was Aborted (aborted by hand: slow checkouts)" in message
    status = await home.shop.phase(Phase.DEGRADED)
    await home.shop.serving("shop:v1")
    assert status.stage is Stage.REFUSED
    assert status.verdict_reason == "aborted by hand: slow checkouts"
    assert (await home.shop.condition("RolledBack"))[0] == "True"
    assert [entry.reason for entry in status.history] == ["first deploy, recovered from Git"]
    assert status.history[0].commit != bad
    await home.applied(bad)
    image = (await home.shop.get(ROLLOUTS))["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "shop:v2", "Git is the truth still: what it asks for is refused, and stands there"

    back = await home.repository.revert(bad)
    await home.applied(back)
    await home.shop.phase(Phase.HEALTHY)


async def test_git_31_what_nothing_was_decided_of_takes_its_steps_after_the_last_good_one(home: Home) -> None:
    """A cluster that was lost in the middle of a canary."""
    new = await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    await rebuilt(home)
    assert "no verdict on it is noted" in await home.shop.told("Recovering")
    await home.shop.paused(50)
    await home.applied(new)
    status = await home.shop.status()
    versions = {entry.hash: entry.version for entry in status.history}
    assert versions[status.stable_rs] == "shop:v1"


async def test_git_31_without_notes_it_is_a_first_deploy_that_is_told(shop: Shop, tmp_path: Path) -> None:
    files = {ROLLOUT: text(manifests.rollout("shop:v2")), TRAFFIC: text(*manifests.traffic())}
    repository = await Repository.with_files(tmp_path, files)
    await shop.apply(git_source(repository.url, recovery="fromGit"))
    assert "there is no note on it in Git" in await shop.told("InitialDeployUnverified")
    await shop.serving("shop:v2")


async def test_git_31_a_note_names_no_commit_that_the_branch_does_not_hold(
    shop: Shop, tmp_path: Path
) -> None:
    """Whoever may push notes does not choose what is deployed."""
    files = {ROLLOUT: text(manifests.rollout("shop:v1")), TRAFFIC: text(*manifests.traffic())}
    repository = await Repository.with_files(tmp_path, files)
    await git(repository.clone, "checkout", "--quiet", "-b", "other")
    (repository.clone / ROLLOUT).write_text(text(manifests.rollout("shop:evil")))
    await git(repository.clone, "commit", "--quiet", "--all", "--message", "evil")
    await git(repository.clone, "push", "--quiet", "origin", "other")
    evil = (await git(repository.clone, "rev-parse", "HEAD")).strip()
    record = {
        "rollout": f"{shop.namespace}/{NAME}",
        "attempt": "a",
        "verdict": "Promoted",
        "hash": template_hash(manifests.template("shop:evil")),
        "at": "2026-01-01T00:00:00+00:00",
    }
    await git(repository.clone, "notes", f"--ref={NOTES}", "add", "--message", json.dumps(record), evil)
    await git(repository.clone, "push", "--quiet", "origin", NOTES)
    await shop.apply(git_source(repository.url, recovery="fromGit"))
    assert "is found in this history" in await shop.told("InitialDeployUnverified")
    await shop.serving("shop:v1")


async def test_git_31_a_refused_version_without_a_good_one_before_it_is_not_deployed(
    shop: Shop, tmp_path: Path
) -> None:
    wanted = manifests.rollout("shop:v1")
    files = {ROLLOUT: text(wanted), TRAFFIC: text(*manifests.traffic())}
    repository = await Repository.with_files(tmp_path, files)
    record = {
        "rollout": f"{shop.namespace}/{NAME}",
        "attempt": attempt_key(parse_rollout(wanted).spec),
        "verdict": "RolledBack",
        "reason": "errors 6 %",
        "at": "2026-01-01T00:00:00+00:00",
    }
    await git(repository.clone, "notes", f"--ref={NOTES}", "add", "--message", json.dumps(record), "HEAD")
    await git(repository.clone, "push", "--quiet", "origin", NOTES)
    await shop.apply(git_source(repository.url, recovery="fromGit"))
    assert "errors 6 %" in await shop.told("NothingToRecover", ROLLOUT)
    assert await shop.every(ROLLOUTS) == []
