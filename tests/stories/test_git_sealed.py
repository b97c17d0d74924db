"""A Secret that has still to be made of what Git holds: whoever needs it waits, all else goes on."""

from typing import Any

import manifests
from home import ROLLOUT, Home, home
from manifests import Manifest
from repository import text
from stage import until

from rollout.sandbox.apiserver.resource import CONFIG_MAPS, Resource

__all__ = ["home"]  # a fixture
SEALED = Resource("bitnami.com", "v1alpha1", "sealedsecrets")
EXTERNAL = Resource("external-secrets.io", "v1", "externalsecrets")


def definition(resource: Resource, kind: str) -> Manifest:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": resource.plural, "singular": kind.lower(), "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {"group": resource.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def maker(kind: str, resource: Resource, spec: dict[str, Any]) -> Manifest:
    version = f"{resource.group}/{resource.version}"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "sealed"}, "spec": spec}


def needing(secret: str) -> Manifest:
    rollout = manifests.rollout("shop:v2")
    (container,) = rollout["spec"]["template"]["spec"]["containers"]
    container["envFrom"] = [{"secretRef": {"name": secret}}]
    return rollout


async def waits(home: Home, why: str) -> None:
    async def reached() -> bool:
        ready = await home.condition("Ready")
        return ready.get("reason") == "SecretsNotReady" and why in ready["message"]

    await until(f"the source to wait, since {why}", reached)
    assert set(await home.shop.images()) == {"shop:v1"}


async def told(home: Home, resource: Resource, status: dict[str, Any]) -> None:
    """What the controller that makes the Secret says of it."""
    await home.shop.sandbox.client.patch(
        resource, home.shop.namespace, "sealed", {"status": status}, subresource="status"
    )


async def test_git_25_a_canary_waits_until_a_sealed_secret_is_unsealed(home: Home) -> None:
    await home.shop.sandbox.load([definition(SEALED, "SealedSecret")])
    beside = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "beside"}, "data": {"a": "b"}}
    sealed = maker("SealedSecret", SEALED, {"encryptedData": {"password": "AgB..."}})
    files = {"deploy/sealed.yaml": text(sealed, beside), ROLLOUT: text(needing("sealed"))}
    commit = await home.repository.commit("with a Secret", files)
    await waits(home, "its controller has not come to it yet")
    assert await home.shop.get(CONFIG_MAPS, "beside")
    failed = {"type": "Synced", "status": "False", "message": "no key could decrypt secret"}
    await told(home, SEALED, {"observedGeneration": 1, "conditions": [failed]})
    await waits(home, "no key could decrypt secret")
    await told(home, SEALED, {"observedGeneration": 1, "conditions": [{**failed, "status": "True"}]})
    await home.applied(commit)
    await home.shop.paused(50)


async def test_git_25_a_canary_waits_until_an_external_secret_is_fetched_in_its_present_form(
    home: Home,
) -> None:
    await home.shop.sandbox.load([definition(EXTERNAL, "ExternalSecret")])
    external = maker("ExternalSecret", EXTERNAL, {"target": {"name": "fetched"}})
    files = {"deploy/sealed.yaml": text(external), ROLLOUT: text(needing("fetched"))}
    commit = await home.repository.commit("with a Secret", files)
    await waits(home, "its controller has not come to it yet")
    good = [{"type": "Ready", "status": "True"}]
    await told(home, EXTERNAL, {"syncedResourceVersion": "0-abc", "conditions": good})
    await waits(home, "its controller has not come to it yet")
    await told(home, EXTERNAL, {"syncedResourceVersion": "1-def", "conditions": good})
    await home.applied(commit)
    await home.shop.paused(50)
