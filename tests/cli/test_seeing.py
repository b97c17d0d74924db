"""`get`, `list`, `status` on a cluster: what is printed, and the exit code."""

import json
import threading
from pathlib import Path

import pytest
import yaml
from threaded import Cluster, Run

HEALTHY = {
    "phase": "Healthy",
    "message": "v1 serves all",
    "stableRS": "6c9f7d",
    "currentPodHash": "6c9f7d",
    "observedGeneration": 1,
}


def test_get_prints_the_tree(cluster: Cluster, run: Run) -> None:
    cluster.create_rollout("tree", **HEALTHY)
    done = run("get", "tree")
    assert done.exit_code == 0
    assert done.output.splitlines() == ["tree  shop  Healthy  v1 serves all", "Stable    6c9f7d"]


def test_get_prints_the_object_as_json_and_as_yaml(cluster: Cluster, run: Run) -> None:
    cluster.create_rollout("object", **HEALTHY)
    assert json.loads(run("get", "object", "-o", "json").output)["status"]["phase"] == "Healthy"
    assert yaml.safe_load(run("get", "object", "-o", "yaml").output) == cluster.rollout("object")


def test_list_prints_a_line_a_rollout_and_the_kind_of_list_that_kubectl_does(
    cluster: Cluster, run: Run
) -> None:
    cluster.create_rollout("listed", **HEALTHY)
    lines = run("list").output.splitlines()
    assert lines[0].split()[:3] == ["NAME", "PHASE", "STEP"]
    assert any(line.split()[:2] == ["listed", "Healthy"] for line in lines)
    found = json.loads(run("list", "-A", "-o", "json").output)
    assert found["kind"] == "List"
    assert "listed" in [each["metadata"]["name"] for each in found["items"]]


def test_an_empty_namespace_is_no_error(run: Run) -> None:
    done = run("list", "-n", "default")
    assert done.exit_code == 0
    assert done.output == "No Rollouts found in namespace default.\n"


def test_a_rollout_that_is_not_there_is_a_no(run: Run) -> None:
    done = run("get", "absent")
    assert done.exit_code == 1
    assert done.output == 'error: rollout "absent" not found in namespace "shop"\n'


def test_status_of_a_healthy_one_is_a_yes(cluster: Cluster, run: Run) -> None:
    cluster.create_rollout("fine", **HEALTHY)
    done = run("status", "fine")
    assert (done.exit_code, done.output) == (0, "fine  shop  Healthy  v1 serves all\n")


def test_status_of_a_degraded_one_is_a_no_with_the_reason(cluster: Cluster, run: Run) -> None:
    cluster.create_rollout("sick", **HEALTHY | {"phase": "Degraded", "message": "errors 6.1 % against 1.0 %"})
    done = run("status", "sick")
    assert done.exit_code == 1
    assert done.output.endswith("error: sick is Degraded: errors 6.1 % against 1.0 %\n")


def test_status_believes_no_phase_of_an_older_spec(cluster: Cluster, run: Run) -> None:
    cluster.create_rollout("behind", **HEALTHY | {"observedGeneration": 0})
    done = run("status", "behind", "--timeout", "500ms")
    assert done.exit_code == 1
    assert "neither Healthy nor Degraded after 500ms" in done.output


def test_status_waits_for_the_end(cluster: Cluster, run: Run) -> None:
    cluster.create_rollout("waited", **HEALTHY | {"phase": "Progressing"})
    later = threading.Timer(0.3, lambda: cluster.say("waited", phase="Healthy"))
    later.start()
    done = run("status", "waited", "--timeout", "30s")
    later.join()
    assert done.exit_code == 0
    assert [line.split()[2] for line in done.output.splitlines()] == ["Progressing", "Healthy"]


def test_a_timeout_that_is_no_duration_is_wrong_usage(run: Run) -> None:
    assert run("status", "fine", "--timeout", "soon").exit_code == 2


@pytest.mark.parametrize(
    ("kubeconfig", "says"),
    [
        pytest.param("", "no credentials for a cluster", id="no kubeconfig"),
        pytest.param("https://127.0.0.1:1", "can't be reached", id="nobody listens"),
    ],
)
def test_a_cluster_out_of_reach_is_exit_code_3(
    kubeconfig: str, says: str, cluster: Cluster, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    monkeypatch.setenv("KUBECONFIG", str(other))
    if kubeconfig:
        other.write_text(cluster.server.kubeconfig().replace(cluster.server.url, kubeconfig))
    done = run("list")
    assert done.exit_code == 3
    assert says in done.output
    assert "Traceback" not in done.output
