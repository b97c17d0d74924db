"""The controller's process: owns the clock and the queue, wakes reconciliations, and carries no policy."""

from rollout.operator.app import run

__all__ = ["run"]
