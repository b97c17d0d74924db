"""The state machine, as one table.

Rule 1: everything that moves a Rollout from one stage to another stands in this file. `sense` and `intents`
say which signal is seen, `advance` what is remembered of it, nobody else changes the stage.

Rule 2: one signal a turn. A signal that a stage has no entry for can't move it: an intent is acknowledged as
nothing to do, anything else is not looked for.

Rule 3: stages are levels. What must hold while a stage lasts is in `demands` and `weights`; leaving a stage
needs that it was read back, never that it was written.

Rule 4: every way that takes traffic from a canary stays open in every stage that may give it some: Resetting,
Stepping, Promoting, Switching. From Returning there is no way back but a new revision: both Services reach
the same pods by then.

Rule 5: what is wanted is asked in this order, and the first that holds is the answer: the stable version, a
refused attempt, a version within the rollback window, a new revision. So a refusal outweighs an earlier
promotion, and of a window nothing is left but the way of a full promotion: pods, endpoints, routes, no steps.
"""

from collections.abc import Mapping
from enum import StrEnum

from rollout.api.status import Stage


class Signal(StrEnum):
    """What happened; the value is the sentence that people read."""

    NEW_REVISION = "a new revision is wanted"
    OLDER_REAPPLIED = "a version within the rollback window is wanted again"
    STABLE_REAPPLIED = "the stable version is wanted again"
    REFUSED_REVISION = "this attempt was refused before"
    STEPS_CHANGED = "the steps were edited: starting at the first step"

    ABORTED = "aborted by hand"
    RETRY = "a retry was asked for"
    PROMOTED_IN_FULL = "a full promotion was asked for"
    STEP_SKIPPED = "promoted past this step by hand"
    END_SKIPPED = "promoted past the last judgement by hand"
    PAUSE_ENDED = "resumed by hand"

    REGRESSION = "the canary is worse than the stable version"
    METRIC_FAILED = "a metric failed its condition"
    PODS_FAILED = "canary pods fail"
    OVERDUE = "no progress within the deadline"
    INCONCLUSIVE = "the evidence did not suffice in time"

    FIRST_SERVES = "the first version serves"
    CANARY_REACHABLE = "the canary Service reaches the new pods"
    NOTHING_TO_STEP = "the canary Service reaches the new pods, and there are no steps to take"
    STEP_PASSED = "the step passed"
    STEP_COMPATIBLE = "the step passed without proof, its evidence is compatible"
    STEP_HELD = "the evidence did not suffice in time: waiting for somebody to decide"
    UNANSWERED = "a metric is inconclusive: waiting for somebody to decide"
    ALL_PASSED = "all steps passed"
    CANARY_SERVES_ALL = "the new version serves all traffic"
    SERVICE_SWITCHED = "the stable Service reaches the new version"
    TRAFFIC_RETURNED = "the new version is stable"
    BACK_ON_STABLE = "the stable version serves all traffic again"
    BACK_AS_WANTED = "the stable version serves all traffic again, as wanted"


_STOPS: Mapping[Signal, Stage] = {
    Signal.NEW_REVISION: Stage.RESETTING,
    Signal.OLDER_REAPPLIED: Stage.RESETTING,
    Signal.STABLE_REAPPLIED: Stage.ROLLING_BACK,
    Signal.REFUSED_REVISION: Stage.ROLLING_BACK,
    Signal.ABORTED: Stage.ROLLING_BACK,
    Signal.OVERDUE: Stage.ROLLING_BACK,
}
"""Open wherever a canary is under way."""

_HARM: Mapping[Signal, Stage] = {
    Signal.REGRESSION: Stage.ROLLING_BACK,
    Signal.METRIC_FAILED: Stage.ROLLING_BACK,
    Signal.PODS_FAILED: Stage.ROLLING_BACK,
}
"""Open wherever a canary may carry weight."""

TRANSITIONS: Mapping[Stage, Mapping[Signal, Stage]] = {
    Stage.INITIAL: {
        Signal.NEW_REVISION: Stage.INITIAL,
        Signal.FIRST_SERVES: Stage.STABLE,
    },
    Stage.STABLE: {
        Signal.NEW_REVISION: Stage.RESETTING,
        Signal.OLDER_REAPPLIED: Stage.RESETTING,
        Signal.REFUSED_REVISION: Stage.REFUSED,
    },
    Stage.RESETTING: {
        **_STOPS,
        Signal.STEPS_CHANGED: Stage.RESETTING,
        Signal.PROMOTED_IN_FULL: Stage.RESETTING,
        Signal.CANARY_REACHABLE: Stage.STEPPING,
        Signal.NOTHING_TO_STEP: Stage.PROMOTING,
    },
    Stage.STEPPING: {
        **_STOPS,
        **_HARM,
        Signal.STEPS_CHANGED: Stage.RESETTING,
        Signal.INCONCLUSIVE: Stage.ROLLING_BACK,
        Signal.STEP_PASSED: Stage.STEPPING,
        Signal.STEP_COMPATIBLE: Stage.STEPPING,
        Signal.STEP_SKIPPED: Stage.STEPPING,
        Signal.STEP_HELD: Stage.STEPPING,
        Signal.UNANSWERED: Stage.STEPPING,
        Signal.PAUSE_ENDED: Stage.STEPPING,
        Signal.PROMOTED_IN_FULL: Stage.PROMOTING,
        Signal.END_SKIPPED: Stage.PROMOTING,
        Signal.ALL_PASSED: Stage.PROMOTING,
    },
    Stage.PROMOTING: {
        **_STOPS,
        **_HARM,
        Signal.STEPS_CHANGED: Stage.RESETTING,
        Signal.CANARY_SERVES_ALL: Stage.SWITCHING,
    },
    Stage.SWITCHING: {
        **_STOPS,
        **_HARM,
        Signal.SERVICE_SWITCHED: Stage.RETURNING,
    },
    Stage.RETURNING: {
        Signal.NEW_REVISION: Stage.RESETTING,
        Signal.OLDER_REAPPLIED: Stage.RESETTING,
        Signal.TRAFFIC_RETURNED: Stage.STABLE,
    },
    Stage.ROLLING_BACK: {
        Signal.NEW_REVISION: Stage.RESETTING,
        Signal.OLDER_REAPPLIED: Stage.RESETTING,
        Signal.RETRY: Stage.RESETTING,
        Signal.PROMOTED_IN_FULL: Stage.RESETTING,
        Signal.BACK_ON_STABLE: Stage.REFUSED,
        Signal.BACK_AS_WANTED: Stage.STABLE,
    },
    Stage.REFUSED: {
        Signal.NEW_REVISION: Stage.RESETTING,
        Signal.OLDER_REAPPLIED: Stage.RESETTING,
        Signal.RETRY: Stage.RESETTING,
        Signal.PROMOTED_IN_FULL: Stage.RESETTING,
        Signal.STABLE_REAPPLIED: Stage.STABLE,
        Signal.REFUSED_REVISION: Stage.REFUSED,
    },
}

UNDER_WAY = frozenset({Stage.RESETTING, Stage.STEPPING, Stage.PROMOTING, Stage.SWITCHING})
"""A canary is on its way and can be stopped."""

CARRYING = frozenset({Stage.STEPPING, Stage.PROMOTING, Stage.SWITCHING})
"""The canary Service reaches the new pods, and they may carry weight."""

AT_REST = frozenset({Stage.STABLE, Stage.REFUSED})
"""Left only because somebody wants something else."""
