"""The verdict reaches the host of the repository, and a push is heard at once."""

import base64
import hashlib
import hmac
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import manifests
import pytest
import pytest_asyncio
import yaml
from chronicle import Chronicle
from crew import Crew
from home import ROLLOUT, Home, home
from manifests import JUDGED, NAME, errors
from repository import git_source
from stage import ROLLOUTS, until

from rollout.api.status import Phase, Stage
from rollout.demo.operator_process import SERVICE_ACCOUNT
from rollout.kube.client import Kube
from rollout.kube.login import login
from rollout.manifests import secrets_in
from rollout.operator.receiving import Receiver, receiving
from tests.forge.forge_servers import HOSTS, TOKEN, Host

__all__ = ["home"]  # a fixture
SECRET = "s3cret-of-the-hook"
BRIEF = ({"setWeight": 50}, {"pause": {"duration": "1s"}})


def secret(name: str, **data: str) -> dict[str, Any]:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": coded}


@pytest_asyncio.fixture
async def open_home(home: Home) -> Home:
    """An administrator let the operator read the Secrets of this namespace."""
    await home.shop.sandbox.load(list(yaml.safe_load_all(secrets_in([home.shop.namespace]))))
    await home.shop.apply(secret("git-api", token=TOKEN), secret("hook", token=SECRET))
    return home


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Host]:
    async with HOSTS["github"](anything=True) as host:
        yield host


def writing(home: Home, hub: Host, *modes: str) -> dict[str, Any]:
    provider = {
        "type": "github",
        "address": hub.address,
        "repository": hub.repository,
        "secretRef": {"name": "git-api"},
    }
    return git_source(home.repository.url, writeBack={"modes": list(modes), "provider": provider})


def told(hub: Host, commit: str, kind: str = "rollout") -> list[tuple[str, str]]:
    mine = [each for each in hub.statuses if each["sha"] == commit and each["context"].startswith(kind)]
    return [(each["state"], each["description"]) for each in mine]


async def test_git_02_a_promoted_commit_is_pending_by_its_steps_and_then_a_success(
    open_home: Home, hub: Host
) -> None:
    home = open_home
    await home.shop.apply(writing(home, hub, "commitStatus"))
    steps = ({"setWeight": 50}, {"pause": {}})
    commit = await home.push("v2", manifests.rollout("shop:v2", steps=steps))
    await until("the step to be told", lambda: ("pending", "step 2/2: 50 %") in told(hub, commit))
    await home.shop.annotate("promote")
    await until("the verdict", lambda: ("success", "shop:v2 is promoted") in told(hub, commit))
    states = [state for state, _ in told(hub, commit)]
    assert states == ["pending"] * (len(states) - 1) + ["success"]
    assert len(told(hub, commit)) == len(set(told(hub, commit))), "each once"
    assert told(hub, commit, "gitsource") == [("success", "applied")]


async def test_git_03_bad_metrics_give_weight_zero_a_failure_on_the_commit_and_leave_git_as_it_is(
    open_home: Home, hub: Host
) -> None:
    home = open_home
    await home.shop.apply(writing(home, hub, "commitStatus"), errors(home.shop.prometheus.url))
    steps = ({"setWeight": 50}, {"pause": {"duration": "10m"}})
    bad = await home.push("v2", manifests.rollout("shop:bad", steps=steps, canary=JUDGED))
    status = await home.shop.phase(Phase.DEGRADED)
    assert status.stage is Stage.REFUSED
    assert await home.shop.weight() == 0

    def failed() -> bool:
        return any(state == "failure" and "rolled back" in said for state, said in told(hub, bad))

    await until("the failure to be told", failed)
    assert await home.repository.log("%H") == bad


async def test_a_refused_revision_is_an_error_on_its_commit(open_home: Home, hub: Host) -> None:
    home = open_home
    await home.shop.apply(writing(home, hub, "commitStatus"))
    commit = await home.repository.commit("a slip", {ROLLOUT: "a: [b"})
    await home.refused(commit)
    await until("the error to be told", lambda: told(hub, commit, "gitsource"))
    ((state, said),) = told(hub, commit, "gitsource")
    assert state == "error"
    assert said.startswith("MalformedManifest: deploy/rollout.yaml:")


