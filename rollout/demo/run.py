"""The demo from beginning to end: stage, story, report."""

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from rollout.demo import report
from rollout.demo.ledger import Record
from rollout.demo.player import Player, played
from rollout.demo.scrapes import Scrapes
from rollout.demo.stage import Stage, staged
from rollout.demo.story import STORY, Act, put_back
from rollout.demo.view import Lines, Screen, View
from rollout.demo.witness import Witness
from rollout.kube.client import Kube
from rollout.kube.login import login

T = TypeVar("T")
LOG_WIDTH = 1000
"""Lines of a log are not broken."""
LOG_TAIL = 4000
"""Characters of the operator's log that are shown where the story failed."""
NOTES_S = 10.0
"""How long the operator may take to write the last verdict back to Git."""


def run(*, fast: bool, headless: bool, write_json: Path | None, reverting: bool = False) -> bool:
    """Play the story; whether every act ended as told."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    story = tuple(put_back()) if reverting else STORY
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rollout-demo-") as home:
        if headless or not console.is_terminal:
            records, notes = _stoppable(
                told(Path(home), Lines(console), fast=fast, story=story, reverting=reverting)
            )
        else:
            screen = Screen(console)
            with screen.open():
                records, notes = _stoppable(
                    told(Path(home), screen, fast=fast, story=story, reverting=reverting)
                )
    if write_json is not None:
        seconds = time.monotonic() - began
        write_json.write_text(json.dumps(report.to_json(records, notes, seconds), indent=2) + "\n")
    return not report.failures(records, notes)


def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    """Run it; SIGTERM takes everything down as Ctrl-C does."""

    async def watched() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def told(
    home: Path, view: View, *, fast: bool, story: Sequence[Act] = STORY, reverting: bool = False
) -> tuple[list[Record], dict[str, str]]:
    """Set the stage in `home`, play, and report; the records and the notes by commit."""
    view.say("starting the sandbox: API server, kubelet, Traefik, Prometheus")
    async with staged(home, reverting=reverting) as stage:
        configuration = await login(str(stage.sandbox.kubeconfig))
        async with Kube(configuration) as kube:
            witness = Witness(kube, stage.load, view.say, view.look)
            watching = asyncio.create_task(witness.watch())
            try:
                scrapes = Scrapes(stage.sandbox.prometheus_url)
                player = Player(
                    stage.repository, witness, view, stage.kubectl, scrapes, stage.let_users_in, fast=fast
                )
                records = await played(player, story, view)
                notes = await noted(stage, records)
                if report.failures(records, notes):
                    view.say(f"the end of the operator's log:\n{stage.operator.tail(LOG_TAIL)}", "dim")
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
    view.finish(report.report(records, notes))
    return records, notes


async def noted(stage: Stage, records: Sequence[Record]) -> dict[str, str]:
    """The note of each commit, as soon as every verdict is among them, or when time is up."""
    until = time.monotonic() + NOTES_S
    while True:
        notes = {each.commit: await stage.repository.note(each.commit) for each in records if each.commit}
        if not report.unwritten(records, notes) or time.monotonic() > until:
            return notes
        await asyncio.sleep(0.3)
