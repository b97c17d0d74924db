"""What there is to say about an object: by itself at once, and by what it refers to as far as time allows."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from rollout.admission import review
from rollout.admission.review import Asked
from rollout.api.analysis import (
    AnalysisTemplateSpec,
    parse_analysis_template,
    parse_cluster_analysis_template,
)
from rollout.api.base import Manifest
from rollout.api.errors import InvalidSpec, Problem, Retry, Stalled
from rollout.api.rollout import Rollout
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.lint import Document, Severity, by_itself, rollout_of
from rollout.measure.access import SourceOf, within
from rollout.measure.ahead import asked_of
from rollout.measure.foresight import shortfalls_of
from rollout.measure.versions import any_version, versions
from rollout.observe.reading import read_status
from rollout.plan.observed import Plane
from rollout.routers.planes import read_plane
from rollout.workloads import presets, runs, thresholds

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=1.2)
"""For all that has to be asked for: whoever applies waits, and the API server at most 2 s."""


class Judge:
    """Judges objects; `source_of` gives the Prometheus that `allows` permits."""

    def __init__(self, kube: Kube, source_of: SourceOf, allows: Callable[[str], bool]) -> None:
        self._kube = kube
        self._source_of = source_of
        self._allows = allows

    async def answer(self, asked: Asked, now: datetime) -> dict[str, Any]:
        """The AdmissionReview to send back."""
        if asked.needs_no_look:
            return review.allowed(asked.uid)
        found = by_itself(Document("", 0, asked.body), self._allows)
        told = [(each.severity, Problem(each.field, each.message, each.remedy)) for each in found]
        errors = [problem for severity, problem in told if severity is Severity.ERROR]
        warnings = [str(problem) for severity, problem in told if severity is Severity.WARNING]
        if errors:
            return review.denied(asked, errors, warnings)
        rollout = rollout_of(asked.body)
        if rollout is not None:
            warnings += await self._foreseen(rollout, asked, now)
        return review.allowed(asked.uid, warnings)

    async def _foreseen(self, rollout: Rollout, asked: Asked, now: datetime) -> tuple[str, ...]:
        """What is wrong with its templates as they live, else which steps can't reach their margin.

        What is missing may be on its way by the same apply, so it is no reason to refuse.
        """
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                templates, broken = await self._templates(rollout, asked.namespace)
                plane = await self._plane(rollout, asked.namespace)
                problems = runs.problems(rollout.spec, templates, broken, plane)
                if problems:
                    told = (str(each) for each in problems if not each.message.endswith(presets.UNTOLD))
                    return tuple(told)  # that nobody has taken a new route yet is no fault
                return await self._short(rollout, templates, plane, asked, now)
        except (TimeoutError, Retry, Stalled) as unknown:
            log.debug("what %s would find is not known: %s", rollout.metadata.name, unknown)
            return ()

    async def _short(
        self, rollout: Rollout, templates: runs.Templates, plane: Plane, asked: Asked, now: datetime
    ) -> tuple[str, ...]:
        """A sentence for each step that can't reach its margin at the traffic of the last hour."""
        stable = read_status(asked.body.get("status") or {}).stable_rs or None
        compared = {key: thresholds.without(template) for key, template in templates.items()}
        values = versions(rollout, stable, asked.namespace)
        run = any_version(asked_of(rollout.spec, compared, plane, values))
        return await shortfalls_of(within(self._source_of, asked.namespace), rollout.spec, run, now) or ()

    async def _templates(
        self, rollout: Rollout, namespace: str
    ) -> tuple[dict[runs.TemplateKey, AnalysisTemplateSpec], dict[runs.TemplateKey, str]]:
        """(templates by name, why others can't be parsed) as they live."""
        keys = tuple(dict.fromkeys(key for _, key in runs.references(rollout.spec)))
        bodies = await asyncio.gather(*(self._template(key, namespace) for key in keys))
        templates: dict[runs.TemplateKey, AnalysisTemplateSpec] = {}
        broken: dict[runs.TemplateKey, str] = {}
        for key, body in zip(keys, bodies, strict=True):
            if body is None:
                continue
            parse = parse_cluster_analysis_template if key[1] else parse_analysis_template
            try:
                templates[key] = parse(body).spec
            except InvalidSpec as invalid:
                broken[key] = str(invalid.problems[0])
        return templates, broken

    async def _template(self, key: runs.TemplateKey, namespace: str) -> Manifest | None:
        name, cluster = key
        if cluster:
            return await self._kube.find(kinds.CLUSTER_ANALYSIS_TEMPLATES, None, name)
        return await self._kube.find(kinds.ANALYSIS_TEMPLATES, namespace, name)

    async def _plane(self, rollout: Rollout, namespace: str) -> Plane:
        canary = rollout.spec.strategy.canary
        refs = canary.traffic_routing.gateway_api.http_routes
        routes = await asyncio.gather(
            *(self._kube.find(kinds.HTTP_ROUTES, namespace, ref.name) for ref in refs)
        )
        live = [
            (route, ref.rule or None) for ref, route in zip(refs, routes, strict=True) if route is not None
        ]
        return read_plane(live, canary.stable_service, canary.canary_service)
