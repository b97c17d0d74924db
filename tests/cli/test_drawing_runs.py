"""`rollout get --plot`: the evidence of a run on a cluster, as far as its status records it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from threaded import Cluster, Run

from analysis.course import Sight
from rollout.measure.course import NO_LOOKS
from rollout.sandbox.apiserver.resource import Resource

RUNS = Resource("progressive.delivery", "v1alpha1", "analysisruns")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def course(steps: int) -> dict[str, Any]:
    """A look every 5 s, for a minute a step: evidence of harm falls, that of safety rises anew."""
    noted = NO_LOOKS
    for number in range(12 * steps):
        step, place = divmod(number, 12)
        ratio: dict[str, tuple[float | None, float, float]] = {"errors": (1.1, 1 / (2 + step), 2.0 + step)}
        noted = noted.noted(
            START + timedelta(seconds=5 * number),
            Sight(0.0, str(2 * step), (5, 25, 50)[step] / 100, -number / 20, place / 4, ratio),
        )
    return noted.to_json()


def create_run(cluster: Cluster, name: str, **status: Any) -> None:
    arms = {"stable": 'version="v1"', "canary": 'version="v2"'}
    compare = {"proportion": {"bad": 'r{code="500"}', "total": "r"}, "arms": arms}
    provider = {"prometheus": {"address": "http://prometheus:9090"}}
    body = {
        "apiVersion": "progressive.delivery/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": name},
        "spec": {
            "metrics": [{"name": "errors", "compare": compare, "provider": provider}],
            "canary": "7d4b9c",
            "stable": "6c9f7d",
        },
    }
    cluster.do(cluster.local.create(RUNS, "shop", body))
    cluster.do(cluster.local.patch(RUNS, "shop", name, {"status": status}, subresource="status"))


def create(cluster: Cluster, name: str, **status: Any) -> None:
    """A Rollout under way, and its run."""
    background = {"name": f"{name}-run", "status": "Running"}
    canary = {"currentBackgroundAnalysisRunStatus": background}
    cluster.create_rollout(name, phase="Progressing", canary=canary)
    create_run(cluster, f"{name}-run", **status)


EVIDENCE = {
    "metric": "errors",
    "verdict": "Undecided",
    "canary": {"bad": 5, "total": 500},
    "stable": {"bad": 90, "total": 9000},
}


def test_the_last_run_is_drawn_beside_the_tree(cluster: Cluster, run: Run, tmp_path: Path) -> None:
    create(cluster, "drawn", phase="Running", course=course(3), evidence=[EVIDENCE])
    done = run("get", "drawn", "--plot", str(tmp_path / "a.svg"))
    assert done.exit_code == 0, done.output
    assert done.output.startswith("drawn  shop  Progressing")
    text = (tmp_path / "a.svg").read_text()
    for words in (
        "Canary 7d4b9c against 6c9f7d",
        "since 2026-03-01 12:00:00 UTC",
        "under way for 2.9 min",
        "at 25 %",
        "100: roll back",
        "20: the step may pass",
        "tolerated: × 1.07",
        "seconds since the canary began",
    ):
        assert words in text, words


def test_an_earlier_run_is_drawn_by_its_name_and_tells_its_end(
    cluster: Cluster, run: Run, tmp_path: Path
) -> None:
    create(cluster, "ended", phase="Running", course=course(1))
    create_run(cluster, "earlier", phase="Failed", course=course(2), evidence=[EVIDENCE])
    done = run("get", "ended", "--plot", str(tmp_path / "a.png"), "--run", "earlier")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert run("get", "ended", "--plot", str(tmp_path / "a.svg"), "--run", "earlier").exit_code == 0
    assert "rolled back after 1.9 min" in (tmp_path / "a.svg").read_text()


@pytest.fixture(scope="module")
def blank(cluster: Cluster) -> None:
    create(cluster, "blank", phase="Running")
    cluster.create_rollout("unjudged", phase="Healthy")


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        pytest.param(("blank",), 1, "has recorded no evidence yet", id="a run without a look"),
        pytest.param(("unjudged",), 1, "was not judged yet", id="no run"),
        pytest.param(("blank", "--run", "gone"), 1, 'AnalysisRun "gone" not found', id="a run that is gone"),
        pytest.param(("blank", "--watch"), 2, "leave out --watch", id="a picture stands still"),
    ],
)
def test_what_can_not_be_drawn_says_why(
    words: tuple[str, ...], exit_code: int, said: str, run: Run, tmp_path: Path
) -> None:
    done = run("get", *words, "--plot", str(tmp_path / "a.svg"))
    assert done.exit_code == exit_code, done.output
    assert said in done.output
