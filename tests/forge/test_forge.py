"""Four hosts are told by their published requests, once, and a bad one costs nothing but a retry."""

import json
import logging
from datetime import timedelta

import pytest
from aiohttp import ClientSession, web
from yarl import URL

from rollout.api.errors import Retry, Stalled
from rollout.api.writeback import ForgeKind
from rollout.forge.asking import Proposal, State, Status
from rollout.forge.dialects import default_address, dialect, repository_of
from rollout.forge.door import Access, Forge, ForgeRefused
from tests.forge.forge_servers import COMMIT, HOSTS, TOKEN, Host, refuse

ALL = pytest.mark.parametrize("kind", sorted(HOSTS))
PROPOSAL = Proposal("fix", "main", "Revert v2", "why")


def forge(kind: str, host: Host, token: str = TOKEN, repository: str = "") -> Forge:
    way = dialect(ForgeKind(kind), repository or host.repository)
    return Forge(host.address, way, Access(token))


def status(state: State = State.PENDING, description: str = "step 1/8: 5 %", commit: str = COMMIT) -> Status:
    return Status(commit, "rollout/shop/checkout-of-a-shop-with-a-long-name", state, description)


@ALL
async def test_a_commit_is_told_from_the_first_step_to_the_verdict(kind: str) -> None:
    async with HOSTS[kind]() as host, forge(kind, host) as told:
        said = []
        for each in (
            status(),
            status(description="step 3/8: 25 %"),
            status(State.SUCCESS, "shop:v2 is promoted"),
        ):
            await told.report(each)
            said.append(host.last()[0])
    assert (
        said
        == {
            "bitbucket": ["INPROGRESS", "INPROGRESS", "SUCCESSFUL"],
            "gitea": ["pending", "pending", "success"],
            "github": ["pending", "pending", "success"],
            "gitlab": ["running", "running", "success"],
        }[kind]
    )
    assert host.last()[1:] == ("rollout/shop/checkout-of-a-shop-with-a-long-name", "shop:v2 is promoted")


@ALL
@pytest.mark.parametrize("state", sorted(State))
async def test_every_state_is_taken_and_the_same_again_is_not_sent(kind: str, state: State) -> None:
    async with HOSTS[kind]() as host:
        async with forge(kind, host) as told:
            assert await told.report(status(state))
        async with forge(kind, host) as after_a_restart:
            assert not await after_a_restart.report(status(state))
    assert len(host.statuses) == 1


@ALL
async def test_a_new_attempt_after_a_verdict_is_pending_again(kind: str) -> None:
    async with HOSTS[kind]() as host, forge(kind, host) as told:
        for state in (State.FAILURE, State.PENDING):
            assert await told.report(status(state))
        assert host.last()[0] in {"INPROGRESS", "pending", "running"}


@ALL
async def test_a_pull_request_is_opened_once(kind: str) -> None:
    async with HOSTS[kind]() as host, forge(kind, host) as asked:
        first = await asked.propose(PROPOSAL)
        assert await asked.propose(PROPOSAL) == first
    assert first.startswith(f"https://{kind}.example/shop/env/")
    assert len(host.proposals) == 1


