"""What just happened, replayed on the samples of the very Prometheus that it was judged by, and drawn."""

import json
from datetime import UTC, datetime
from typing import Any

from e2e_stage import NAME, Shop
from typer.testing import CliRunner

from rollout.cli.app import app

Told = dict[str, Any]


def replayed(shop: Shop, canary: str) -> Told:
    """What `rollout backtest` tells of the last attempt, whose version was `canary`."""
    arms = ("--canary", canary, "--stable", shop.status["stableRS"])
    span = ("--from", shop.status["rolloutSince"], "--to", datetime.now(UTC).isoformat())
    server = ("--prometheus", shop.stage.sandbox.prometheus_url)
    path = str(shop.repository.clone / "shop.yaml")
    done = CliRunner().invoke(app, ["backtest", path, *server, *span, *arms, "-o", "json"])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["rollouts"]
    return dict(told)


def drawn(shop: Shop) -> str:
    """The picture of the last run, as `rollout get --plot` draws it from the cluster."""
    file = shop.home / "evidence.svg"
    kubeconfig = ("--kubeconfig", str(shop.stage.sandbox.kubeconfig))
    words = ["get", NAME, "-n", shop.namespace, "--plot", str(file), *kubeconfig]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return file.read_text()