async def test_a_wrong_token_delays_nothing_and_is_told_by_one_event(open_home: Home, hub: Host) -> None:
    home = open_home
    await home.shop.apply(secret("git-api", token="wr0ng"), writing(home, hub, "commitStatus"))
    await home.push("v2", manifests.rollout("shop:v2", steps=BRIEF))
    await home.shop.phase(Phase.HEALTHY)
    assert "is not valid" in await home.shop.told("WriteBackRefused")
    assert "wr0ng" not in str(await home.shop.events())
    assert hub.statuses == []


async def test_a_refused_version_is_proposed_to_be_put_back_once(open_home: Home, hub: Host) -> None:
    home = open_home
    await home.shop.apply(writing(home, hub, "notes", "revertBranch"))
    bad = await home.push("v2", manifests.rollout("shop:v2"))
    branch = f"rollout/revert-{home.shop.namespace}-{NAME}-{bad[:12]}"
    hub.branches.add(branch)
    await home.shop.paused(50)
    await home.shop.annotate("abort", "not today")
    said = await home.shop.told("WriteBackPushed")
    assert f"https://github.example/{hub.repository}/pull/1" in said
    (proposal,) = hub.proposals
    assert (proposal["head"], proposal["base"]) == (branch, "main")
    assert proposal["title"] == f'Revert "v2" for {home.shop.namespace}/{NAME}'
    assert "not today" in proposal["body"]
    assert await home.repository.log("%H") == bad, "the branch itself waits for people"
    await home.shop.stage(Stage.REFUSED)

    await home.repository.merge(branch)
    await home.shop.phase(Phase.HEALTHY)
    assert len(hub.proposals) == 1


def signed(body: bytes, key: str = SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}


async def post(url: str, body: bytes, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers) as answer,
    ):
        await answer.read()
        return answer.status


async def test_git_01_a_webhook_that_is_signed_makes_it_look_at_once(open_home: Home, operator: Crew) -> None:
    home, url = open_home, f"{operator.webhooks}/{open_home.shop.namespace}/{NAME}"
    rare = git_source(home.repository.url, interval="1h", webhook={"secretRef": {"name": "hook"}})
    await home.shop.apply(rare)
    first = await home.repository.commit("beside", {"README.md": "a shop"})
    # The change of the source itself made it look; from here on nothing but a webhook does.
    body = b'{"ref": "refs/heads/main"}'
    assert await post(url, body, **signed(body)) == 202
    await home.applied(first)
    await home.push("v2", manifests.rollout("shop:v2"))
    assert await post(url, body) == 403
    assert await post(url, body, **signed(body, "another")) == 403
    assert await post(f"{url}-other", body, **signed(body)) == 403
    large = b"x" * ((1 << 20) + 1)
    assert await post(url, large, **signed(large)) == 413
    assert (await home.shop.images()).keys() == {"shop:v1"}
    async with Chronicle.of(home.shop) as chronicle:
        assert await post(url, body, **signed(body)) == 202
        await home.shop.paused(50)
    assert chronicle.broken() == []


async def test_a_replica_that_does_not_work_on_the_source_leaves_the_webhook_to_the_one_that_does(
    open_home: Home,
) -> None:
    home, space = open_home, open_home.shop.namespace
    await home.shop.apply(
        git_source(home.repository.url, interval="1h", webhook={"secretRef": {"name": "hook"}})
    )
    await home.applied(await home.repository.log("%H"))
    configuration = await login(str(home.shop.sandbox.kubeconfig_for(*SERVICE_ACCOUNT)))
    async with Kube(configuration) as kube:
        standby = Receiver(kube, lambda _: False, lambda key: pytest.fail(f"{key} is not ours to wake"))
        async with receiving(standby, "127.0.0.1:0") as port:
            commit = await home.repository.commit("beside", {"README.md": "a shop"})
            url = f"http://127.0.0.1:{port}/hooks/{space}/{NAME}"
            assert await post(url, b"{}", **{"X-Gitlab-Token": "wr0ng"}) == 403
            assert await post(url, b"{}", **{"X-Gitlab-Token": SECRET}) == 202
    await home.applied(commit)


async def test_a_source_without_a_secret_hears_no_webhook(open_home: Home, operator: Crew) -> None:
    url = f"{operator.webhooks}/{open_home.shop.namespace}/{NAME}"
    assert await post(url, b"{}", **{"X-Gitlab-Token": ""}) == 403
    assert await post(url, b"{}", **signed(b"{}", "")) == 403
    before = (await open_home.shop.get(ROLLOUTS))["metadata"]["generation"]
    assert before == 1
