"""What git is given, and that nothing of it stays: hanging servers, secrets, the environment."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from git_servers import LOCAL, Listener, Upstream

from rollout.api.errors import Retry, Stalled
from rollout.git.credential import Credential
from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirror, Mirrors
from rollout.git.repository import Repository

TOKEN = "s3cr3t-t0ken"


def processes(directory: Path) -> dict[int, tuple[bytes, bytes]]:
    """Command line and environment of the living processes that work in, or were told of, a directory."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            zombie = b"\nState:\tZ" in (entry / "status").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in command + environment and not zombie:
            found[int(entry.name)] = (command, environment)
    found.pop(os.getpid(), None)
    return found


def directory_of(mirror: Mirror) -> Path:
    return mirror._clone.repository.directory


async def until_git_asks(mirror: Mirror, server: Listener) -> dict[int, tuple[bytes, bytes]]:
    """The processes of a mirror once a helper of git has connected to a server."""
    assert await asyncio.to_thread(server.accepted.wait, 10)
    # Nobody tells us when another process has started.
    while not any(b"remote-http" in command for command, _ in processes(directory_of(mirror)).values()):
        await asyncio.sleep(0.01)
    return processes(directory_of(mirror))


async def until_gone(mirror: Mirror) -> None:
    """No process of a mirror is left; one that was killed may take a moment to die."""
    async with asyncio.timeout(10):
        while processes(directory_of(mirror)):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("scheme", ["git", "http"])
async def test_git_28_a_silent_server_is_given_up_at_the_timeout_and_no_process_stays(
    hasty_mirrors: Mirrors, silent_server: Listener, scheme: str
) -> None:
    mirror = hasty_mirrors.of(f"{scheme}://127.0.0.1:{silent_server.port}/web.git", "shop/git")
    began = time.monotonic()
    with pytest.raises(Retry, match="did not answer within 2 s"):
        await mirror.poll()
    assert time.monotonic() - began < 15  # against hanging for ever, not a matter of speed
    await until_gone(mirror)
    assert list(directory_of(mirror).glob("private-*")) == []


async def test_git_28_who_shares_a_mirror_has_a_timeout_of_his_own_and_no_process_stays(
    mirrors: Mirrors, silent_server: Listener
) -> None:
    shared = mirrors.of(f"http://127.0.0.1:{silent_server.port}/web.git", "shop/git")
    hasty, patient = shared.within(timedelta(seconds=1)), shared.within(timedelta(seconds=3))
    with pytest.raises(Retry, match="did not answer within 1 s"):
        await hasty.poll()
    await until_gone(shared)
    with pytest.raises(Retry, match="did not answer within 3 s"):
        await patient.poll()
    await until_gone(shared)


async def test_git_28_others_keep_polling_while_one_server_hangs(
    mirrors: Mirrors, silent_server: Listener, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    hanging = asyncio.create_task(
        mirrors.of(f"git://127.0.0.1:{silent_server.port}/x.git", "shop/git").poll()
    )
    assert await asyncio.to_thread(silent_server.accepted.wait, 10)
    assert (await mirrors.of(upstream.url, "shop/git").poll()).branch == "main"
    assert not hanging.done()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_a_cancelled_poll_ends_its_git_and_the_mirror_stays_usable(
    mirrors: Mirrors, silent_server: Listener
) -> None:
    mirror = mirrors.of(f"http://127.0.0.1:{silent_server.port}/web.git", "shop/git")
    poll = asyncio.create_task(mirror.poll())
    assert await until_git_asks(mirror, silent_server)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):  # half of what git itself is given
            await poll
    await until_gone(mirror)
    silent_server.close()
    with pytest.raises(Retry, match=r"Failed to connect|Connection refused"):
        await mirror.poll()


