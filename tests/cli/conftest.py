"""The command line on the embedded API server: a real cluster as far as commands can tell."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from threaded import CRDS, NAMESPACES, Cluster, Run
from typer.testing import CliRunner

from rollout.api.crd import all_crds
from rollout.cli.app import app


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    for crd in all_crds().values():
        made.do(made.local.create(CRDS, None, crd))
    made.do(made.local.create(NAMESPACES, None, {"metadata": {"name": "shop"}}))
    yield made
    made.close()


@pytest.fixture
def run(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line with the cluster's kubeconfig, whose context names the namespace `shop`."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.server.kubeconfig(namespace="shop"))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return lambda *words: CliRunner().invoke(app, list(words))
