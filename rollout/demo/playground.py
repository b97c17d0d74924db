"""`rollout sandbox`: the embedded cluster for one's own hands, with operator and users where asked for."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from rollout.demo import operator_process
from rollout.demo.repository import Repository
from rollout.demo.stage import HOST, LONGEST_S
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.install import find_kubectl
from rollout.sandbox.shop.load import Load

ENVIRONMENT = "env.sh"


async def play(home: Path, *, operator: bool, rate: float, say: Callable[[str], None]) -> None:
    """Run the sandbox in `home` until SIGINT or SIGTERM; `home`/env.sh has what is needed to use it."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        folder = home / "cluster"
        folder.mkdir(parents=True, exist_ok=True)
        sandbox = await stack.enter_async_context(Sandbox(folder=folder))
        repository = Repository(home)
        await repository.serve()
        if operator:
            await _operate(sandbox, home, stack)
        if rate:
            await stack.enter_async_context(Load(sandbox.proxy_url, host=HOST, rate=rate, seconds=LONGEST_S))
        named = {
            "KUBECONFIG": str(sandbox.kubeconfig),
            "PROMETHEUS": sandbox.prometheus_url,
            "PROXY": sandbox.proxy_url,
            "REPOSITORY": repository.url,
        }
        (home / ENVIRONMENT).write_text(exports(named, find_kubectl().parent))
        stack.callback((home / ENVIRONMENT).unlink, missing_ok=True)
        say("".join(f"{key}={value}\n" for key, value in named.items()))
        say(f"In another terminal: . {home / ENVIRONMENT}\nCtrl-C ends it.\n")
        await stop.wait()


def exports(named: Mapping[str, str], programs: Path) -> str:
    """Lines for a shell to source."""
    lines = [f"export {key}='{value}'" for key, value in named.items()]
    return "\n".join([*lines, f'export PATH="{programs}:$PATH"', ""])


async def _operate(sandbox: Sandbox, home: Path, stack: AsyncExitStack) -> None:
    """Give the operator its rights and start it; it waits for the CRDs, which are the user's to apply."""
    await sandbox.load(operator_process.rights())
    child = await operator_process.start(sandbox, home)
    stack.push_async_callback(child.stop, 10.0)
