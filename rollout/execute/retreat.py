"""What is still done when the status could not be recorded: nothing but the way back. Pure."""

from collections.abc import Iterable, Iterator

from rollout.api.errors import Stalled
from rollout.api.status import RolloutStatus
from rollout.execute.recording import BACK, Outdated
from rollout.plan import facts as ask
from rollout.plan.actions import Action, EnsureWeights
from rollout.plan.observed import Observed


def retreat(
    observed: Observed, status: RolloutStatus, rest: Iterable[Action], refusal: Stalled
) -> Iterator[Action]:
    """Which of the actions after `RecordStatus(status)` are done although `refusal` came of it.

    On the way back all of them, where an old CRD kept all memory; else what only lowers the canary's weight
    towards a ready stable.
    """
    whole = goes_back(status, refusal)
    return (action for action in rest if whole or _lowers(observed, action))


def goes_back(status: RolloutStatus, refusal: Stalled) -> bool:
    """Whether `status` was recorded with all memory, and says that it goes back."""
    return isinstance(refusal, Outdated) and refusal.rollout is not None and status.stage in BACK


def _lowers(observed: Observed, action: Action) -> bool:
    """Whether no route's canary gets more, one's gets less, and the stable Service can take it."""
    if not isinstance(action, EnsureWeights):
        return False
    percent = action.canary_percent
    shares = [route.canary_percent for route in observed.routes if route.canary_percent is not None]
    less = any(share > percent for share in shares) and all(share >= percent for share in shares)
    return less and ask.ready(observed.stable_service) > 0
