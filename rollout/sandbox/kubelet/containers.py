"""One container: pulled, started, probed, restarted with back-off."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rollout.sandbox import clock, processes
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.kubelet import probes, runtime
from rollout.sandbox.kubelet.status import Running, Terminated, View, Waiting
from rollout.sandbox.shop.images import BadSettingError, ImageUnknownError

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 30.0
STEADY_S = 10.0
"""A container that ran so long begins its back-off anew."""


def now() -> str:
    """The time as the API writes it."""
    return clock.stamp()


class Container:
    """Keeps one container going; `view` is what its pod's status says of it."""

    def __init__(self, pod: Object, spec: Object, ip: str, log: Path, changed: Callable[[], None]) -> None:
        self.view = View(spec["name"], spec.get("image", ""))
        self._pod = pod
        self._spec = spec
        self._ip = ip
        self._log = log
        self._changed = changed
        self._child: processes.Child | None = None
        self._stopping = False
        self._policy = pod["spec"].get("restartPolicy", "Always")

    async def keep(self) -> None:
        """Run the container as its pod's restart policy says."""
        backoff = FIRST_BACKOFF_S
        while True:
            began = time.monotonic()
            try:
                command = runtime.command(self._pod, self._spec, self._ip)
            except ImageUnknownError as unknown:
                await self._wait("ErrImagePull", str(unknown), FIRST_BACKOFF_S)
                await self._wait("ImagePullBackOff", f'Back-off pulling image "{self.view.image}"', backoff)
            except BadSettingError as bad:
                await self._wait("CreateContainerConfigError", str(bad), backoff)
            else:
                code = await self._once(command)
                if self._stopping or self._policy == "Never" or (self._policy == "OnFailure" and code == 0):
                    return
                backoff = FIRST_BACKOFF_S if time.monotonic() - began > STEADY_S else backoff
                await self._wait(
                    "CrashLoopBackOff", f"back-off {backoff:g}s restarting failed container", backoff
                )
            backoff = min(2 * backoff, LAST_BACKOFF_S)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after the grace."""
        self._stopping = True
        if self._child is not None:
            await self._child.stop(grace_s)

    def _set(self, view: View) -> None:
        self.view = view
        self._changed()

    async def _wait(self, reason: str, message: str, seconds: float) -> None:
        self._set(replace(self.view, state=Waiting(reason, message), ready=False))
        await asyncio.sleep(seconds)

    async def _once(self, command: list[str]) -> int:
        """Run the process to its end; its exit code as a shell gives it."""
        started = now()
        restarts = self.view.restarts + (self.view.last is not None)
        self._child = await processes.start(self.view.name, command, log=self._log)
        self._set(replace(self.view, state=Running(started), restarts=restarts, ready=False))
        probing = asyncio.create_task(self._probe())
        try:
            code = await self._child.wait()
        finally:
            probing.cancel()
        code = code if code >= 0 else 128 - code
        ended = Terminated(code, started, now())
        self._set(replace(self.view, state=ended, last=ended, ready=False))
        return code

    async def _probe(self) -> None:
        """Move readiness as the probe says; without a probe, what runs is ready."""
        probe = probes.readiness(self._spec)
        if probe is None:
            self._set(replace(self.view, ready=True))
            return
        await asyncio.sleep(probe.delay_s)
        run = 0  # successes in a row if above 0, failures in a row if below
        while True:
            good = await probes.check(probe, self._ip)
            run = max(run, 0) + 1 if good else min(run, 0) - 1
            ready = self.view.ready
            if (good and run >= probe.successes) or (not good and -run >= probe.failures):
                ready = good
            if ready != self.view.ready:
                self._set(replace(self.view, ready=ready))
            await asyncio.sleep(probe.period_s if self.view.ready else min(probe.period_s, probes.EAGER_S))
