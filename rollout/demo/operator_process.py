"""The operator as a process of its own, with the ServiceAccount and the very roles that `deploy/` gives."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rollout.manifests import rendered
from rollout.sandbox import processes
from rollout.sandbox.cluster import Sandbox

SERVICE_ACCOUNT = ("rollout-system", "rollout")
_RIGHTS = {"Namespace", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


def rights() -> Iterator[dict[str, Any]]:
    """The part of the installation that gives rights: all of it but the Deployment and its Service."""
    for body in yaml.safe_load_all(rendered()):
        if body["kind"] in _RIGHTS:
            yield body


def environment(kubeconfig: Path, home: Path, prometheus: str) -> dict[str, str]:
    """Settings on the sandbox: repositories may lie on this disk, ports are any that are free."""
    return {
        "KUBECONFIG": str(kubeconfig),
        "ROLLOUT_GIT_SCHEMES": "file",
        "ROLLOUT_GIT_DIRECTORY": str(home / "mirrors"),
        "ROLLOUT_METRICS_HOST": "127.0.0.1",
        "ROLLOUT_METRICS_PORT": "0",
        "ROLLOUT_PROMETHEUS_ALLOWED": prometheus,
        # Who is started again here is who was killed here, as a container is in its pod: nobody waits for it.
        "ROLLOUT_IDENTITY": f"operator@{home}",
    }


async def start(sandbox: Sandbox, home: Path) -> processes.Child:
    """Start it on a sandbox that has its rights; its log is `operator.log` in `home`."""
    return await processes.start(
        "operator",
        [sys.executable, "-m", "rollout.cli", "operator"],
        log=home / "operator.log",
        env=environment(sandbox.kubeconfig_for(*SERVICE_ACCOUNT), home, sandbox.prometheus_url),
    )
