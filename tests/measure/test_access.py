"""What a compared metric says of who asks, from its template to the source that it is asked of."""

from typing import Any

from measured_shop import ERRORS, manifest

from rollout.api.analysis import parse_analysis_template
from rollout.api.providers import Header, Prometheus
from rollout.api.rollout import parse_rollout
from rollout.measure.access import Access, within
from rollout.workloads import runs

TOKEN = {"name": "token", "valueFrom": {"secretKeyRef": {"name": "prometheus", "key": "token"}}}
SERVER = {"address": "http://mimir", "headers": [{"key": "Authorization", "value": "Bearer {{args.token}}"}]}


def template() -> dict[str, Any]:
    metric = ERRORS | {"provider": {"prometheus": SERVER}}
    return {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "signals", "namespace": "shop"},
        "spec": {"args": [TOKEN], "metrics": [metric]},
    }


def test_a_run_says_which_secret_and_its_source_is_asked_for_in_its_namespace() -> None:
    templates = {("signals", False): parse_analysis_template(template()).spec}
    spec = parse_rollout(manifest()).spec
    values = {
        f"{arm}.{fact}": "v" for arm in ("stable", "canary") for fact in ("hash", "service", "revision")
    }
    (metric,) = runs.metrics(spec, templates, {"namespace": "shop", "name": "shop", **values})
    asked: list[Access] = []

    def source_of(access: Access) -> Any:
        asked.append(access)

    within(source_of, "shop")(metric.provider.prometheus)
    header = Header(key="Authorization", value="Bearer {{secret:prometheus/token}}")
    assert asked == [Access(Prometheus(address="http://mimir", headers=(header,)), "shop")]


def test_one_server_is_one_connection_whatever_it_is_asked() -> None:
    body = {"address": "http://mimir", "timeout": 5}
    first, second = (Prometheus.model_validate(body) for _ in range(2))
    assert Access(first.server, "shop") == Access(second.server, "shop")
    assert len({Access(first.server, "shop"), Access(second.server, "shop"), Access(first, "pay")}) == 2
