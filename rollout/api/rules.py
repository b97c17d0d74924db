"""What a schema can't say: rules between the fields of one manifest, as validators of the models."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationInfo

from rollout.api.errors import Problem
from rollout.api.meta import LabelSelector


class WrongFieldsError(ValueError):
    """Problems below the field that is validated; their paths are relative to it (`[2].judge`, `.spec`)."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def distinct(*fields: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """A validator: no two items of the list agree in all of `fields`."""

    def check(items: tuple[Any, ...]) -> tuple[Any, ...]:
        keys = [tuple(getattr(item, field) for field in fields) for item in items]
        again = [index for index, key in enumerate(keys) if key in keys[:index]]
        if again:
            raise WrongFieldsError(
                *(Problem(f"[{index}]", f"{keys[index][0]} is listed twice") for index in again)
            )
        return items

    return check


def selects_something(selector: LabelSelector) -> LabelSelector:
    """An empty selector would take every pod of the namespace."""
    if selector.empty:
        raise ValueError("selects every pod: give it labels")
    return selector


def pods_that_the_selector_finds(template: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
    """A pod template that is one, whose pods never end, and whose labels satisfy the selector."""
    problems = [*_pod_shape(template), *_selected(template, info.data.get("selector"))]
    if problems:
        raise WrongFieldsError(*problems)
    return template


def _pod_shape(template: Mapping[str, Any]) -> list[Problem]:
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(containers, list) or not containers:
        return [Problem(".spec.containers", "is required", "name at least one container")]
    found = [
        Problem(f".spec.containers[{index}].{key}", "is required")
        for index, container in enumerate(containers)
        for key in ("name", "image")
        if not isinstance(container, Mapping) or not isinstance(container.get(key), str)
    ]
    if spec.get("restartPolicy", "Always") != "Always":
        found.append(Problem(".spec.restartPolicy", "must be Always"))
    return found


def _selected(template: Mapping[str, Any], selector: LabelSelector | None) -> list[Problem]:
    metadata = template.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    if not isinstance(labels, Mapping) or not all(isinstance(value, str) for value in labels.values()):
        return [
            Problem(".metadata.labels", "is required", "give the pods the labels that spec.selector names")
        ]
    if selector is not None and not selector.matches(labels):
        return [Problem(".metadata.labels", "does not satisfy spec.selector", "make the labels agree")]
    return []


def shorter_than_deadline(seconds: int, info: ValidationInfo) -> int:
    """A pod must be able to become available before the progress deadline."""
    if seconds >= info.data.get("progress_deadline_seconds", seconds + 1):
        raise ValueError("must be less than progressDeadlineSeconds")
    return seconds


def other_than_canary_service(name: str, info: ValidationInfo) -> str:
    """Two versions behind one Service can't be told apart."""
    if name == info.data.get("canary_service"):
        raise ValueError("must differ from canaryService")
    return name


def count_or_percent(value: int | str | None) -> int | str | None:
    """A number of pods, or a percentage up to 100 of them."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if value is None or whole or re.fullmatch(r"(100|[0-9]{1,2})%", str(value)):
        return value
    raise ValueError("write a number of pods or a percentage, such as 1 or 25%")


def room_to_move(value: int | str | None, info: ValidationInfo) -> int | str | None:
    """Nothing can be replaced where neither an extra pod nor a missing one is allowed."""
    if value in (0, "0%") and info.data.get("max_surge") in (0, "0%"):
        raise ValueError("must not be 0 while maxSurge is 0")
    return value


def judged_with_traffic(steps: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
    """A `judge` waits for evidence: somebody must gather it, and there must be traffic to gather it from."""
    if "analysis" not in info.data:
        return steps  # it has a problem of its own
    background = info.data["analysis"]
    problems: list[Problem] = []
    weight = 0
    for index, step in enumerate(steps):
        weight = getattr(step, "set_weight", weight)
        if not hasattr(step, "judge"):
            continue
        path = f"[{index}].judge"
        if background is None:
            problems.append(Problem(path, "needs strategy.canary.analysis", "say which templates judge"))
        elif index < background.starting_step:
            problems.append(Problem(path, "comes before analysis.startingStep", "start the analysis earlier"))
        if weight == 0:
            problems.append(Problem(path, "no traffic reaches the canary yet", "put a setWeight before it"))
    if background is not None and steps and background.starting_step >= len(steps):
        problems.append(Problem("", "analysis.startingStep lies beyond the last step"))
    if problems:
        raise WrongFieldsError(*problems)
    return steps


def positive(duration: timedelta) -> timedelta:
    """A duration that is one."""
    if duration <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return duration
