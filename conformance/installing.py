"""What a run creates in a cluster, under names and a label of its own, and takes away again."""

import asyncio
import base64
import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from conformance import api
from conformance.api import KINDS, Api, Object, Refused, Resource, Unreachable, conditions

LABEL = "progressive.delivery/conformance"
ACCOUNT = "rollout"
TOKEN_S = 7200
GONE_S = 75.0
"""More than the 60 s after which the operator lets go of a Rollout whatever happens."""
ESTABLISHED_S = 30.0
GATEWAY_CRDS = Path(__file__).parents[1] / "rollout" / "sandbox" / "crds"
_RIGHTS = ("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
_AGGREGATE = "progressive.delivery/aggregate-to-applier"


@dataclass(slots=True)
class Ledger:
    """Everything that a run created, in its order."""

    api: Api
    run: str = field(default_factory=lambda: f"rollout-conformance-{secrets.token_hex(3)}")
    controllers: bool = True
    """Whether namespaces are emptied by the cluster."""
    left_behind: list[str] = field(default_factory=list)
    _created: list[tuple[Resource, str]] = field(default_factory=list)
    _given: set[str] = field(default_factory=set)
    _count: int = 0

    async def create(self, body: Object) -> Object:
        """Create an object of the whole cluster, which must not be there."""
        resource = KINDS[body["kind"]]
        meta = {**body["metadata"], "labels": {**body["metadata"].get("labels", {}), LABEL: self.run}}
        self._created.append((resource, meta["name"]))  # before: a cancelled call may have been served
        try:
            return await self.api.create(resource, {**body, "metadata": meta})
        except Refused:
            self._created.pop()
            raise

    async def namespace(self, purpose: str = "") -> str:
        """A new namespace; its name."""
        self._count += 1
        name = f"{self.run}-{purpose or self._count}"
        self._given.add(name)
        await self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    async def empty(self, namespace: str) -> None:
        """Begin to remove a namespace of ours."""
        await self.api.delete(api.NAMESPACES, None, namespace)
        if not self.controllers:
            with suppress(Refused):  # another look goes before the end
                await _finalize(self.api, namespace)

    async def clean(self) -> None:
        """Remove all, the newest first; what could not be removed is in `left_behind`."""
        for resource, name in reversed(self._created):
            try:
                if resource is api.DEFINITIONS and await self._in_use(name):
                    self.left_behind.append(f"{resource.plural} {name}, since objects of others use it")
                    continue
                if resource is api.NAMESPACES:
                    await self.empty(name)
                    await self._release(name)
                else:
                    await self.api.delete(resource, None, name)
                await self._gone(resource, name)
            except (Refused, Unreachable, TimeoutError) as error:
                self.left_behind.append(f"{resource.plural} {name}: {str(error) or 'still there'}")

    async def close_namespaces(self) -> None:
        """Remove the namespaces of stories, and wait until they are gone or have had their time."""
        names = [name for name in self._created if name[0] is api.NAMESPACES and name[1] in self._given]
        for _, name in names:
            with suppress(Refused, Unreachable):
                await self.empty(name)
        for each in names:
            with suppress(Refused, Unreachable, TimeoutError):
                await self._gone(*each)

    async def _release(self, namespace: str) -> None:
        """Take off the finalizers of what nobody serves any more, in a namespace that is ours alone."""
        for kind in (api.ROLLOUTS, api.PODS):
            for each in (await self.api.list(kind, namespace))[0]:
                if each["metadata"].get("finalizers"):
                    nothing = {"metadata": {"finalizers": None}}
                    await self.api.patch(kind, namespace, each["metadata"]["name"], nothing)

    async def _gone(self, resource: Resource, name: str) -> None:
        async with asyncio.timeout(GONE_S):
            while await self.api.find(resource, None, name) is not None:
                await asyncio.sleep(0.1)

    async def _in_use(self, definition: str) -> bool:
        """Whether somebody else began to use a definition of ours meanwhile."""
        found = await self.api.find(api.DEFINITIONS, None, definition)
        if found is None:
            return False
        spec = found["spec"]
        kind = Resource(spec["group"], spec["versions"][0]["name"], spec["names"]["plural"], "")
        return bool((await self.api.list(kind, limit=1))[0])


async def _finalize(client: Api, namespace: str) -> None:
    """Empty a namespace where no controller does."""
    for resource in (*KINDS.values(), api.TEMPLATES, api.SLICES, api.EVENTS):
        if resource.namespaced:
            with suppress(Refused):  # a kind that is not served
                for each in (await client.list(resource, namespace))[0]:
                    name = each["metadata"]["name"]
                    if each["metadata"].get("finalizers"):
                        await client.patch(resource, namespace, name, {"metadata": {"finalizers": None}})
                    await client.delete(resource, namespace, name)
    found = await client.find(api.NAMESPACES, None, namespace)
    if found is not None:
        path = api.NAMESPACES.path(None, namespace, "finalize")
        await client.call("PUT", path, body={**found, "spec": {"finalizers": []}})


async def printed(*words: str) -> list[Object]:
    """The manifests that `rollout WORDS` prints."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rollout.cli", *words, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"rollout {' '.join(words)} ended with {child.returncode}")
    return [body for body in yaml.load_all(output, yaml.CSafeLoader) if body]


def gateway_definitions() -> list[Object]:
    """The Gateway API's definitions that the operator needs, from the project's own copy."""
    text = (GATEWAY_CRDS / "httproutes.yaml").read_text()
    definition = yaml.load(text, yaml.CSafeLoader)
    # The group is protected: a real API server refuses a definition that doesn't say who approved it.
    notes = definition["metadata"].setdefault("annotations", {})
    notes.setdefault("api-approved.kubernetes.io", "unapproved, a subset of the fields")
    return [definition]


async def define(ledger: Ledger, definitions: Sequence[Object]) -> list[str]:
    """Create definitions that are not there, and wait until they are served; their names."""
    made = []
    for body in definitions:
        name = body["metadata"]["name"]
        if await ledger.api.find(api.DEFINITIONS, None, name) is None:
            await ledger.create(body)
            made.append(name)
    async with asyncio.timeout(ESTABLISHED_S):
        for name in made:
            while conditions(await ledger.api.get(api.DEFINITIONS, None, name)).get("Established") != "True":
                await asyncio.sleep(0.05)
    return made


async def account(ledger: Ledger, folder: Path, manifests: Sequence[Object]) -> tuple[str, Path]:
    """The ServiceAccount of `rollout manifests` with exactly its rights, all under names of this run.

    Its namespace, and a kubeconfig for it.
    """
    namespace = f"{ledger.run}-system"
    for body in manifests:
        if body["kind"] in _RIGHTS:
            ours = _renamed(body, ledger.run, namespace)
            if "namespace" in ours["metadata"]:
                await ledger.api.create(KINDS[ours["kind"]], ours)  # goes with its namespace
            else:
                await ledger.create(ours)
    return namespace, await _kubeconfig(ledger.api, namespace, folder / "operator.kubeconfig")


def _renamed(body: Object, run: str, namespace: str) -> Object:
    """One manifest of the installation for this run alone."""
    meta = {**body["metadata"]}
    labels = meta.get("labels", {})
    meta["labels"] = labels | ({_AGGREGATE: run} if _AGGREGATE in labels else {})
    if "namespace" in meta:
        meta["namespace"] = namespace
    else:
        meta["name"] = namespace if body["kind"] == "Namespace" else f"{run}-{meta['name']}"
    ours = {**body, "metadata": meta}
    if "roleRef" in ours and ours["roleRef"]["kind"] == "ClusterRole":
        ours["roleRef"] = {**ours["roleRef"], "name": f"{run}-{ours['roleRef']['name']}"}
    if "subjects" in ours:
        ours["subjects"] = [{**subject, "namespace": namespace} for subject in ours["subjects"]]
    if "aggregationRule" in ours:
        ours["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_AGGREGATE: run}}]}
    return ours


async def _kubeconfig(client: Api, namespace: str, path: Path) -> Path:
    """Log in as the ServiceAccount, by a TokenRequest."""
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": ACCOUNT, "namespace": namespace},
        "spec": {"expirationSeconds": TOKEN_S},
    }
    token = (await client.create(api.ACCOUNTS, request, "token"))["status"]["token"]
    of = client.configuration
    cluster: Object = {"server": client.server}
    if of.ssl_ca_cert:
        authority = Path(of.ssl_ca_cert).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    if not of.verify_ssl:
        cluster["insecure-skip-tls-verify"] = True
    if of.tls_server_name:
        cluster["tls-server-name"] = of.tls_server_name
    name = "conformance"
    path.touch(mode=0o600)
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "clusters": [{"name": name, "cluster": cluster}],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            }
        )
    )
    return path
