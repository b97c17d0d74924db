"""`make conformance` on clusters that it knows nothing of but a kubeconfig."""

import ast
import json
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from foreign_cluster import ROOT, assets, conformance, holdings, kubectl, sandbox, started

SOURCES = sorted((ROOT / "conformance").rglob("*.py"))
SCRIPTED_ONLY = {"canary-without-ready-pods", "canary-that-crashes", "canary-that-never-gets-ready"}
ON_BARE = ("promotion", "canary-that-crashes", "deletion", "namespace-deletion", "applied-again")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_knows_nothing_of_the_operator_and_the_sandbox(path: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
    assert not [name for name in imported if name.split(".")[0] in {"", "rollout", "analysis", "tests"}]


def test_without_a_cluster_it_is_skipped_and_says_why() -> None:
    code, output = conformance()
    assert code == 0
    assert output.startswith("skipped: set KUBECONFIG, or KUBEBUILDER_ASSETS")


def test_a_cluster_that_does_not_answer_is_exit_code_3(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, output = conformance(KUBECONFIG=str(nobody_at(port, tmp_path)))
    assert code == 3, output
    assert "the cluster can't be reached" in output


def nobody_at(port: int, folder: Path) -> Path:
    """A kubeconfig for a server that is not there."""
    cluster = {"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
    told = {"clusters": [cluster], "users": [{"name": "x", "user": {}}], "contexts": [context]}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "x", **told}))
    return path


def test_a_story_that_there_is_not_is_wrong_usage() -> None:
    code, output = conformance("--only=a-fairy-tale")
    assert code == 2
    assert "no such story: a-fairy-tale" in output


def test_a_folder_without_programs_is_named(tmp_path: Path) -> None:
    code, output = conformance(KUBEBUILDER_ASSETS=str(tmp_path))
    assert code == 1
    assert "no etcd and no kube-apiserver" in output


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with sandbox(tmp_path_factory.mktemp("foreign")) as kubeconfig:
        yield kubeconfig


@dataclass(frozen=True, slots=True)
class Run:
    """A run under way, and where its report will be."""

    child: "subprocess.Popen[str]"
    report: Path
    before: Sequence[str] = ()

    def ended(self) -> dict[str, Any]:
        """The report of a run that passed."""
        output, _ = self.child.communicate()
        assert self.child.returncode == 0, output
        told: dict[str, Any] = json.loads(self.report.read_text())
        return told


@pytest.fixture(scope="module")
def runs(foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """All stories on somebody else's cluster, and beside it some on a bare control plane.

    Side by side, since they mostly wait.
    """
    home, before = tmp_path_factory.mktemp("runs"), holdings(foreign)
    bare = (f"--json={home / 'bare.json'}", *(f"--only={name}" for name in ON_BARE))
    whole = ("--at-once=40", f"--json={home / 'whole.json'}")
    begun = {
        "whole": Run(started(*whole, KUBECONFIG=str(foreign)), home / "whole.json", before),
        "bare": Run(started(*bare, KUBEBUILDER_ASSETS=str(assets(home / "assets"))), home / "bare.json"),
    }
    yield begun
    for run in begun.values():
        if run.child.poll() is None:
            run.child.send_signal(signal.SIGINT)
            run.child.communicate()


def test_stand_ins_play_the_controllers_of_a_bare_control_plane(runs: dict[str, Run]) -> None:
    told = runs["bare"].ended()
    results = {each["name"]: each["result"] for each in told["stories"]}
    assert (told["pods"], told["controllers"]) == ("scripted", False)
    assert results == dict.fromkeys(ON_BARE, "passed") | {"namespace-deletion": "left out"}


def test_all_stories_pass_on_somebody_elses_cluster_which_is_left_as_it_was(
    foreign: Path, runs: dict[str, Run]
) -> None:
    told = runs["whole"].ended()
    results = {each["name"]: each["result"] for each in told["stories"]}
    assert (told["pods"], told["controllers"], told["leftBehind"]) == ("real", True, [])
    assert {name for name, result in results.items() if result != "passed"} == SCRIPTED_ONLY
    assert holdings(foreign) == runs["whole"].before


def test_rights_that_are_missing_are_named_before_anything_is_written(foreign: Path, tmp_path: Path) -> None:
    kubectl(foreign, "create", "serviceaccount", "nobody", "--namespace=default")
    token = kubectl(foreign, "create", "token", "nobody", "--namespace=default").strip()
    told = yaml.safe_load(foreign.read_text())
    told["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(told))
    before = holdings(foreign)
    code, output = conformance(KUBECONFIG=str(path))
    assert code == 1, output
    assert "this user may not: create namespaces, delete namespaces" in output
    assert set(holdings(foreign)) <= set(before)  # what earlier runs are still deleting may go


def test_ctrl_c_leaves_nothing_behind(foreign: Path) -> None:
    before = holdings(foreign)
    child = started("--only=promotion", "--only=abort-and-retry", KUBECONFIG=str(foreign))
    assert child.stdout is not None
    told = []
    while not told or "Pods:" not in told[-1]:
        told.append(child.stdout.readline())
        assert told[-1], told
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=90)
    assert child.returncode == 130, output
    assert set(holdings(foreign)) <= set(before), output


def test_it_does_not_serve_other_peoples_rollouts_unasked(foreign: Path) -> None:
    kubectl(foreign, "apply", "--server-side", f"--filename={ROOT / 'crds' / 'rollouts.yaml'}")
    kubectl(foreign, "wait", "--for=condition=Established", "crd/rollouts.progressive.delivery")
    theirs = yaml.safe_load((ROOT / "crds" / "examples" / "rollout.yaml").read_text().split("\n---\n")[0])
    kubectl(foreign, "create", "namespace", theirs["metadata"]["namespace"])
    kubectl(foreign, "create", "--filename=-", given=yaml.safe_dump(theirs))
    before = holdings(foreign)
    code, output = conformance(KUBECONFIG=str(foreign))
    assert code == 1, output
    assert f"there are Rollouts in {theirs['metadata']['namespace']}" in output
    assert set(holdings(foreign)) <= set(before)
