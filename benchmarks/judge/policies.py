"""The judges that are measured: without margins, and as they are by default."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from analysis import Dispersion, Margin, Metric, Policy, Proportion

KIND: Final = Proportion("bad", "total")
NO_MARGIN: Final = Margin()
CALM: Final = Dispersion()


def bare(*, alpha: float = 0.05, late_share: float = 0.0, dispersion: Dispersion = CALM) -> Policy:
    """Equal is good, anything worse is bad; no capital kept back."""
    errors = Metric("errors", KIND, tolerate=NO_MARGIN, dispersion=dispersion)
    return Policy((errors,), alpha=alpha, late_share=late_share)


def default(*, alpha: float = 0.01, horizon: timedelta = timedelta(hours=1)) -> Policy:
    """As a user gets it who says nothing: 5 % and 0.02 points are tolerated, 30 % are kept back."""
    return Policy((Metric("errors", KIND),), alpha=alpha, horizon=horizon)
