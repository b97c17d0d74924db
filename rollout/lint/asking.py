"""Whom the metrics of a template ask."""

from collections.abc import Callable, Iterator

from rollout.api.analysis import CLUSTER_TEMPLATE_KIND, TEMPLATE_KIND
from rollout.api.errors import InvalidSpec, Problem
from rollout.api.parsing import parse
from rollout.api.providers import Prometheus
from rollout.lint.alone import is_kind
from rollout.lint.findings import Document, Finding, finding

_ALLOWED = "ROLLOUT_PROMETHEUS_ALLOWED"
_REMEDY = f"leave it out for the operator's own, or an administrator adds it to {_ALLOWED}"


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
            for field, address, remedy in _addresses(metric.provider.prometheus):
                if "{{" not in address and not allows(address):
                    path = f"spec.metrics[{index}].provider.prometheus.{field}"
                    what = f"{address} is not among those that the operator allows"
                    yield finding(document, Problem(path, what, remedy))


def _addresses(server: Prometheus) -> Iterator[tuple[str, str, str]]:
    """(field, address, remedy) of all that would be asked."""
    if server.address:
        yield "address", server.address, _REMEDY
    oauth2 = server.authentication and server.authentication.oauth2
    if oauth2:
        yield "authentication.oauth2.tokenUrl", oauth2.token_url, f"an administrator adds it to {_ALLOWED}"
