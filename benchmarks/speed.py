"""What a turn and a revision cost, as ratios to what can't be done without, timed side by side."""

import json
import timeit
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import yaml

from rollout.api.status import RolloutStatus
from rollout.git.manifests import Parser
from rollout.git.revision import Blob
from rollout.plan.evidence import NO_EVIDENCE
from rollout.plan.observed import Observed
from rollout.plan.planner import plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANIFESTS = 200


def rows() -> Iterator[dict[str, float | str]]:
    """(what, ratio) pairs; below 1 is cheaper than the measure beside it."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "data": {f"key-{number}": "value " * 5 for number in range(40)},
    }
    texts = [
        yaml.safe_dump({**manifest, "metadata": {"name": f"web-{number}"}}).encode()
        for number in range(MANIFESTS)
    ]
    blobs = [Blob(f"{number}.yaml", f"{number:040x}", text) for number, text in enumerate(texts)]
    warm = Parser()
    warm.parse(blobs, "shop")
    bare = _seconds(lambda: [yaml.load(text, yaml.CSafeLoader) for text in texts])
    yield _row("parse a revision / libyaml alone", _seconds(lambda: Parser().parse(blobs, "shop")), bare)
    yield _row("parse it unchanged / libyaml alone", _seconds(lambda: warm.parse(blobs, "shop")), bare)
    observed = Observed("shop", "web", "u", 1, "1", RolloutStatus())
    written = json.dumps(RolloutStatus().manifest())
    encode = _seconds(lambda: RolloutStatus.model_validate(json.loads(written)).manifest(), 200)
    yield _row(
        "plan a turn / read and write its status",
        _seconds(lambda: plan(observed, NO_EVIDENCE, NOW), 200),
        encode,
    )


def _seconds(work: Callable[[], object], number: int = 3) -> float:
    return min(timeit.repeat(work, number=number, repeat=3)) / number


def _row(what: str, one: float, other: float) -> dict[str, float | str]:
    return {"what": what, "ratio": one / other}
