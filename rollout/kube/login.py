"""How we reach the API server, and as whom."""

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from rollout.api.errors import Stalled

CONNECTIONS = 0
"""No limit: every watch holds one connection; calls at once are bounded by the turns at once."""
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_HOME_CONFIG = Path("~/.kube/config").expanduser()


def own_namespace(kubeconfig: str = "") -> str:
    """The pod's namespace where we act as its ServiceAccount, else nothing."""
    if kubeconfig or os.environ.get("KUBECONFIG") or "KUBERNETES_SERVICE_HOST" not in os.environ:
        return ""
    return _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.exists() else ""


async def login(kubeconfig: str = "", context: str = "") -> Configuration:
    """Credentials from `kubeconfig`, else $KUBECONFIG, else the pod's ServiceAccount, else ~/.kube/config.

    Raises:
        Stalled: none of them is there or can be read; the message names what was looked for.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    # From Python 3.13 on its default would refuse authorities that Kubernetes itself makes and accepts.
    configuration.disable_strict_ssl_verification = True
    file = kubeconfig or os.environ.get("KUBECONFIG", "")
    try:
        if not file and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=file or str(_HOME_CONFIG),
                context=context or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (config.ConfigException, OSError, yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        # The official client lets whatever it stumbles over in a malformed file through.
        where = file or "the pod's ServiceAccount and ~/.kube/config"
        raise Stalled("NoCluster", f"no credentials for a cluster in {where}: {error}") from error
    # Where no proxy is between, aiohttp need not look for one, in a thread, before each request.
    configuration.client_session_kwargs = {"trust_env": proxied(configuration.host)}
    return configuration


def proxied(url: str) -> bool:
    """Whether the environment names a proxy for `url`."""
    parts = urlsplit(url)
    return parts.scheme in getproxies() and not proxy_bypass(parts.netloc)
