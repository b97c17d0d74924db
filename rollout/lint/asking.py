"""Whom the metrics of a template ask."""

from collections.abc import Callable, Iterator

from rollout.api.analysis import CLUSTER_TEMPLATE_KIND, TEMPLATE_KIND
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.parsing import parse
from rollout.lint.alone import is_kind
from rollout.lint.findings import Document, Finding, finding

_REMEDY = "leave it out for the operator's own, or an administrator adds it to ROLLOUT_PROMETHEUS_ALLOWED"


def not_allowed(document: Document, allows: Callable[[str], bool]) -> Iterator[Finding]:
    """Addresses that the operator would refuse to ask; one with placeholders is known only when it runs."""
    for kind in (TEMPLATE_KIND, CLUSTER_TEMPLATE_KIND):
        if not is_kind(document.body, kind.name):
            continue
        try:
            spec = parse(kind, document.body).spec
        except InvalidSpec:
            return
        for index, metric in enumerate(spec.metrics):
            address = metric.provider.prometheus.address
            if address and "{{" not in address and not allows(address):
                path = f"spec.metrics[{index}].provider.prometheus.address"
                what = f"{address} is not among those that the operator allows"
                yield finding(document, Problem(path, what, _REMEDY))
