"""A kubeconfig from a Secret to a connection: whoever wrote it may name an address and a credential, nothing
that would run, read or trust anything of ours.
"""

import base64
import binascii
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes.aio.client import Configuration

from rollout.api.errors import Stalled
from rollout.kube.login import CONNECTIONS, proxied

_REFUSED = {
    "exec": "it would run a program: use a token or a client certificate",
    "auth-provider": "it would run code of a provider: use a token or a client certificate",
    "tokenFile": "it would read a file of the operator's: write the token itself",
    "client-key": "it would read a file of the operator's: write client-key-data",
    "client-certificate": "it would read a file of the operator's: write client-certificate-data",
    "certificate-authority": "it would read a file of the operator's: write certificate-authority-data",
    "insecure-skip-tls-verify": "anybody could answer: write certificate-authority-data",
    "proxy-url": "the operator's own proxy is used: remove it",
    "username": "password authentication is no more: use a token or a client certificate",
    "password": "password authentication is no more: use a token or a client certificate",
    "as": "the GitSource's serviceAccountName says whom to act as: remove it",
    "as-groups": "the GitSource's serviceAccountName says whom to act as: remove it",
    "as-uid": "the GitSource's serviceAccountName says whom to act as: remove it",
    "as-user-extra": "the GitSource's serviceAccountName says whom to act as: remove it",
}


@contextmanager
def configured(config: Any, allows: Callable[[str], bool]) -> Iterator[Configuration]:
    """How to reach the cluster of a kubeconfig's current context; client certificates lie in files that
    only we can read, until the context ends. `allows` tells which hosts it may point at.

    Raises:
        Stalled: it can't be used; fields are named, values never.
    """
    cluster, user = _chosen(config)
    server = str(cluster.get("server") or "")
    _check_server(server, allows)
    configuration = Configuration(host=server)
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.disable_strict_ssl_verification = True
    if "certificate-authority-data" in cluster:
        configuration.ca_cert_data = _decoded(cluster, "certificate-authority-data").decode(errors="replace")
    configuration.tls_server_name = str(cluster.get("tls-server-name") or "") or None
    configuration.client_session_kwargs = {"trust_env": proxied(server)}
    if token := user.get("token"):
        configuration.api_key = {"BearerToken": f"Bearer {token}"}
    with tempfile.TemporaryDirectory(prefix="private-") as directory:
        if "client-certificate-data" in user or "client-key-data" in user:
            certificate, key = (Path(directory) / name for name in ("tls.crt", "tls.key"))
            _write_private(certificate, _decoded(user, "client-certificate-data"))
            _write_private(key, _decoded(user, "client-key-data"))
            configuration.cert_file, configuration.key_file = str(certificate), str(key)
        elif not token:
            raise _invalid("its user has neither token nor client-certificate-data")
        yield configuration


def _chosen(config: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Cluster and user of the current context."""
    if not isinstance(config, Mapping):
        raise _invalid("it is no mapping with clusters, users and contexts")
    context = _named(config, "contexts", "context", str(config.get("current-context") or ""))
    cluster = _named(config, "clusters", "cluster", str(context.get("cluster") or ""))
    user = _named(config, "users", "user", str(context.get("user") or ""))
    for part in (cluster, user):
        for key in part:
            if key in _REFUSED:
                raise _invalid(f"it has {key!r}: {_REFUSED[key]}")
    return cluster, user


def _named(config: Mapping[str, Any], plural: str, singular: str, name: str) -> Mapping[str, Any]:
    listed = config.get(plural)
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, Mapping) and each.get("name") == name and isinstance(each.get(singular), Mapping):
            found: Mapping[str, Any] = each[singular]
            return found
    raise _invalid(f"it has no {singular} by the name that its current context gives")


def _check_server(server: str, allows: Callable[[str], bool]) -> None:
    parts = urlsplit(server)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise _invalid("its server is no https:// address")
    if not allows(parts.hostname):
        raise _invalid("its server is this machine or a link-local address")


def _decoded(part: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(str(part.get(key) or ""), validate=True)
    except binascii.Error:
        raise _invalid(f"{key} is not base64") from None


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _invalid(what: str) -> Stalled:
    return Stalled("InvalidKubeConfig", f"spec.kubeConfig: the kubeconfig can't be used: {what}")
