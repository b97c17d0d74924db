"""Secrets that a GitSource names: read when they are needed, kept nowhere."""

import base64
from collections.abc import Mapping

from rollout.api.errors import Stalled
from rollout.api.gitsource import GitSource
from rollout.kube import kinds
from rollout.kube.client import Kube
from rollout.kube.errors import Forbidden, NotFound
from rollout.manifests import SECRETS_BINDING


async def read_secret(kube: Kube, namespace: str, name: str, field: str) -> Mapping[str, bytes]:
    """The decoded data of the Secret that a field names.

    Raises `Stalled` with the reason `SecretNotFound` or `SecretForbidden`, and what the API server's client
    does.
    """
    try:
        secret = await kube.get(kinds.SECRETS, namespace, name)
    except NotFound:
        message = f"{field}: the Secret {name!r} does not exist; create it"
        raise Stalled("SecretNotFound", message) from None
    except Forbidden:
        message = (
            f"{field}: the operator may not read Secrets in the namespace {namespace!r}: the "
            f"RoleBinding {SECRETS_BINDING!r} is missing there; an administrator prints it by "
            f"`rollout manifests --secrets-in {namespace}` and applies it"
        )
        raise Stalled("SecretForbidden", message) from None
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


async def signing_key(kube: Kube, source: GitSource) -> bytes:
    """What a GitSource's commits are signed by; b'' where they are not. Raises as `read_secret`."""
    reference = source.spec.write_back.signing_key_ref
    if reference is None:
        return b""
    field = "spec.writeBack.signingKeyRef.name"
    data = await read_secret(kube, source.metadata.namespace, reference.name, field)
    return data.get("identity", b"no key")
