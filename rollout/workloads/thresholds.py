"""Threshold metrics of a Rollout's analyses: named by their step, with their placeholders filled in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rollout.api.analysis import AnalysisTemplateSpec, Metric
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.measures import Role
from rollout.api.naming import DryRun, MeasurementRetention, exactly, names
from rollout.api.rules import WrongFieldsError
from rollout.api.selectors import placeholders
from rollout.api.threshold import Threshold

_SAMPLE = "1"
"""For what is known only when a run begins: a hash, a revision."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One template as one analysis of a Rollout asks it."""

    path: str
    """The analysis' field."""
    suffix: str
    """Of the metrics' names: `@3` in step 3."""
    template: AnalysisTemplateSpec
    args: Mapping[str, str]
    """Values by `args.NAME`."""


def chosen(asks: Iterable[Ask], values: Mapping[str, str]) -> tuple[Threshold, ...]:
    """All threshold metrics; without `values` only the arguments are filled in, to be looked at.

    Raises:
        InvalidSpec: an argument makes a field of a metric none.
    """
    resolved: list[Threshold] = []
    found: list[Problem] = []
    for ask in asks:
        for metric in ask.template.metrics:
            if not isinstance(metric, Threshold):
                continue
            known = {**(values or dict.fromkeys(_own(metric), _SAMPLE)), **ask.args}
            if not known.keys() >= _asked(metric):
                continue  # an argument without a value is told elsewhere
            try:
                one = metric.resolved(known)
            except WrongFieldsError as wrong:
                found += [_told(ask, metric.name, problem) for problem in wrong.problems]
                continue
            resolved.append(one.model_copy(update={"name": metric.name + ask.suffix}))
    if found:
        raise InvalidSpec(tuple(found))
    return tuple(resolved)


def of(template: AnalysisTemplateSpec) -> tuple[str, ...]:
    """The names of a template's threshold metrics."""
    return tuple(metric.name for metric in template.metrics if isinstance(metric, Threshold))


def without(template: AnalysisTemplateSpec) -> AnalysisTemplateSpec:
    """A template of what is compared alone."""
    return template.model_copy(update={"metrics": template.compared})


def dry_run(asks: Iterable[Ask]) -> tuple[DryRun, ...]:
    """Each metric that decides nothing, by its own name."""
    return tuple(
        DryRun(metric_name=exactly(metric.name + ask.suffix))
        for ask in asks
        for metric in ask.template.metrics
        if runs_dry(ask.template, metric.name)
    )


def runs_dry(template: AnalysisTemplateSpec, metric: str) -> bool:
    """Whether a template lets a metric decide nothing."""
    return any(names(rule.metric_name, metric) for rule in template.dry_run)


def shown_only(metric: Metric) -> Metric:
    """A metric that is compared, and decides nothing."""
    compare = metric.compare.model_copy(update={"role": Role.WARN})
    return metric.model_copy(update={"compare": compare})


def retention(asks: Iterable[Ask]) -> tuple[MeasurementRetention, ...]:
    """For each metric that has a rule, by its own name, how many measurements are kept."""
    return tuple(_retention(asks))


def _retention(asks: Iterable[Ask]) -> Iterator[MeasurementRetention]:
    for ask in asks:
        for metric in ask.template.metrics:
            rules = (
                rule for rule in ask.template.measurement_retention if names(rule.metric_name, metric.name)
            )
            rule = next(rules, None)
            if rule is not None:
                yield MeasurementRetention(metric_name=exactly(metric.name + ask.suffix), limit=rule.limit)


def _asked(metric: Threshold) -> set[str]:
    return {name for _, text in (*metric.texts, *metric.credentials) for name in placeholders(text)}


def _own(metric: Threshold) -> set[str]:
    return {name for name in _asked(metric) if not name.startswith("args.")}


def _told(ask: Ask, metric: str, problem: Problem) -> Problem:
    field = problem.path.removeprefix(".")
    message = f"metric {metric!r} with these arguments: {field}: {problem.message}"
    return Problem(f"{ask.path}.args", message, problem.remedy or "mend the argument")
