"""Pod addresses: a /24 of 127.0.0.0/8 that is this cluster's alone."""

import random
import socket

CLAIM_PORT = 41641
"""A socket held on the block's last address keeps other sandboxes of this machine off the block."""
FIRST, LAST = 1, 250


class Addresses:
    """Gives addresses out in turn, so that one is not used again soon."""

    def __init__(self) -> None:
        self._claim, self._first, self._second = _claim_block()
        self._next = FIRST
        self._used: set[str] = set()

    def take(self) -> str:
        """A free address. Where the block is full, the next ones follow (scripted pods listen on none)."""
        for _ in range((LAST - FIRST + 1) * 256):
            third, fourth = divmod(self._next - FIRST, LAST - FIRST + 1)
            address = f"127.{self._first}.{(self._second + third) % 256}.{fourth + FIRST}"
            self._next += 1
            if self._next > LAST and len(self._used) < (LAST - FIRST + 1) // 2:
                self._next = FIRST
            if address not in self._used:
                self._used.add(address)
                return address
        raise RuntimeError("no pod address is free")

    def release(self, address: str) -> None:
        """Take an address back."""
        self._used.discard(address)

    def close(self) -> None:
        """Let the block go."""
        self._claim.close()


def _claim_block() -> tuple[socket.socket, int, int]:
    chance = random.SystemRandom()
    while True:
        first, second = chance.randint(1, 254), chance.randint(0, 255)
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind((f"127.{first}.{second}.254", CLAIM_PORT))
        except OSError:
            claim.close()
        else:
            return claim, first, second
