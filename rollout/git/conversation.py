"""A talk with one git process: a line asked, an answer read, with a time limit for all of it."""

import os
import selectors
import time
from subprocess import Popen

from rollout.api.errors import Retry

_CHUNK = 1 << 16


class Hangup(Exception):  # noqa: N818 -- named by what happened
    """Git ended, or said something that is no answer."""


class Conversation:
    """Whoever opened the process ends it; nothing is left in a buffer but of what was asked."""

    def __init__(self, child: "Popen[bytes]", seconds: float) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._stdin, self._stdout = child.stdin, child.stdout
        self._until = time.monotonic() + seconds
        self._held = bytearray()

    def ask(self, line: bytes) -> None:
        """Send a line."""
        try:
            self._stdin.write(line + b"\n")
            self._stdin.flush()
        except BrokenPipeError as gone:
            raise Hangup("git ended") from gone

    def line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._held.find(b"\n")) < 0:
            self._fill()
        return self._take(end + 1)[:-1]

    def exactly(self, count: int) -> bytes:
        """The next bytes."""
        while len(self._held) < count:
            self._fill()
        return self._take(count)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _fill(self) -> None:
        with selectors.DefaultSelector() as streams:
            streams.register(self._stdout, selectors.EVENT_READ)
            if not streams.select(max(0.0, self._until - time.monotonic())):
                raise Retry("git did not answer in time")
        chunk = os.read(self._stdout.fileno(), _CHUNK)
        if not chunk:
            raise Hangup("git ended")
        self._held += chunk
