"""The intents: the annotation, its binding, and the operator's answer."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from threaded import Cluster, Run

from rollout.cli import asking

STATUS = {"phase": "Progressing", "stableRS": "6c9f7d", "currentPodHash": "7d4b9c"}


def answering(cluster: Cluster, name: str, annotation: str, outcome: str) -> Callable[[], None]:
    """An operator in a few lines: it waits for the annotation, and says what became of it."""

    def answer() -> None:
        for _ in range(200):
            value = cluster.rollout(name)["metadata"].get("annotations", {}).get(annotation)
            if value is not None:
                intent = {
                    "action": annotation.partition("/")[2],
                    "value": value,
                    "revision": "7d4b9c",
                    "setAt": datetime.now(UTC).isoformat(),
                    "outcome": outcome,
                }
                cluster.say(name, intent=intent)
                return
            time.sleep(0.05)  # polling, as a person would; bounded by the range above

    return answer


def asked(cluster: Cluster, run: Run, words: tuple[str, ...], annotation: str, outcome: str = "Acted") -> Any:
    thread = threading.Thread(target=answering(cluster, words[1], annotation, outcome))
    thread.start()
    done = run(*words)
    thread.join()
    return done


@pytest.mark.parametrize(
    ("words", "annotation"),
    [
        pytest.param(("abort", "a"), "progressive.delivery/abort", id="abort"),
        pytest.param(("promote", "p"), "progressive.delivery/promote", id="promote"),
        pytest.param(
            ("promote", "f", "--full"), "progressive.delivery/promote-full", id="promote to the end"
        ),
        pytest.param(("pause", "h"), "progressive.delivery/pause", id="pause"),
        pytest.param(("resume", "r"), "progressive.delivery/resume", id="resume"),
        pytest.param(("retry", "t"), "progressive.delivery/retry", id="retry"),
    ],
)
def test_an_intent_is_an_annotation_bound_to_the_revision_that_rolls_out(
    words: tuple[str, ...], annotation: str, cluster: Cluster, run: Run
) -> None:
    cluster.create_rollout(words[1], **STATUS)
    done = asked(cluster, run, (*words[:2], "looks bad", *words[2:]), annotation)
    assert cluster.rollout(words[1])["metadata"]["annotations"] == {annotation: "for=7d4b9c: looks bad"}
    assert done.exit_code == 0
    assert done.output.endswith(f"taken for revision 7d4b9c of {words[1]}\n")


def test_an_intent_that_came_too_late_is_a_no(cluster: Cluster, run: Run) -> None:
    cluster.create_rollout("late", **STATUS)
    done = asked(cluster, run, ("promote", "late"), "progressive.delivery/promote", "Superseded")
    assert done.exit_code == 1
    assert done.output == "error: promote: it came too late: another revision or step has begun since\n"


def test_an_old_answer_to_the_same_question_is_no_answer(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ANSWER_SECONDS", 0.6)
    old = {
        "action": "abort",
        "value": "for=7d4b9c: again",
        "setAt": "2026-01-01T00:00:00Z",
        "outcome": "Acted",
    }
    cluster.create_rollout("again", **STATUS, intent=old)
    done = run("abort", "again", "again")
    assert done.exit_code == 1
    assert "no operator took it" in done.output


def test_a_rollout_that_no_operator_has_seen_can_not_be_asked(cluster: Cluster, run: Run) -> None:
    cluster.create_rollout("unseen")
    done = run("abort", "unseen")
    assert done.exit_code == 1
    assert "no operator has seen unseen yet" in done.output
    assert "annotations" not in cluster.rollout("unseen")["metadata"]
