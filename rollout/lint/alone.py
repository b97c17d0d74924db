"""A manifest by itself: our kinds as the operator parses them, Services and routes as far as it reads."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from rollout.api.analysis import CLUSTER_TEMPLATE_KIND, TEMPLATE_KIND
from rollout.api.analysisrun import RUN_KIND
from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.gitsource import KIND as GIT_SOURCE_KIND
from rollout.api.meta import ARGO_GROUP, GROUP
from rollout.api.parsing import Kind, parse
from rollout.api.rollout import KIND as ROLLOUT_KIND
from rollout.api.rollout import AnalysisStep, JudgeStep, Rollout, SetWeightStep
from rollout.lint.findings import Document, Finding, Severity, finding

KINDS: Mapping[str, Kind[Any]] = {
    kind.name: kind
    for kind in (ROLLOUT_KIND, TEMPLATE_KIND, CLUSTER_TEMPLATE_KIND, RUN_KIND, GIT_SOURCE_KIND)
}
OUR_GROUPS = (GROUP, ARGO_GROUP)
_GATEWAY = ("gateway.networking.k8s.io",)
_GROUPS = {"Service": ("",), **dict.fromkeys(("HTTPRoute", "Gateway", "GatewayClass"), _GATEWAY)}
_STEPS = "spec.strategy.canary.steps"


def is_kind(body: Manifest, kind: str) -> bool:
    """Whether it is a Service, an HTTPRoute or one of our kinds, by its group too."""
    return body.get("kind") == kind and group(body) in _GROUPS.get(kind, OUR_GROUPS)


def group(body: Manifest) -> str:
    """The API group, empty for the core group."""
    return str(body.get("apiVersion", "")).rpartition("/")[0]


def named(body: Manifest) -> bool:
    """Whether it can be referred to."""
    metadata = body.get("metadata")
    return isinstance(metadata, Mapping) and isinstance(metadata.get("name"), str)


def namespace(body: Manifest) -> str:
    """Where it goes; empty where the manifest leaves that open."""
    return str(body["metadata"].get("namespace") or "")


def alone(document: Document) -> Iterator[Finding]:
    """What is wrong with a manifest by itself."""
    body = document.body
    if not isinstance(body.get("kind"), str) or not isinstance(body.get("apiVersion"), str):
        yield finding(document, Problem("kind", "is no Kubernetes object", "give apiVersion and kind"))
    elif group(body) in OUR_GROUPS:
        yield from (finding(document, problem) for problem in _own_problems(body))
        yield from (finding(document, problem, Severity.WARNING) for problem in _doubts(body))
    elif is_kind(body, "Service") or is_kind(body, "HTTPRoute"):
        yield from (finding(document, problem) for problem in misshapen(body))


def _own_problems(body: Manifest) -> tuple[Problem, ...]:
    kind = KINDS.get(body["kind"])
    if kind is None:
        close = get_close_matches(body["kind"], KINDS, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"known here: {', '.join(KINDS)}"
        return (Problem("kind", f"unknown kind {body['kind']}", remedy),)
    try:
        parse(kind, body)
    except InvalidSpec as invalid:
        return invalid.problems
    return ()


def rollout_of(body: Manifest) -> Rollout | None:
    """The Rollout, if it is a valid one."""
    if not is_kind(body, ROLLOUT_KIND.name):
        return None
    try:
        return parse(ROLLOUT_KIND, body)
    except InvalidSpec:
        return None


def _doubts(body: Manifest) -> Iterator[Problem]:
    """What is valid and yet hardly meant."""
    rollout = rollout_of(body)
    if rollout is None:
        return
    canary = rollout.spec.strategy.canary
    if not canary.steps:
        yield Problem(_STEPS, "a new version gets all traffic at once", "add steps")
    elif not any(isinstance(step, JudgeStep | AnalysisStep) for step in canary.steps):
        yield Problem(_STEPS, "no step waits for evidence", "add `judge: {}` after a setWeight")
    weight = 0
    for index, step in enumerate(canary.steps):
        weight = step.set_weight if isinstance(step, SetWeightStep) else weight
        if weight == 0 and isinstance(step, AnalysisStep):
            where = f"{_STEPS}[{index}].analysis"
            yield Problem(where, "no traffic reaches the canary yet", "put a setWeight before it")


def misshapen(body: Manifest) -> Iterator[Problem]:
    """What the readers of Services and routes could not read."""
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        yield Problem("spec", "is required")
    elif not isinstance(spec.get("selector") or {}, Mapping):
        yield Problem("spec.selector", "must be an object")
    else:
        rules = spec.get("rules") or []
        yield from _not_objects(rules, "spec.rules")
        for index, rule in enumerate(rules if isinstance(rules, list) else ()):
            if isinstance(rule, Mapping):
                yield from _not_objects(rule.get("backendRefs") or [], f"spec.rules[{index}].backendRefs")


def _not_objects(items: object, path: str) -> Iterator[Problem]:
    if not isinstance(items, list):
        yield Problem(path, "must be a list")
        return
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            yield Problem(f"{path}[{index}]", "must be an object")
        elif not isinstance(item.get("weight", 1), int):
            yield Problem(f"{path}[{index}].weight", "must be a whole number")


def twice(known: Sequence[Document]) -> Iterator[Finding]:
    """The same object given more than once."""
    first: dict[tuple[str, ...], Document] = {}
    for document in known:
        body = document.body
        kind = str(body.get("kind"))
        key = (group(body), kind, namespace(body), body["metadata"]["name"])
        earlier = first.setdefault(key, document)
        if earlier is not document:
            what = f"{kind} {key[3]} stands in {earlier.path}:{earlier.line} too"
            yield finding(document, Problem("metadata.name", what, "keep one of them"))