async def test_a_poll_that_waits_for_a_thread_can_be_cancelled_while_all_threads_hang(
    tmp_path: Path, upstream: Upstream, silent_server: Listener
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirrors = Mirrors(tmp_path / "m", GitPolicy(protocols=LOCAL, local_hosts=True), threads=1)
    hanging = asyncio.create_task(
        mirrors.of(f"git://127.0.0.1:{silent_server.port}/x.git", "shop/git").poll()
    )
    assert await asyncio.to_thread(silent_server.accepted.wait, 10)
    mirror = mirrors.of(upstream.url, "shop/git")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await mirror.poll()
    assert not hanging.done()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert (await mirror.poll()).branch == "main"
    await mirrors.close()


async def test_closing_ends_every_git(mirrors: Mirrors, silent_server: Listener) -> None:
    mirror = mirrors.of(f"http://127.0.0.1:{silent_server.port}/web.git", "shop/git")
    poll = asyncio.create_task(mirror.poll())
    assert await until_git_asks(mirror, silent_server)
    await mirrors.close()
    with pytest.raises(Retry):
        await poll
    await until_gone(mirror)
    with pytest.raises(Retry, match="closed"):
        await mirror.poll()


def test_a_git_that_is_killed_has_answered_nothing_and_leaves_no_lock(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "mirror", GitPolicy())
    repository.run("version")
    locked = tmp_path / "mirror" / "repository.git" / "packed-refs.lock"
    kills_itself = f"!touch {locked}; kill -9 $PPID"
    with pytest.raises(Retry, match="was killed"):
        repository.run("-c", f"alias.die={kills_itself}", "die")
    assert not locked.exists()


async def test_the_token_is_in_no_argument_environment_or_configuration(
    mirrors: Mirrors, silent_server: Listener
) -> None:
    credential = Credential.from_secret({"bearerToken": TOKEN.encode()})
    mirror = mirrors.of(f"http://127.0.0.1:{silent_server.port}/web.git", "shop/git", credential)
    poll = asyncio.create_task(mirror.poll())
    running = await until_git_asks(mirror, silent_server)
    assert not any(TOKEN.encode() in command + environment for command, environment in running.values())
    holding = [
        path
        for path in directory_of(mirror).rglob("*")
        if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]
    assert [(path.name, oct(path.stat().st_mode & 0o777)) for path in holding] == [("gitconfig", "0o600")]
    assert oct(directory_of(mirror).stat().st_mode & 0o777) == "0o700"
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    assert not any(
        TOKEN.encode() in path.read_bytes() for path in directory_of(mirror).rglob("*") if path.is_file()
    )


async def test_git_gets_nothing_of_our_environment(
    mirrors: Mirrors, silent_server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", TOKEN)
    monkeypatch.setenv("GIT_SSH_COMMAND", "evil")
    monkeypatch.setenv("HTTPS_PROXY", "http://evil.example.com")
    mirror = mirrors.of(f"http://127.0.0.1:{silent_server.port}/web.git", "shop/git")
    poll = asyncio.create_task(mirror.poll())
    running = await until_git_asks(mirror, silent_server)
    environments = b"\0".join(
        environment for command, environment in running.values() if b"remote-http" in command
    )
    names = {variable.partition(b"=")[0].decode() for variable in environments.split(b"\0") if variable}
    assert names <= {
        *("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_TERMINAL_PROMPT", "GIT_OPTIONAL_LOCKS", "GIT_DIR"),
        *("GIT_LITERAL_PATHSPECS", "GIT_ALLOW_PROTOCOL", "GIT_EXEC_PATH", "HOME", "LC_ALL", "PATH"),
        *("GIT_PREFIX", "GIT_IMPLICIT_WORK_TREE"),
    }
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll


async def test_hooks_and_settings_of_the_user_have_no_say(
    mirrors: Mirrors, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text(f'[url "file:///nowhere/"]\n\tinsteadOf = {upstream.url}\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    upstream.commit({"a.yaml": "a: 1\n"})
    assert (await mirrors.of(upstream.url, "shop/git").poll()).branch == "main"


async def test_no_hook_runs_in_the_mirror(mirrors: Mirrors, upstream: Upstream, tmp_path: Path) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    await mirror.poll()
    hook = directory_of(mirror) / "repository.git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)
    upstream.commit({"a.yaml": "a: 2\n"})
    await mirror.poll()
    assert not (tmp_path / "ran").exists()


async def test_a_pack_larger_than_allowed_is_cut_off_and_leaves_nothing(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.commit({"a.bin": os.urandom(3 << 20)})
    mirrors = Mirrors(tmp_path / "m", GitPolicy(protocols=LOCAL, fetch_bytes=1 << 20))
    mirror = mirrors.of(upstream.url, "shop/git")
    with pytest.raises(Stalled) as refusal:
        await mirror.poll()
    assert refusal.value.reason == "RepositoryTooLarge"
    assert sum(path.stat().st_size for path in directory_of(mirror).rglob("*") if path.is_file()) < 1 << 20
    await mirrors.close()


async def test_polling_a_hundred_times_leaves_no_descriptor_open(
    mirrors: Mirrors, upstream: Upstream
) -> None:
    upstream.commit({"a.yaml": "a: 1\n"})
    mirror = mirrors.of(upstream.url, "shop/git")
    revision = await mirror.poll()

    async def round_trip() -> int:
        await mirror.poll()
        await mirror.read(revision)
        return len(os.listdir("/proc/self/fd"))

    # Clusters that other tests of this process use open and close some of their own meanwhile, a few; one
    # that each round left open would be 90 more.
    counts = [await round_trip() for _ in range(100)]
    assert min(counts[-10:]) < max(counts[:10]) + 45
