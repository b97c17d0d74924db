"""What outlives a turn and is no decision. Losing it costs a little time, never the right end."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rollout.api.errors import Problem
from rollout.api.intents import UNKNOWN, Intent

REFUSAL_STANDS = timedelta(minutes=1)
"""For how long a template that was refused is not tried again."""

Name = tuple[str, str]
"""(namespace, name)"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The Services that a Rollout writes; the older Rollout keeps them (D10)."""

    created: str
    serves: bool
    """Whether it has a stable version: of two created in one second, the one that serves is older."""
    uid: str
    services: frozenset[str]
    references: frozenset[tuple[str, str]]
    """(kind, name) of all that it refers to, so that a change of one wakes it."""

    @property
    def age(self) -> tuple[str, bool, str]:
        """Sorts the older claim first; no two are equal."""
        return (self.created, not self.serves, self.uid)


@dataclass(frozen=True, slots=True)
class Trial:
    """What the API server said of a template, and when: a refusal may have been an admission policy's, which
    its owner mends without a change of the Rollout.
    """

    problems: tuple[Problem, ...]
    at: datetime

    def stands(self, now: datetime) -> bool:
        """Whether it need not be asked again."""
        return not self.problems or now - self.at < REFUSAL_STANDS


@dataclass(slots=True)
class Memory:
    """What outlives a turn and is no decision: since when things stand, and whose they are."""

    standing: dict[tuple[str, str], tuple[object, datetime]] = field(default_factory=dict)
    claims: dict[Name, Claim] = field(default_factory=dict)
    heard: dict[Name, tuple[str, int, bool]] = field(default_factory=dict)
    """What the claims of others were read from: uid, generation, and whether it serves."""
    tried_templates: dict[tuple[str, str], Trial] = field(default_factory=dict)
    first_seen: dict[tuple[str, str, str], datetime] = field(default_factory=dict)

    def stands_since(self, uid: str, service: str, state: object, now: datetime) -> datetime:
        """Since when `service` has been seen in `state` without a change."""
        held = self.standing.get((uid, service))
        if held is None or held[0] != state:
            held = (state, now)
            self.standing[(uid, service)] = held
        return held[1]

    def dated(self, uid: str, intents: tuple[Intent, ...]) -> tuple[Intent, ...]:
        """Intents with one time each, however often they are looked at: an intent acts once for each time."""
        held = {(uid, each.key.value, each.value): each.set_at for each in intents if each.by == UNKNOWN}
        kept = {key: when for key, when in self.first_seen.items() if key[0] != uid or key in held}
        self.first_seen = {**held, **kept}
        return tuple(
            replace(each, set_at=self.first_seen.get((uid, each.key.value, each.value), each.set_at))
            for each in intents
        )

    def forget(self, name: Name) -> None:
        """A Rollout is gone."""
        self.heard.pop(name, None)
        claim = self.claims.pop(name, None)
        if claim is not None:
            self.first_seen = {key: value for key, value in self.first_seen.items() if key[0] != claim.uid}
            self.standing = {key: value for key, value in self.standing.items() if key[0] != claim.uid}
            self.tried_templates = {
                key: value for key, value in self.tried_templates.items() if key[0] != claim.uid
            }
