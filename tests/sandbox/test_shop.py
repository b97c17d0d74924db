"""The demo application and its load generator."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from rollout.sandbox import processes
from rollout.sandbox.processes import Child, tied
from rollout.sandbox.shop import loadgen
from rollout.sandbox.shop.command import shop_command
from rollout.sandbox.shop.images import BadSettingError, Behaviour, ImageUnknownError, behaviour
from rollout.sandbox.shop.load import Load

TAGS = [
    pytest.param("shop:v1", {}, Behaviour("v1"), id="a plain version fails one request in a hundred"),
    pytest.param("shop:v2-bad-5pct", {}, Behaviour("v2-bad-5pct", 0.05), id="a tag may name its error rate"),
    pytest.param("shop:v3-errors-0.5pct", {}, Behaviour("v3-errors-0.5pct", 0.005), id="also a fraction"),
    pytest.param("shop:v4-slow-50ms", {}, Behaviour("v4-slow-50ms", 0.01, 0.05), id="or its delay"),
    pytest.param("shop:v5-crash", {}, Behaviour("v5-crash", 0.01, crashes=True), id="or that it crashes"),
    pytest.param(
        "shop:v6-never-ready", {}, Behaviour("v6-never-ready", 0.01, ready=False), id="or is never ready"
    ),
    pytest.param("example.com/a/shop:v1", {}, Behaviour("v1"), id="the registry does not matter"),
    pytest.param("shop:v1", {"ERROR_RATE": "6%"}, Behaviour("v1", 0.06), id="ERROR_RATE may be a percentage"),
    pytest.param(
        "shop:v1-9pct", {"ERROR_RATE": "0"}, Behaviour("v1-9pct", 0.0), id="ERROR_RATE wins over the tag"
    ),
    pytest.param(
        "shop:v1", {"BASE_ERROR_RATE": "0.5%"}, Behaviour("v1", 0.005), id="BASE_ERROR_RATE is a default"
    ),
    pytest.param(
        "shop:v1-9pct", {"BASE_ERROR_RATE": "0"}, Behaviour("v1-9pct", 0.09), id="that a tag overrules"
    ),
    pytest.param("shop:v1", {"LATENCY_MS": "20"}, Behaviour("v1", 0.01, 0.02), id="LATENCY_MS delays"),
]


@pytest.mark.parametrize(("image", "env", "does"), TAGS)
def test_an_image_tells_its_behaviour(image: str, env: dict[str, str], does: Behaviour) -> None:
    assert behaviour(image, env) == does


@pytest.mark.parametrize("image", ["shop:missing", "shop", "shop:latest", "nginx:1", "shopping:v1", ":v1"])
def test_an_image_that_is_not_the_shops_cannot_be_pulled(image: str) -> None:
    with pytest.raises(ImageUnknownError, match="failed to pull"):
        behaviour(image)


@pytest.mark.parametrize(
    ("env", "word"), [({"ERROR_RATE": "many"}, "ERROR_RATE"), ({"ERROR_RATE": "7"}, "between 0 and 1")]
)
def test_a_bad_setting_is_named(env: dict[str, str], word: str) -> None:
    with pytest.raises(BadSettingError, match=word):
        behaviour("shop:v1", env)


@asynccontextmanager
async def shop(does: Behaviour, pod_hash: str = "abc") -> AsyncIterator[tuple[Child, str]]:
    host = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(1, 250)}"
    child = await processes.start("shop", shop_command(does, f"{host}:8080", "pod-1", pod_hash))
    url = f"http://{host}:8080"
    try:
        await answering(url)
        yield child, url
    finally:
        await child.stop(3)


async def answering(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url + "/healthz"):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)


async def fetch(url: str) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text(), dict(answer.headers)


async def test_each_answer_says_its_version_and_hash_and_only_traffic_is_counted() -> None:
    async with shop(Behaviour("v7", error_rate=1.0)) as (_, url):
        status, _, headers = await fetch(url + "/anything?x=1")
        assert (status, headers["X-Version"], headers["X-Pod-Hash"]) == (500, "v7", "abc")
        assert (await fetch(url + "/healthz"))[0] == 200
        exposition = (await fetch(url + "/metrics"))[1]
    assert 'http_requests_total{code="500",method="GET"} 1' in exposition
    assert 'http_requests_total{code="200",method="GET"} 0' in exposition
    assert 'http_request_duration_seconds_bucket{le="0.3"} 1' in exposition
    assert "http_request_duration_seconds_count 1" in exposition
    assert "process_start_time_seconds" in exposition


async def test_a_version_that_is_never_ready_still_runs() -> None:
    async with shop(Behaviour("v6", ready=False)) as (child, url):
        assert (await fetch(url + "/healthz"))[0] == 503
        assert child.running


async def test_a_crashing_version_ends_with_code_1() -> None:
    child = await processes.start("shop", shop_command(Behaviour("v5", crashes=True), "127.9.9.9:8080"))
    assert await child.wait() == 1


async def test_pipelined_requests_with_bodies_are_answered_in_order() -> None:
    async with shop(Behaviour("v1", error_rate=0.0, latency_s=0.01)) as (_, url):
        reader, writer = await asyncio.open_connection(url[7:].split(":")[0], 8080)
        post = b"POST /a HTTP/1.1\r\nContent-Length: 26\r\n\r\nGET /not HTTP/1.1 \r\n\r\n1234"
        writer.write(post + b"GET /healthz HTTP/1.1\r\n\r\n" + b"GET /b HTTP/1.1\r\n\r\n")
        text = ""
        while text.count("\r\n\r\n") < 3 or not text.endswith("\n"):
            text += (await reader.read(4096)).decode()
        writer.close()
        exposition = (await fetch(url + "/metrics"))[1]
    assert [line for line in text.splitlines() if line in ("ok", "shop v1")] == ["shop v1", "ok", "shop v1"]
    assert 'http_requests_total{code="200",method="POST"} 1' in exposition


async def test_what_cannot_be_read_is_refused_and_closed() -> None:
    async with shop(Behaviour("v1")) as (_, url):
        reader, writer = await asyncio.open_connection(url[7:].split(":")[0], 8080)
        writer.write(b"nonsense\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400")


async def test_sigterm_lets_a_slow_request_finish() -> None:
    async with shop(Behaviour("v1", error_rate=0.0, latency_s=0.6)) as (child, url):
        asking = asyncio.create_task(fetch(url + "/slow"))
        exposition = ""
        await asyncio.sleep(0.1)  # the request is under way: it takes 0.6 s
        child.signal(signal.SIGTERM)
        exposition = (await asking)[1]
        assert exposition == "shop v1\n"
        assert await child.wait() == 0


async def test_load_is_counted_by_version_and_status() -> None:
    async with shop(Behaviour("v1", error_rate=0.5)) as (_, url), Load(url + "/", rate=400) as load:
        while load.report.requests() < 200:
            await load.next_report()
        done = await load.stop()
    assert done.final
    assert done.sent == done.requests("v1") == sum(done.counts["v1"].values())
    assert 0 < done.failed() < done.sent
    assert done.hashes == {"v1": "abc"}
    assert done.first["v1"] < done.last["v1"] <= done.at


async def test_load_on_a_dead_address_is_counted_as_failed_without_a_version() -> None:
    async with Load("http://127.0.0.1:1/", rate=100) as load:
        while load.report.requests() < 20:
            await load.next_report()
        done = await load.stop()
    assert done.counts.keys() == {"-"}
    assert done.failed() == done.sent


async def test_load_keeps_its_schedule_when_answers_are_slow() -> None:
    async with shop(Behaviour("v1", error_rate=0.0, latency_s=0.2)) as (_, url), Load(url, rate=200) as load:
        while load.report.sent < 300:
            await load.next_report()
        done = await load.stop()
    assert done.requests("v1") == done.sent
    assert done.counts["v1"].keys() == {"200"}


async def test_the_rate_can_be_changed_under_way() -> None:
    async with shop(Behaviour("v1")) as (_, url), Load(url, rate=50) as load:
        await load.set_rate(700)
        while load.report.rate != 700:
            await load.next_report()
        before = load.report
        after = await load.next_report()
    assert after.sent - before.sent > 100


@pytest.mark.parametrize("host", ["10.0.0.1", "example.com", "169.254.169.254", "", "127.0.0.1.example.com"])
def test_only_loopback_may_be_loaded(host: str) -> None:
    with pytest.raises(loadgen.NotLoopbackError):
        loadgen.loopback(host)


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (5001, 1), (1, 0), (1, 3601)])
def test_rate_and_time_are_bounded(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="at most"):
        loadgen.Generator("http://127.0.0.1/", "", rate, seconds)


async def test_a_child_dies_with_a_parent_that_was_killed() -> None:
    script = (
        "import asyncio\n"
        "from rollout.sandbox import processes\n"
        "async def main():\n"
        "    child = await processes.start('sleep', ['sleep', '600'])\n"
        "    print(child.pid, flush=True)\n"
        "    await child.wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    await parent.wait()
    for _ in range(250):
        if alive(child):
            await asyncio.sleep(0.02)
    assert not alive(child)


def test_a_child_does_nothing_whose_parent_died_before_the_kernel_was_told() -> None:
    """Somebody else is its parent by then."""
    stepmother = ["sh", "-c", '"$@"; echo $?', "sh"]
    done = subprocess.run(
        [*stepmother, *tied(["echo", "served"])], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
