"""The fault campaign: whole rollouts in virtual time, with everything that can go wrong around them.

The very operator (observer, measurer, planner, executor, queue) works against the embedded API server in one
process; a clock that jumps from event to event makes a rollout of minutes a matter of milliseconds. It
watches and is woken as ever; there is no HTTP between.
"""

import sys
from pathlib import Path

# The stories' manifests and their invariant checker are used here too.
sys.path.append(str(Path(__file__).parent.parent / "stories"))
