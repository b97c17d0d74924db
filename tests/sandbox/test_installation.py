"""What `deploy/` and the command line print is the same, and a cluster takes it with strict validation."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from rollout import manifests
from rollout.api import crd
from rollout.sandbox.install import find_kubectl

ROOT = Path(__file__).parents[2]
Place = tuple[str, str, str]


def kustomized(folder: str) -> dict[Place, Any]:
    """What the real kubectl makes of a kustomization."""
    built = subprocess.run(
        [find_kubectl(), "kustomize", ROOT / folder], capture_output=True, check=True, text=True
    )
    return by_place(built.stdout)


def by_place(text: str) -> dict[Place, Any]:
    bodies = list(yaml.safe_load_all(text))
    found = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in bodies
    }
    assert len(found) == len(bodies)
    return found


def printed() -> dict[Place, Any]:
    return by_place(manifests.rendered()) | by_place("---\n".join(crd.rendered().values()))


def test_kustomize_builds_what_the_command_line_prints() -> None:
    assert kustomized("deploy") == printed()


def test_a_tenants_kustomization_is_what_the_command_line_prints_for_its_namespace() -> None:
    told = by_place(manifests.secrets_in(["shop"]))
    for body in told.values():
        assert body["metadata"].pop("namespace") == "shop"
    assert list(kustomized("deploy/tenant").values()) == list(told.values())


def test_the_overlay_with_the_webhook_is_what_the_command_line_prints() -> None:
    told = by_place(manifests.with_admission()) | by_place("---\n".join(crd.rendered().values()))
    assert kustomized("deploy/overlays/admission") == told


def test_who_signed_the_webhooks_certificate_can_be_said_by_hand() -> None:
    told = by_place(manifests.with_admission("registry.example.com/rollout:1", authority=b"PEM"))
    (webhook,) = [body for body in told.values() if body["kind"] == "ValidatingWebhookConfiguration"]
    assert webhook["webhooks"][0]["clientConfig"]["caBundle"] == "UEVN"
    assert "annotations" not in webhook["metadata"]
    (deployment,) = [body for body in told.values() if body["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/rollout:1"


def test_settings_of_an_overlay_reach_the_operator_and_roll_it() -> None:
    built = kustomized("deploy/overlays/settings")
    (settings,) = [body for body in built.values() if body["kind"] == "ConfigMap"]
    assert set(settings["data"]) == {"ROLLOUT_PROMETHEUS", "ROLLOUT_PROMETHEUS_ALLOWED"}
    (container,) = built["Deployment", "rollout-system", "rollout"]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [
        {"configMapRef": {"name": settings["metadata"]["name"], "optional": True}}
    ]
    assert set(built) - set(printed()) == {("ConfigMap", "rollout-system", settings["metadata"]["name"])}


def test_a_cluster_takes_all_of_it_with_strict_validation(cluster: Any) -> None:
    folder = "deploy/overlays/settings"  # all of deploy/, and more
    applied = cluster.kubectl(
        "apply", "--server-side", "--validate=strict", "--force-conflicts", "-k", str(ROOT / folder)
    )
    assert applied.returncode == 0, applied.stderr
    assert applied.stderr == ""
    again = cluster.kubectl("diff", "--server-side", "--force-conflicts", "-k", str(ROOT / folder))
    assert (again.returncode, again.stdout) == (0, "")
    webhook = cluster.kubectl(
        *("apply", "--server-side", "--validate=strict", "--force-conflicts", "--dry-run=server"),
        *("-k", str(ROOT / "deploy/overlays/admission")),
    )
    assert (webhook.returncode, webhook.stderr) == (0, "")
    tenant = cluster.kubectl(
        "apply", "--server-side", "--validate=strict", "-n", "default", "-k", str(ROOT / "deploy/tenant")
    )
    assert tenant.returncode == 0, tenant.stderr


def test_no_field_of_it_is_unknown_to_client_side_apply(cluster: Any) -> None:
    created = cluster.kubectl("create", "namespace", "told-apart")
    assert created.returncode == 0, created.stderr  # a dry run makes no namespace for what it creates next
    text = manifests.rendered().replace("rollout-system", "told-apart")
    text += "---\n" + manifests.secrets_in(["told-apart"])
    applied = cluster.kubectl("apply", "--validate=strict", "--dry-run=server", "-f", "-", text=text)
    assert applied.returncode == 0, applied.stderr
