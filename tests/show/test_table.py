"""What `rollout list` prints."""

from datetime import UTC, datetime
from typing import Any

from rollout.show.sight import sight
from rollout.show.table import table

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rollout(name: str, namespace: str = "shop", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-02-17T11:00:00Z"},
        "spec": {"strategy": {"canary": {"steps": [{"setWeight": 5}, {"judge": {}}]}}},
        "status": status,
    }


CHECKOUT = rollout(
    "checkout",
    phase="Progressing",
    message="hold",
    verdict="Undecided",
    currentPodHash="7d4b9c",
    stableRS="6c9f7d",
    stage="Stepping",
    currentStepIndex=1,
    canary={"weights": {"canary": {"weight": 5}, "stable": {"weight": 95}}},
    source={"branch": "main", "commit": "1a2b3c4d", "gitSource": "shop"},
)
CART = rollout("cart", "other", phase="Healthy", currentPodHash="aa", stableRS="aa", verdict="Promoted")


def lines(**options: bool) -> list[str]:
    return table([sight(CHECKOUT), sight(CART)], NOW, **options).splitlines()


def test_a_line_a_rollout_in_columns() -> None:
    assert lines() == [
        "NAME       PHASE         STEP     WEIGHT   STABLE   CANARY   VERDICT     GIT            AGE",
        "checkout   Progressing   2/2      5        6c9f7d   7d4b9c   undecided   main@1a2b3c4   12d",
        "cart       Healthy       <none>   <none>   aa       <none>   promoted    <none>         12d",
    ]


def test_wide_adds_the_message_and_all_namespaces_the_namespace() -> None:
    head, checkout, _ = lines(wide=True, namespaces=True)
    assert head.split()[0] == "NAMESPACE"
    assert head.split()[-1] == "MESSAGE"
    assert checkout.split()[0] == "shop"
    assert checkout.split()[-1] == "hold"