@ALL
async def test_a_wrong_token_is_named_by_its_field_and_never_shown(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with HOSTS[kind]() as host:
        host.weather.append(lambda: refuse(401, "bad credentials: wr0ng-token"))
        async with forge(kind, host, token="wr0ng-token") as told:
            with pytest.raises(ForgeRefused, match="secretRef is not valid") as refused:
                await told.report(status())
    assert "wr0ng-token" not in str(refused.value) + caplog.text
    assert "wr0ng-token" not in repr(Access("wr0ng-token"))


@ALL
async def test_a_bad_moment_is_tried_again(kind: str) -> None:
    async with HOSTS[kind]() as host, forge(kind, host) as told:
        host.weather += [lambda: refuse(502, "bad gateway"), lambda: refuse(500, "oops")]
        assert await told.report(status())


@ALL
async def test_a_host_that_stays_down_is_left_for_later(kind: str) -> None:
    async with HOSTS[kind]() as host, forge(kind, host) as told:
        host.weather += [lambda: refuse(503, "maintenance")] * 3
        with pytest.raises(Retry, match="503"):
            await told.report(status())
        assert await told.report(status())


@pytest.mark.parametrize(
    ("code", "headers", "waits"),
    [
        pytest.param(429, {"Retry-After": "120"}, timedelta(minutes=2), id="429 says how long"),
        pytest.param(429, {}, timedelta(minutes=1), id="429 does not say"),
        pytest.param(403, {"Retry-After": "60"}, timedelta(minutes=1), id="GitHub's secondary limit"),
        pytest.param(
            403,
            {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999"},
            timedelta(hours=1),
            id="GitHub's primary limit, an hour at most",
        ),
    ],
)
async def test_a_host_that_limits_us_is_left_alone_as_long_as_it_says(
    code: int, headers: dict[str, str], waits: timedelta
) -> None:
    async with HOSTS["github"]() as host, forge("github", host) as told:
        host.weather.append(lambda: web.json_response({}, status=code, headers=headers))
        with pytest.raises(Retry) as limited:
            await told.report(status())
    assert limited.value.after == waits
    assert len(host.asked) == 1


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    async with HOSTS["github"]() as other, HOSTS["github"]() as host, forge("github", host) as told:
        host.weather.append(lambda: web.Response(status=302, headers={"Location": other.address}))
        with pytest.raises(ForgeRefused, match="302"):
            await told.report(status())
    assert other.asked == []


@ALL
async def test_a_repository_that_is_not_there_is_refused(kind: str) -> None:
    async with HOSTS[kind]() as host, forge(kind, host, repository="shop/other") as told:
        with pytest.raises(ForgeRefused, match="not there"):
            await told.report(status())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"token": b"a", "password": b"b"}, id="two ways"),
        pytest.param({"token": b"a\nHost: x"}, id="a second header"),
    ],
)
def test_a_secret_that_can_not_be_used_is_refused_without_its_values(data: dict[str, bytes]) -> None:
    with pytest.raises(Stalled, match=r"provider\.secretRef"):
        Access.from_secret(data)


@pytest.mark.parametrize(
    ("kind", "url", "address", "repository"),
    [
        pytest.param(
            "github", "https://github.com/shop/env.git", "https://api.github.com", "shop/env", id="github.com"
        ),
        pytest.param(
            "github",
            "ssh://git@git.example.com/shop/env",
            "https://git.example.com/api/v3",
            "shop/env",
            id="GHES",
        ),
        pytest.param(
            "gitlab", "https://gitlab.com/a/b/env.git", "https://gitlab.com/api/v4", "a/b/env", id="groups"
        ),
        pytest.param(
            "forgejo",
            "https://codeberg.org/shop/env",
            "https://codeberg.org/api/v1",
            "shop/env",
            id="Forgejo",
        ),
        pytest.param(
            "bitbucket",
            "https://bitbucket.org/shop/env.git",
            "https://api.bitbucket.org/2.0",
            "shop/env",
            id="Bitbucket",
        ),
    ],
)
def test_the_api_and_the_repository_follow_from_the_url(
    kind: str, url: str, address: str, repository: str
) -> None:
    assert default_address(ForgeKind(kind), url) == address
    assert repository_of(ForgeKind(kind), url) == repository


REFUSED = {
    "github": ("/repos/shop/env/statuses/" + COMMIT, {"state": "running"}, 422),
    "gitea": ("/repos/shop/env/statuses/" + COMMIT, {"state": "running"}, 422),
    "gitlab": ("/projects/shop%2Fenv/statuses/" + COMMIT, {"state": "failure"}, 400),
    "bitbucket": (
        f"/repositories/shop/env/commit/{COMMIT}/statuses/build",
        {"key": "k", "state": "FAILED"},
        400,
    ),
}


@ALL
async def test_the_servers_themselves_refuse_what_the_hosts_refuse(kind: str) -> None:
    path, body, code = REFUSED[kind]
    async with HOSTS[kind]() as host, ClientSession() as session:
        signed = dialect(ForgeKind(kind), host.repository).authorize("", TOKEN)
        for headers, expected in (({}, 401), (signed, code)):
            url = URL(host.address + path, encoded=True)
            async with session.post(url, data=json.dumps(body), headers=headers) as answer:
                assert answer.status == expected
    assert host.statuses == []
