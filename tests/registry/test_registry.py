"""A registry is asked as its specification says, and nobody else hears the password."""

import base64
import json

import pytest
from aiohttp import ClientSession
from registry_server import PASSWORD, USER, RegistryServer, digest

from rollout.api.errors import Stalled
from rollout.git.environment import GitPolicy
from rollout.registry.door import Login, Registry, RegistryRefused
from rollout.registry.names import Name, parse_name, split

LOCAL = GitPolicy(protocols=frozenset({"http", "https"}), local_hosts=True)
TAGS = [f"v1.{minor}.0" for minor in range(8)]
ROBOT = Login(USER, PASSWORD)


def registry(server: RegistryServer, login: Login = ROBOT, repository: str = "team/shop") -> Registry:
    return Registry(Name(server.address, repository), login, LOCAL)


@pytest.mark.parametrize("scheme", ["", "Basic", "Bearer"])
async def test_all_pages_are_read_behind_each_kind_of_login(scheme: str) -> None:
    async with RegistryServer({"team/shop": TAGS}, scheme=scheme) as server, registry(server) as asked:
        assert sorted(await asked.tags()) == TAGS
        assert await asked.digest("v1.2.0") == digest("team/shop", "v1.2.0")
    assert sum("/token" in each for each in server.asked) == (scheme == "Bearer")


async def test_an_image_without_tags_has_none() -> None:
    async with RegistryServer({"team/shop": []}) as server, registry(server) as asked:
        assert await asked.tags() == ()


@pytest.mark.parametrize(
    ("login", "repository", "says"),
    [
        pytest.param(Login(), "team/shop", "gives no token", id="no login"),
        pytest.param(Login(USER, "wr0ng"), "team/shop", "gives no token", id="a wrong password"),
        pytest.param(ROBOT, "team/other", "not there", id="an image that is not there"),
    ],
)
async def test_a_refusal_names_the_remedy_and_no_secret(login: Login, repository: str, says: str) -> None:
    async with RegistryServer({"team/shop": TAGS}) as server, registry(server, login, repository) as asked:
        with pytest.raises(RegistryRefused, match=says) as refused:
            await asked.tags()
    assert "wr0ng" not in str(refused.value) + repr(login)


async def test_pages_on_another_server_are_not_asked_for() -> None:
    async with RegistryServer({"team/shop": TAGS}, elsewhere=True) as server, registry(server) as asked:
        with pytest.raises(RegistryRefused, match="another server"):
            await asked.tags()


async def test_a_registry_on_this_machine_is_refused_in_production() -> None:
    with pytest.raises(RegistryRefused, match="this machine"):
        async with Registry(Name("127.0.0.1:5000", "shop"), Login(), GitPolicy()):
            pass


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("nginx", Name("docker.io", "library/nginx"), id="an official one"),
        pytest.param("team/shop", Name("docker.io", "team/shop"), id="of the hub"),
        pytest.param("ghcr.io/team/shop", Name("ghcr.io", "team/shop"), id="of another registry"),
        pytest.param("localhost/shop", Name("localhost", "shop"), id="of this machine"),
        pytest.param("127.0.0.1:5000/a/b", Name("127.0.0.1:5000", "a/b"), id="with a port"),
    ],
)
def test_names_are_read_as_docker_reads_them(text: str, name: Name) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize("text", ["", "Shop", "a//b", "ghcr.io/a b", "shop:v1", "ghcr.io/../x"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(Stalled, match="names no image"):
        parse_name(text)


def test_a_tag_is_told_from_a_port_and_a_digest() -> None:
    assert split("127.0.0.1:5000/shop:v1@sha256:aa") == ("127.0.0.1:5000/shop", "v1")
    assert split("127.0.0.1:5000/shop") == ("127.0.0.1:5000/shop", "")


def docker_config(host: str) -> bytes:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return json.dumps({"auths": {host: {"auth": auth}}}).encode()


@pytest.mark.parametrize(
    ("data", "host"),
    [
        pytest.param({"username": b"robot", "password": b"pull-s3cret\n"}, "ghcr.io", id="plainly"),
        pytest.param({".dockerconfigjson": docker_config("ghcr.io")}, "ghcr.io", id="to pull by"),
        pytest.param(
            {".dockerconfigjson": docker_config("https://index.docker.io/v1/")}, "docker.io", id="of the hub"
        ),
    ],
)
def test_a_secret_gives_the_login_of_its_host(data: dict[str, bytes], host: str) -> None:
    assert Login.from_secret(data, host) == ROBOT
    with pytest.raises(Stalled, match="it has neither"):
        Login.from_secret({".dockerconfigjson": docker_config("other.example")}, host)


async def test_the_server_itself_refuses_who_has_no_token() -> None:
    async with (
        RegistryServer({"team/shop": TAGS}) as server,
        ClientSession() as session,
        session.get(f"http://{server.address}/v2/team/shop/tags/list") as answer,
    ):
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")
