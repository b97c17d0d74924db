"""How often one object is put back, where somebody changes it again and again. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

PATIENCE = 3
"""Corrections of one object, one after another, before somebody else is suspected of insisting."""
CALM = timedelta(minutes=10)
LONGEST = timedelta(minutes=5)


@dataclass(slots=True)
class Pace:
    """How often one object was put back lately."""

    count: int = 0
    last: datetime | None = None

    def waits_until(self, now: datetime) -> datetime | None:
        """When it may be corrected again; None: now."""
        if self.last is None or now - self.last > CALM:
            self.count = 0
        if self.last is None or self.count < PATIENCE:
            return None
        again = self.last + min(timedelta(seconds=2 ** (self.count - PATIENCE + 1)), LONGEST)
        return again if again > now else None

    def corrected(self, now: datetime) -> None:
        """It was put back."""
        self.count, self.last = self.count + 1, now
