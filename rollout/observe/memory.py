"""What outlives a turn and is no decision. Losing it costs a little time, never the right end."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rollout.api.errors import Problem
from rollout.api.intents import UNKNOWN, Intent
from rollout.observe.reading import Specified

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
    references: frozenset[tuple[str, str, str]]
    """(namespace, kind, name) of all that it refers to, so that a change of one wakes it."""

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

    standing: dict[str, dict[str, tuple[object, datetime]]] = field(default_factory=dict)
    """By uid and Service: its state, and since when."""
    claims: dict[Name, Claim] = field(default_factory=dict)
    """Set by `claim` alone."""
    heard: dict[Name, tuple[str, int, bool]] = field(default_factory=dict)
    """What the claims of others were read from: uid, generation, and whether it serves."""
    tried_templates: dict[str, dict[str, Trial]] = field(default_factory=dict)
    """By uid and revision."""
    first_seen: dict[str, dict[tuple[str, str], datetime]] = field(default_factory=dict)
    """By uid, key and value of an intent."""
    live_at: dict[str, datetime] = field(default_factory=dict)
    """By uid: when all that a Rollout refers to was last read live."""
    specified: dict[str, Specified] = field(default_factory=dict)
    """By uid, while something is under way: what the spec tells."""
    _users: dict[tuple[str, str, str], dict[Name, None]] = field(default_factory=dict)
    _lives_in: Counter[str] = field(default_factory=Counter)

    def claim(self, name: Name, claim: Claim) -> None:
        """What a Rollout writes and refers to, from now on."""
        before = self.claims.get(name)
        if before == claim:
            return
        if before is None:
            self._lives_in[name[0]] += 1
        self._release(name)
        self.claims[name] = claim
        for reference in claim.references:
            self._users.setdefault(reference, {})[name] = None

    def users(self, namespace: str, kind: str, name: str) -> tuple[Name, ...]:
        """The Rollouts that refer to an object; `namespace` is empty for cluster-scoped kinds."""
        return tuple(self._users.get((namespace, kind, name), ()))

    def lives_in(self, namespace: str) -> bool:
        """Whether any Rollout is known there."""
        return self._lives_in[namespace] > 0

    def stands_since(self, uid: str, service: str, state: object, now: datetime) -> datetime:
        """Since when `service` has been seen in `state` without a change."""
        standing = self.standing.setdefault(uid, {})
        held = standing.get(service)
        if held is None or held[0] != state:
            held = (state, now)
            standing[service] = held
        return held[1]

    def dated(self, uid: str, intents: tuple[Intent, ...]) -> tuple[Intent, ...]:
        """Intents with one time each, however often they are looked at: an intent acts once for each time."""
        before = self.first_seen.pop(uid, {})
        held = {(each.key.value, each.value): each.set_at for each in intents if each.by == UNKNOWN}
        if held:
            self.first_seen[uid] = {key: before.get(key, when) for key, when in held.items()}
        seen = self.first_seen.get(uid, {})
        return tuple(
            replace(each, set_at=seen.get((each.key.value, each.value), each.set_at)) for each in intents
        )

    def forget(self, name: Name) -> None:
        """A Rollout is gone."""
        self.heard.pop(name, None)
        claim = self.claims.get(name)
        if claim is not None:
            self._release(name)
            del self.claims[name]
            self._lives_in[name[0]] -= 1
            for held in (
                self.first_seen,
                self.standing,
                self.tried_templates,
                self.live_at,
                self.specified,
            ):
                held.pop(claim.uid, None)

    def _release(self, name: Name) -> None:
        claim = self.claims.get(name)
        for reference in claim.references if claim else ():
            users = self._users[reference]
            del users[name]
            if not users:
                del self._users[reference]
