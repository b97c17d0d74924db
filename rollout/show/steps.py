"""The steps of a canary in words, read leniently: a spec that is invalid can still be shown."""

from collections.abc import Mapping, Sequence
from typing import Any

Steps = Sequence[Mapping[str, Any]]


def steps_of(rollout: Mapping[str, Any]) -> Steps:
    """The steps that the spec asks for; none where it says nothing readable."""
    node: Any = rollout
    for key in ("spec", "strategy", "canary", "steps"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return [step for step in node if isinstance(step, Mapping)] if isinstance(node, list) else []


def position(steps: Steps, index: int | None) -> str:
    """Where the rollout stands: `3/8`, counted from one; empty without steps."""
    return f"{min(index + 1, len(steps))}/{len(steps)}" if steps and index is not None else ""


def weight_at(steps: Steps, index: int) -> int:
    """The canary weight that is in force at step `index`, in percent."""
    weights = [step["setWeight"] for step in steps[: index + 1] if isinstance(step.get("setWeight"), int)]
    return weights[-1] if weights else 0


def words(steps: Steps, index: int) -> str:
    """Step `index` in words: `judge at 25 %`, `pause until resumed`, `weight 5 %`."""
    if not 0 <= index < len(steps):
        return "all steps passed"
    match steps[index]:
        case {"setWeight": weight}:
            return f"weight {weight} %"
        case {"pause": {"duration": duration}}:
            return f"pause {duration} at {weight_at(steps, index)} %"
        case {"pause": _}:
            return f"pause at {weight_at(steps, index)} % until resumed"
        case {"judge": _}:
            return f"judge at {weight_at(steps, index)} %"
        case {"analysis": _}:
            return f"analysis at {weight_at(steps, index)} %"
        case other:
            return next(iter(other), "?")
