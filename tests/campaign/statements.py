"""Which statements of an operator's work on Git run, and a hand that stops it at one of them.

A statement is `git/mirror.py:210`, below `rollout/`; a start of a git process is `git push`. Who is killed
does nothing afterwards, its `finally` neither: what it still does to its disk as its frames unwind, it does
to a disk that nobody looks at any more.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import rollout

from .faults import Fault

ROOMS = ("git/", "gitops/", "forge/")
WORKER: ContextVar[Any] = ContextVar("WORKER", default=None)
"""The wire of the operator that works; None for everybody else."""
_HOME = f"{Path(rollout.__file__).parent}/"


class Killed(asyncio.CancelledError):
    """The operator is no more."""


class Statements:
    """Counts what runs; `strike` is called just before what a fault names."""

    def __init__(self, strike: Callable[[Fault, Any], None]) -> None:
        self.counted: Counter[str] = Counter()
        """How often each ran; every one only where they are `watched`."""
        self._strike = strike
        self._left: list[Fault] = []
        self._files: set[str] = set()
        self._before: Any = None

    def watch(self, faults: Sequence[Fault], *, every: bool = False) -> None:
        """From now on."""
        self.counted.clear()
        self._left = list(faults)
        self._files = {each.site.partition(":")[0] for each in faults}
        if every:
            self._files = {"*"}
        self._before = sys.gettrace()
        self.go_on()

    def go_on(self) -> None:
        """Again, after somebody was killed: a tracer that raises is put away."""
        if self._files:
            sys.settrace(self._enter)

    def end(self) -> None:
        """No longer."""
        if self._files:
            sys.settrace(self._before)
        self._files, self._left = set(), []

    def reached(self, site: str) -> None:
        """Somebody is about to do it."""
        worker = WORKER.get()
        if worker is None:
            return
        self.counted[site] += 1
        for fault in self._left:
            if fault.site == site and fault.nth <= self.counted[site]:
                self._left.remove(fault)
                self._strike(fault, worker)
                return

    def _enter(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        file = _room(frame.f_code.co_filename)
        return self._line if file and (file in self._files or "*" in self._files) else None

    def _line(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            self.reached(f"{_room(frame.f_code.co_filename)}:{frame.f_lineno}")
        return self._line


@cache
def _room(path: str) -> str:
    """`git/mirror.py`; '' for what is in none of the rooms."""
    file = path.removeprefix(_HOME)
    return file if path.startswith(_HOME) and file.startswith(ROOMS) else ""
