"""AnalysisRuns: what is asked, resolved once when a run begins, and what a turn sees of one.

The background run asks everything that this rollout will ever ask, the metrics of later inline steps
included, because the weights over all are fixed at the start. A metric of step 3 is named `errors@3` there.
"""

from collections.abc import Mapping
from typing import Any

from rollout.api.analysis import AnalysisTemplateSpec, Metric
from rollout.api.analysisrun import AnalysisRunSpec
from rollout.api.base import Manifest
from rollout.api.compare import MEASURES, Arms, Compare
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.meta import GROUP, VERSION
from rollout.api.providers import Provider
from rollout.api.rollout import AnalysisStep, BackgroundAnalysis, GivenArgument, InlineAnalysis, RolloutSpec
from rollout.api.selectors import filled
from rollout.api.threshold import Threshold
from rollout.plan import observed
from rollout.workloads import presets, thresholds

TemplateKey = tuple[str, bool]
"""(name, whether it is a ClusterAnalysisTemplate)"""
Templates = Mapping[TemplateKey, AnalysisTemplateSpec]
BACKGROUND = "background"
ATTEMPT_LABEL = "progressive.delivery/attempt"
ROLE_LABEL = "progressive.delivery/role"
ROLLOUT_LABEL = "progressive.delivery/rollout"


def asked_by(spec: RolloutSpec) -> tuple[tuple[str, str, BackgroundAnalysis | InlineAnalysis], ...]:
    """(field path, suffix of its metrics' names, analysis) of every analysis in a spec, in order."""
    canary = spec.strategy.canary
    path = "spec.strategy.canary"
    background = [(f"{path}.analysis", "", canary.analysis)] if canary.analysis else []
    inline = [
        (f"{path}.steps[{index}].analysis", f"@{index}", step.analysis)
        for index, step in enumerate(canary.steps)
        if isinstance(step, AnalysisStep)
    ]
    return (*background, *inline)


def references(spec: RolloutSpec) -> tuple[tuple[str, TemplateKey], ...]:
    """(field path, template) of every template that a spec refers to."""
    return tuple(
        (f"{path}.templates[{index}].templateName", (ref.template_name, ref.cluster_scope))
        for path, _, analysis in asked_by(spec)
        for index, ref in enumerate(analysis.templates)
    )


def problems(
    spec: RolloutSpec,
    templates: Templates,
    broken: Mapping[TemplateKey, str],
    plane: observed.Plane = observed.UNKNOWN_PLANE,
) -> tuple[Problem, ...]:
    """What keeps the analyses of a spec from being asked; `broken` says why a template can't be parsed."""
    found: list[Problem] = []
    for path, key in references(spec):
        kind = "ClusterAnalysisTemplate" if key[1] else "AnalysisTemplate"
        if key in broken:
            found.append(Problem(path, f"{kind} {key[0]!r} is invalid: {broken[key]}", "mend the template"))
        elif key not in templates:
            found.append(
                Problem(path, f"{kind} {key[0]!r} does not exist", f"create the {kind}, or name another one")
            )
    if not found:
        try:
            metrics(spec, templates, {}, plane)
            thresholds.chosen(_asks(spec, templates, {}), {})
        except InvalidSpec as invalid:
            found += invalid.problems
    return tuple(found)


