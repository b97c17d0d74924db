"""Where a GitSource is applied and as whom; it is refused rather than applied as somebody else."""

import hashlib
import ssl
from dataclasses import dataclass

from rollout.api.errors import Stalled
from rollout.api.gitsource import GitSource
from rollout.git.documents import Malformed, parse_documents
from rollout.git.remote import is_local
from rollout.gitops.applying import Applier, Exclusive
from rollout.gitops.secrets import read_secret
from rollout.gitops.trying import Trier, Users, nobody
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.discovery import Discovery
from rollout.kube.errors import Forbidden, NotFound
from rollout.kube.kubeconfig import configured
from rollout.kube.transport import Guard, OnRequest


@dataclass(frozen=True, slots=True)
class Rules:
    """What the administrator of the operator decides about whom it acts as, and where."""

    default_account: str = ""
    """The ServiceAccount, in its namespace, of a GitSource that names none; empty: the operator's own."""
    home: str = "rollout-system"
    """Whose GitSources may hold what is not a tenant's: cluster-scoped kinds and GitSources."""
    local_hosts: bool = False
    """Whether a kubeconfig may point at this machine."""


@dataclass(slots=True)
class _Remote:
    digest: str
    kube: Kube
    discovery: Discovery


class Clusters:
    """Connections to the clusters that GitSources are applied to."""

    def __init__(
        self,
        kube: Kube,
        exclusive: Exclusive,
        rules: Rules | None = None,
        guard: Guard | None = None,
        users: Users = nobody,
        on_request: OnRequest | None = None,
    ) -> None:
        self.rules = rules or Rules()
        self._kube = kube
        self._discovery = Discovery(kube)
        self._exclusive = exclusive
        self._users = users
        self._guard = guard
        self._on_request = on_request
        self._remotes: dict[tuple[str, str, str], _Remote] = {}

    async def applier(self, source: GitSource) -> Applier:
        """Who applies a GitSource.

        Raises:
            Stalled: it names an account or a cluster that can't be used.
            Retry: the API server can't be reached.
        """
        own, discovery = await self._cluster(source)
        namespace = source.metadata.namespace
        account = source.spec.service_account_name or self.rules.default_account
        if not account:
            return Applier(Trier(own, own, discovery, self._users), self._exclusive)
        await _check(own, namespace, account)
        tenant = own.acting_as(f"system:serviceaccount:{namespace}:{account}")
        return Applier(Trier(tenant, own, discovery, self._users), self._exclusive)

    async def close(self) -> None:
        """Close the connections to other clusters."""
        for remote in self._remotes.values():
            await remote.kube.close()
        self._remotes.clear()

    async def _cluster(self, source: GitSource) -> tuple[Kube, Discovery]:
        if source.spec.kube_config is None:
            return self._kube, self._discovery
        reference, namespace = source.spec.kube_config.secret_ref, source.metadata.namespace
        field = "spec.kubeConfig.secretRef.name"
        held = await read_secret(self._kube, namespace, reference.name, field)
        if reference.key not in held:
            message = f"spec.kubeConfig.secretRef.key: the Secret has no {reference.key!r}: add it"
            raise Stalled("InvalidKubeConfig", message)
        data = held[reference.key]
        key, digest = (namespace, reference.name, reference.key), hashlib.sha256(data).hexdigest()
        known = self._remotes.get(key)
        if known is None or known.digest != digest:
            kube = self._connected(data)
            if known is not None:
                await known.kube.close()
            known = self._remotes[key] = _Remote(digest, kube, Discovery(kube))
        return known.kube, known.discovery

    def _allows(self, host: str) -> bool:
        return self.rules.local_hosts or not is_local(host)

    def _connected(self, data: bytes) -> Kube:
        try:
            documents = parse_documents(data)
            config = documents[0].body if documents else None
            with configured(config, self._allows) as configuration:
                return Kube(configuration, guard=self._guard, on_request=self._on_request)
        except Malformed as error:
            message = f"spec.kubeConfig: line {error.position.line}: {error.message}"
            raise Stalled("InvalidKubeConfig", message) from None
        except ssl.SSLError as error:
            message = f"spec.kubeConfig: its certificates can't be used: {error.reason or 'not PEM'}"
            raise Stalled("InvalidKubeConfig", message) from None


async def _check(kube: Kube, namespace: str, account: str) -> None:
    """Whether the account is there: roles may be bound to one that is not, or no longer."""
    try:
        await kube.get(kinds.SERVICE_ACCOUNTS, namespace, account)
    except NotFound:
        message = f"spec.serviceAccountName: the ServiceAccount {account!r} does not exist; create it"
        raise Stalled("ServiceAccountNotFound", message) from None
    except Forbidden:
        message = (
            f"spec.serviceAccountName: the operator may not act as {account!r} in the namespace "
            f"{namespace!r}; an administrator prints what is missing by "
            f"`rollout manifests --tenant {namespace} --service-account {account}` and applies it"
        )
        raise Stalled("ServiceAccountForbidden", message) from None
