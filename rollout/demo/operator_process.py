"""The operator as a process of its own, with the ServiceAccount and the very roles that `deploy/` gives."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from rollout.manifests import rendered
from rollout.sandbox import processes

SERVICE_ACCOUNT = "system:serviceaccount:rollout-system:rollout"
GROUPS = ("system:serviceaccounts", "system:serviceaccounts:rollout-system")
_RIGHTS = {"Namespace", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


def rights() -> Iterator[dict[str, Any]]:
    """The part of the installation that gives rights: all of it but the Deployment and its Service."""
    for body in yaml.safe_load_all(rendered()):
        if body["kind"] in _RIGHTS:
            yield body


def environment(kubeconfig: Path, home: Path, prometheus: Iterable[str]) -> dict[str, str]:
    """Settings on the sandbox: repositories may lie on this disk, ports are any that are free."""
    return {
        "KUBECONFIG": str(kubeconfig),
        "ROLLOUT_GIT_SCHEMES": "file",
        "ROLLOUT_GIT_DIRECTORY": str(home / "mirrors"),
        "ROLLOUT_METRICS_HOST": "127.0.0.1",
        "ROLLOUT_METRICS_PORT": "0",
        "ROLLOUT_PROMETHEUS_ALLOWED": " ".join(prometheus),
    }


async def start(kubeconfig: Path, home: Path, prometheus: str) -> processes.Child:
    """Start it; its log is `operator.log` in `home`."""
    return await processes.start(
        "operator",
        [sys.executable, "-m", "rollout.cli", "operator"],
        log=home / "operator.log",
        env=environment(kubeconfig, home, [prometheus]),
    )