def render(
    rollout: Manifest,
    spec: RolloutSpec,
    templates: Templates,
    *,
    name: str,
    role: str,
    attempt: str,
    canary: observed.ReplicaSet,
    stable: observed.ReplicaSet,
    plane: observed.Plane = observed.UNKNOWN_PLANE,
) -> dict[str, Any]:
    """The AnalysisRun `name` as it is created.

    Raises:
        InvalidSpec: as `metrics`.
    """
    metadata = rollout["metadata"]
    values = placeholders(metadata["namespace"], metadata["name"], spec, canary, stable)
    asks = _asks(spec, templates, values)
    compared, held = metrics(spec, templates, values, plane), thresholds.chosen(asks, values)
    chosen: tuple[Metric | Threshold, ...] = (*compared, *held)
    if role != BACKGROUND:
        chosen = tuple(metric for metric in chosen if metric.name.endswith(f"@{role}"))
    background = spec.strategy.canary.analysis
    rates = (
        {
            "false_rollback": background.false_rollback,
            "false_promotion": background.false_promotion,
            "calibrate": background.calibrate,
        }
        if background
        else {}
    )
    body = AnalysisRunSpec(
        metrics=chosen,
        dry_run=thresholds.dry_run(asks),
        measurement_retention=thresholds.retention(asks),
        role=role,
        attempt=attempt,
        canary=canary.hash,
        stable=stable.hash,
        **rates,
    )
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "AnalysisRun",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {ROLLOUT_LABEL: metadata["name"], ATTEMPT_LABEL: attempt, ROLE_LABEL: role},
            "ownerReferences": [
                {
                    "apiVersion": rollout["apiVersion"],
                    "kind": rollout["kind"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": body.manifest(),
    }


def read(run: Manifest) -> observed.Run:
    """What a turn sees of an AnalysisRun."""
    metadata, spec, status = run["metadata"], run.get("spec", {}), run.get("status") or {}
    return observed.Run(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        phase=status.get("phase", ""),
        message=status.get("message", ""),
        attempt=spec.get("attempt", ""),
        role=spec.get("role", ""),
    )


def ended(run: Manifest, phase: str, message: str, at: str) -> dict[str, Any]:
    """The status of a run that is over; metrics that were stopped before their end are no successes (D1)."""
    status = dict(run.get("status") or {})
    results = [_stopped(each, phase) for each in status.get("metricResults") or ()]
    told = {"phase": phase, "message": message, "completedAt": at}
    return {**status, **told, **({"metricResults": results} if results else {})}


def _stopped(result: Mapping[str, Any], phase: str) -> Mapping[str, Any]:
    if result.get("phase") not in ("Running", "Error"):
        return result
    last = (result.get("measurements") or [{}])[-1]
    if phase == last.get("phase") == "Successful":
        return {**result, "phase": "Successful"}
    return {**result, "phase": "Inconclusive", "message": "stopped before it was decided"}


def placeholders(
    namespace: str,
    name: str,
    spec: RolloutSpec,
    canary: observed.ReplicaSet,
    stable: observed.ReplicaSet,
) -> dict[str, str]:
    """The values of `{{...}}` that need no argument ."""
    services = {"canary": spec.strategy.canary.canary_service, "stable": spec.strategy.canary.stable_service}
    values = {"namespace": namespace, "name": name}
    for arm, replica_set in (("canary", canary), ("stable", stable)):
        values |= {
            f"{arm}.hash": replica_set.hash,
            f"{arm}.service": services[arm],
            f"{arm}.revision": str(replica_set.revision),
        }
    return values


def metrics(
    spec: RolloutSpec,
    templates: Templates,
    values: Mapping[str, str],
    plane: observed.Plane = observed.UNKNOWN_PLANE,
) -> tuple[Metric, ...]:
    """All metrics of a spec, presets resolved, named by their step; filled in where `values` are given.

    Raises:
        InvalidSpec: an argument has no value, two templates of one analysis name a metric alike, or a preset
            asks for what the data plane does not have.
    """
    chosen: list[Metric] = []
    found: list[Problem] = []
    for path, suffix, analysis in asked_by(spec):
        names: set[str] = set()
        for index, ref in enumerate(analysis.templates):
            template = _as_asked(templates[(ref.template_name, ref.cluster_scope)], analysis)
            args, missing = _arguments(template, analysis.args, values)
            found += [
                Problem(
                    f"{path}.args",
                    f"argument {arg!r} of template {ref.template_name!r} has no value",
                    f"give it: args: [{{name: {arg}, value: ...}}]",
                )
                for arg in missing
            ]
            for metric in template.metrics:
                if metric.name in names:
                    found.append(
                        Problem(
                            f"{path}.templates[{index}]",
                            f"metric {metric.name!r} is named by two templates",
                            "rename one of them",
                        )
                    )
                names.add(metric.name)
                if isinstance(metric, Threshold):
                    continue  # `thresholds.chosen`
                if thresholds.runs_dry(template, metric.name):
                    metric = thresholds.shown_only(metric)
                try:
                    metric = _without_presets(metric, plane, f"{path}.templates[{index}]")
                except InvalidSpec as invalid:
                    found += invalid.problems
                    continue
                if values and not missing:
                    metric = _resolved(metric, {**values, **args})
                chosen.append(metric.model_copy(update={"name": metric.name + suffix}))
    if found:
        raise InvalidSpec(tuple(found))
    return tuple(chosen)


def _asks(spec: RolloutSpec, templates: Templates, values: Mapping[str, str]) -> tuple[thresholds.Ask, ...]:
    """Every template as every analysis asks it."""
    return tuple(
        thresholds.Ask(path, suffix, template, _arguments(template, analysis.args, values)[0])
        for path, suffix, analysis in asked_by(spec)
        for ref in analysis.templates
        for template in [_as_asked(templates[(ref.template_name, ref.cluster_scope)], analysis)]
    )


def _as_asked(
    template: AnalysisTemplateSpec, analysis: BackgroundAnalysis | InlineAnalysis
) -> AnalysisTemplateSpec:
    """A template with what the Rollout says of dry runs, and before its own, of what is shown."""
    told = {
        "dry_run": (*template.dry_run, *analysis.dry_run),
        "measurement_retention": (*analysis.measurement_retention, *template.measurement_retention),
    }
    return template.model_copy(update=told)


def _arguments(
    template: AnalysisTemplateSpec, given: tuple[GivenArgument, ...], known: Mapping[str, str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """(values of `{{args.*}}`, names of arguments without one); the Rollout's values win over defaults.

    known: what placeholders say when a run begins; before, one stands for itself.
    """
    values = {
        arg.name: arg.value_from.secret_key_ref.placeholder if arg.value_from else arg.value
        for arg in template.args
    }
    for arg in given:
        later = arg.placeholder
        value = arg.value if later is None else filled(later, known) if known else later
        if value is not None:
            values[arg.name] = value
    missing = tuple(name for name, value in values.items() if value is None)
    return {f"args.{name}": value for name, value in values.items() if value is not None}, missing


def _without_presets(metric: Metric, plane: observed.Plane, path: str) -> Metric:
    try:
        return metric.model_copy(update={"compare": presets.resolved(metric.compare, plane, path)})
    except InvalidSpec as invalid:
        raise InvalidSpec(
            tuple(
                Problem(each.path, f"metric {metric.name!r}: {each.message}", each.remedy)
                for each in invalid.problems
            )
        ) from None


def _resolved(metric: Metric, values: Mapping[str, str]) -> Metric:
    """`metric` without presets, with every placeholder filled in."""
    compare = metric.compare
    texts = {
        path.rpartition(".")[2]: filled(text, values)
        for path, text in compare.selectors
        if ".arms." not in path
    }
    measured = compare.measured.model_copy(update=texts)
    field = next(name for name in MEASURES if getattr(compare, name) is not None)
    arms = Arms(
        stable=filled(compare.arms.stable or "", values), canary=filled(compare.arms.canary or "", values)
    )
    provider = Provider(prometheus=metric.provider.prometheus.with_credentials(values))
    return metric.model_copy(update={"compare": _with(compare, field, measured, arms), "provider": provider})


def _with(compare: Compare, field: str, measured: object, arms: Arms) -> Compare:
    return compare.model_copy(update={field: measured, "arms": arms})
