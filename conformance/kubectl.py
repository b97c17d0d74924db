"""The real kubectl, as people use it."""

import asyncio
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 60.0


class Failed(AssertionError):  # noqa: N818 -- it reads as what it says
    """Kubectl ended with an error; the text is all that it printed."""


def find() -> str:
    """Where kubectl is: beside this Python, else on PATH; empty where it is not."""
    beside = Path(sysconfig.get_path("scripts"), "kubectl")
    return str(beside) if beside.is_file() else shutil.which("kubectl") or ""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Bound to one cluster; at most so many run at once."""

    program: str
    kubeconfig: Path
    cache: Path
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    async def __call__(
        self, *words: str, given: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        """What it prints; `given` is its standard input. Raises Failed."""
        base = (f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.cache}")
        async with self._turns:
            child = await asyncio.create_subprocess_exec(
                *(self.program, *base, *words),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
            )
            try:
                output, _ = await asyncio.wait_for(child.communicate(given.encode()), TIMEOUT_S)
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        if child.returncode:
            raise Failed(f"kubectl {' '.join(words)}: {output.decode(errors='replace').strip()}")
        return output.decode(errors="replace")
