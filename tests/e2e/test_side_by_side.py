"""Two sandboxes at once know nothing of each other, though everything in them has the same names."""

import pytest
import yaml
from e2e_stage import CANARY, NAME, STABLE, Shop

from rollout.sandbox.apiserver.resource import REPLICA_SETS
from rollout.sandbox.cluster import Pods, Sandbox

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


@pytest.mark.parametrize("pods", [Pods.SCRIPTED, Pods.PROCESS])
def test_a_second_sandbox_with_the_same_names_disturbs_nobody(shop: Shop, pods: Pods) -> None:
    shop.open("v1")
    first = shop.stage.sandbox
    with Sandbox(pods) as second:
        second.submit(second.load(the_same(shop))).result(10)

        def ready() -> bool:
            found = second.submit(second.client.get(REPLICA_SETS, shop.namespace, NAME)).result(5)
            return found["status"].get("readyReplicas") == 2

        shop.until(ready, 20, "the other sandbox's pods are ready")
        assert second.server.url != first.server.url
        if pods is Pods.PROCESS:
            shop.until(
                lambda: version_of(shop, second) == "v9", 10, "the other sandbox's proxy serves its own"
            )
        assert version_of(shop, first) == "v1"
        sent = shop.report.sent
        shop.until(lambda: shop.report.sent > sent + 600, 10, "users go on")
    sent = shop.report.sent
    shop.until(lambda: shop.report.sent > sent + 600, 10, "users go on when the other sandbox is gone")
    assert {each.version for each in shop.witness.pods.values()} == {"v1"}
    assert shop.lost() == {}


def the_same(shop: Shop) -> list[dict[str, object]]:
    """The shop's Services and route, and pods of another version, under the same names."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": shop.namespace}}
    template = shop.objects[f"Rollout/{NAME}"]["spec"]["template"]
    body = {"replicas": 2, "selector": {"matchLabels": template["metadata"]["labels"]}, "template": template}
    copied = yaml.safe_load(yaml.safe_dump(body))
    copied["template"]["spec"]["containers"][0]["image"] = "shop:v9"
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": NAME, "namespace": shop.namespace},
        "spec": copied,
    }
    kept = [shop.objects[key] for key in (f"Service/{STABLE}", f"Service/{CANARY}", f"HTTPRoute/{NAME}")]
    return [namespace, replica_set, *kept]


def version_of(shop: Shop, sandbox: Sandbox) -> str:
    """Which version a sandbox's proxy sends users of the shop's host to."""
    return shop.stage.do(shop.witness.version_at(sandbox.proxy_url, shop.host))
