"""GitSources and history by the command line, as a person types it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator

import manifests
import pytest
import pytest_asyncio
from home import ROLLOUT, Home, home
from manifests import NAME
from repository import git_source, text
from stage import ROLLOUTS
from typer.testing import CliRunner, Result

from rollout.api.status import Phase
from rollout.cli.app import app
from rollout.demo.repository import git
from rollout.sandbox.apiserver.resource import CONFIG_MAPS

__all__ = ["home"]  # a fixture


async def run(home: Home, *words: str) -> Result:
    """The command line, in a thread of its own since it has a loop of its own."""
    where = ["--namespace", home.shop.namespace, "--kubeconfig", str(home.shop.sandbox.kubeconfig)]
    return await asyncio.to_thread(CliRunner().invoke, app, [*words, *where])


def said(result: Result, code: int = 0) -> str:
    assert result.exit_code == code, result.output + str(result.exception)
    return " ".join(result.output.split())


async def test_sources_are_listed_shown_and_made_to_look(home: Home) -> None:
    await home.shop.apply(git_source(home.repository.url, interval="1h"))
    commit = await home.repository.commit("beside", {"deploy/it.yaml": text(config_map("1"))})
    assert said(await run(home, "source", "reconcile", NAME)) == f"{NAME}: main@{commit[:7]} is applied"
    assert f"{NAME} True main@{commit[:7]} False" in said(await run(home, "source", "list"))
    page = said(await run(home, "source", "get", NAME))
    assert f"Looks at {home.repository.url} (its default branch), path deploy" in page
    assert f"History {commit[:7]} Applied" in page
    listed = json.loads((await run(home, "source", "list", "-o", "json")).output)
    assert [each["metadata"]["name"] for each in listed["items"]] == [NAME]
    assert 'gitsource "absent" not found' in said(await run(home, "source", "get", "absent"), 1)


async def test_a_source_is_suspended_and_resumed(home: Home) -> None:
    assert said(await run(home, "source", "suspend", NAME)) == f"{NAME} is suspended"
    assert "is suspended; remedy: rollout source resume" in said(
        await run(home, "source", "reconcile", NAME), 1
    )
    assert said(await run(home, "source", "resume", NAME)) == f"{NAME} is resumed"
    assert "is applied" in said(await run(home, "source", "reconcile", NAME))


async def test_a_revision_that_is_refused_is_a_no(home: Home) -> None:
    await home.repository.commit("a slip", {ROLLOUT: "a: [b"})
    assert "MalformedManifest: deploy/rollout.yaml:" in said(await run(home, "source", "reconcile", NAME), 1)


async def test_history_is_told_by_the_cluster_and_beyond_it_by_git(home: Home) -> None:
    bad = await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    await home.shop.annotate("abort", "not today")
    await home.note(bad, "Aborted")
    told = said(await run(home, "history", NAME))
    assert f"{bad[:7]} shop:v2 aborted 50 % " in told
    await home.shop.phase(Phase.DEGRADED)
    older = {
        "rollout": f"{home.shop.namespace}/{NAME}",
        "attempt": "old",
        "verdict": "RolledBack",
        "reason": "errors",
        "version": "shop:v0",
        "hash": "h",
        "revision": 0,
        "topWeight": 5,
        "at": "2020-01-01T00:00:00+00:00",
    }
    first = (await git(home.repository.bare, "rev-list", "--max-parents=0", "main")).strip()
    note = ("notes", "--ref=refs/notes/rollout", "append", "-m", json.dumps(older), first)
    await git(home.repository.bare, "-c", "user.name=a", "-c", "user.email=a@example.com", *note)
    both = json.loads(
        (await run(home, "history", NAME, "--repository", str(home.repository.bare), "-o", "json")).output
    )
    assert [each["verdict"] for each in both] == ["Aborted", "Promoted", "RolledBack"]
    assert both[-1]["commit"] == first


def config_map(value: str) -> manifests.Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}, "data": {"value": value}}


async def branch(home: Home, name: str, files: dict[str, str | None]) -> None:
    """Push a branch beside main, as for a pull request."""
    await git(home.repository.clone, "checkout", "--quiet", "-B", name)
    for path, content in files.items():
        file = home.repository.clone / path
        await asyncio.to_thread(file.write_text, content) if content is not None else os.unlink(file)
    await git(home.repository.clone, "add", "--all")
    await git(home.repository.clone, "commit", "--quiet", "--message", name)
    await git(home.repository.clone, "push", "--quiet", "origin", name)


@pytest_asyncio.fixture
async def grown(home: Home) -> AsyncIterator[Home]:
    """With a ConfigMap that came from Git."""
    commit = await home.repository.commit("more", {"deploy/it.yaml": text(config_map("1"))})
    await home.applied(commit)
    yield home


@pytest.mark.usefixtures("grown")
async def test_a_branch_is_compared_with_the_cluster_and_changes_nothing(home: Home) -> None:
    files = {
        ROLLOUT: text(manifests.rollout("shop:v2")),
        "deploy/it.yaml": None,
        "deploy/new.yaml": text({**config_map("2"), "metadata": {"name": "new"}}),
    }
    await branch(home, "feature", files)
    generation = (await home.shop.get(ROLLOUTS))["metadata"]["generation"]
    told = await run(home, "diff", NAME, "--revision", "feature")
    assert said(told).endswith("1 changed, 1 created, 1 deleted")
    assert f"/{NAME} (deploy/rollout.yaml:1): a new attempt, which takes its 2 steps" in told.output
    assert "-      - image: shop:v1\n" in told.output
    assert "+      - image: shop:v2\n" in told.output
    assert f"ConfigMap {home.shop.namespace}/new (deploy/new.yaml:1): created" in told.output
    assert f"ConfigMap {home.shop.namespace}/it: deleted, it is not in Git any more" in told.output
    assert (await run(home, "diff", NAME, "--revision", "feature", "--exit-code")).exit_code == 1
    local = await run(home, "diff", NAME, "--revision", "feature", "--repository", str(home.repository.clone))
    assert local.output == told.output
    assert (await home.shop.get(ROLLOUTS))["metadata"]["generation"] == generation
    assert (await home.shop.get(CONFIG_MAPS, "it"))["data"] == {"value": "1"}
    assert said(await run(home, "diff", NAME, "--revision", "main")).endswith(
        "0 changed, 0 created, 0 deleted"
    )


async def test_a_split_under_way_is_no_difference_and_a_refused_version_says_so(home: Home) -> None:
    await home.push("v2", manifests.rollout("shop:v2"))
    await home.shop.paused(50)
    assert said(await run(home, "diff", NAME, "--revision", "main")).endswith(
        "0 changed, 0 created, 0 deleted"
    )
    await home.shop.annotate("abort", "no")
    await home.shop.phase(Phase.DEGRADED)
    await home.push("v1 again", manifests.rollout("shop:v1"))
    await home.shop.phase(Phase.HEALTHY)
    await branch(home, "again", {ROLLOUT: text(manifests.rollout("shop:v2"))})
    assert "refused before (Aborted: " in said(await run(home, "diff", NAME, "--revision", "again"))


async def test_a_branch_that_would_be_refused_is_a_no_with_every_place(home: Home) -> None:
    broken = text(manifests.rollout("shop:v2")).replace("replicas: 2", "replicaz: 2")
    await branch(home, "broken", {ROLLOUT: broken})
    told = said(await run(home, "diff", NAME, "--revision", "broken"), 1)
    assert "deploy/rollout.yaml:6:3: " in told
    assert "InvalidManifest: the revision would be refused (1 problems)" in told
    assert "'nowhere' is no branch and no tag" in said(
        await run(home, "diff", NAME, "--revision", "nowhere"), 1
    )
