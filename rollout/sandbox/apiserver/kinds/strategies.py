"""The strategy of each built-in kind that has one."""

from rollout.sandbox.apiserver.served import Strategy

STRATEGIES: dict[tuple[str, str], Strategy] = {}
