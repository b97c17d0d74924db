"""What left Git, and what keeps it from being deleted."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.api.sourcestatus import InventoryEntry
from rollout.git.manifests import parse
from rollout.git.revision import Blob, Revision
from rollout.gitops import inventory

AT = Revision("main", "a" * 40, "subject", "dev", datetime(2026, 1, 1, tzinfo=UTC))


def config_map(name: str, **more: Any) -> InventoryEntry:
    return InventoryEntry(api_version="v1", kind="ConfigMap", namespace="shop", name=name, **more)


def entries(count: int) -> list[InventoryEntry]:
    return [config_map(f"c{number}") for number in range(count)]


def written(*documents: str) -> tuple[Any, ...]:
    return parse([Blob(f"{at}.yaml", str(at), text.encode()) for at, text in enumerate(documents)], "shop")


HPA = "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: shop}}"
MAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}}"


def test_what_is_no_longer_written_is_stale_and_what_is_written_is_not() -> None:
    before = [config_map("kept"), config_map("gone")]
    after = inventory.after(before, written(MAP))
    assert after == (config_map("kept"), config_map("gone", stale=True))


def test_another_version_of_the_same_object_is_the_same_object() -> None:
    old = InventoryEntry(
        api_version="autoscaling/v1", kind="HorizontalPodAutoscaler", namespace="shop", name="shop"
    )
    assert [each.stale for each in inventory.after([old], written(HPA))] == [False]


def test_what_comes_back_is_no_longer_stale() -> None:
    assert inventory.after([config_map("kept", stale=True)], written(MAP)) == (config_map("kept"),)


def test_namespaces_and_definitions_are_never_deleted() -> None:
    before = [
        InventoryEntry(api_version="v1", kind="Namespace", name="shop"),
        InventoryEntry(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition", name="a.b"),
    ]
    assert inventory.after(before, ()) == ()


def test_a_revision_applied_in_part_forgets_nothing() -> None:
    before = (config_map("old"),)
    assert inventory.joined(before, inventory.applied(written(MAP))) == (
        config_map("old"),
        config_map("kept"),
    )


@pytest.mark.parametrize(
    ("gone", "kept", "approved", "held"),
    [
        pytest.param(0, 9, "", False, id="nothing left Git"),
        pytest.param(5, 1, "", False, id="a few go without being asked for"),
        pytest.param(6, 6, "", False, id="half of them go"),
        pytest.param(7, 6, "", True, id="more than half of many wait"),
        pytest.param(1, 0, "", True, id="the last one waits"),
        pytest.param(1, 0, "a" * 40, False, id="the last one goes where its commit is approved"),
        pytest.param(7, 6, f"main@sha1:{'a' * 40}", False, id="a revision may be named as the status does"),
        pytest.param(7, 6, "b" * 40, True, id="another commit's approval approves nothing"),
    ],
)
def test_most_of_a_source_is_deleted_only_if_that_is_meant(
    gone: int, kept: int, approved: str, held: bool
) -> None:
    why = inventory.held(entries(gone), entries(kept), approved, AT)
    assert bool(why) is held
    assert not held or f"{inventory.APPROVED}={'a' * 40}" in why


@pytest.mark.parametrize(
    ("annotations", "owned"),
    [
        pytest.param({inventory.OWNER: "shop/web"}, True, id="what this source applied"),
        pytest.param({}, False, id="what somebody else made under the same name"),
        pytest.param({inventory.OWNER: "shop/other"}, False, id="what moved to another source"),
        pytest.param(
            {inventory.OWNER: "shop/web", inventory.PRUNE: "disabled"}, False, id="what is to be kept"
        ),
    ],
)
def test_only_what_is_owned_may_be_deleted(annotations: dict[str, str], owned: bool) -> None:
    assert inventory.owned({"metadata": {"annotations": annotations}}, "shop/web") is owned


def test_a_template_names_all_that_its_pods_need() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "env"}}, {"secretRef": {"name": "keys"}}],
        "env": [
            {"valueFrom": {"configMapKeyRef": {"name": "one", "key": "a"}}},
            {"valueFrom": {"secretKeyRef": {"name": "two", "key": "b"}}},
        ],
    }
    volumes = [
        {"configMap": {"name": "files"}},
        {"secret": {"secretName": "tls"}},
        {"persistentVolumeClaim": {"claimName": "disk"}},
        {"projected": {"sources": [{"configMap": {"name": "part"}}, {"secret": {"name": "share"}}]}},
    ]
    template = {
        "spec": {
            "containers": [{"name": "app"}],
            "initContainers": [container],
            "volumes": volumes,
            "serviceAccountName": "runner",
            "imagePullSecrets": [{"name": "pull"}],
        }
    }
    assert inventory.needs(template) == {
        *(("ConfigMap", name) for name in ("env", "one", "files", "part")),
        *(("Secret", name) for name in ("keys", "two", "tls", "share", "pull")),
        ("PersistentVolumeClaim", "disk"),
        ("ServiceAccount", "runner"),
    }
