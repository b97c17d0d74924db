"""What is due is asked, folded into the tests and judged; what the planner hears is a verdict.

The tests live in the checkpoint of the background AnalysisRun. Between two writes of it they are kept here,
so that a paused rollout is watched without a write: after a restart the same samples are read again from the
written cut.
"""

from rollout.measure.measured import NOTHING, Measured
from rollout.measure.measurer import Measurer

__all__ = ["NOTHING", "Measured", "Measurer"]
