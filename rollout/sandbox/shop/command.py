"""The command line that starts the shop for a behaviour: how the kubelet turns an image into a process."""

import sys
from pathlib import Path

from rollout.sandbox.shop.images import Behaviour

_APP = Path(__file__).with_name("app.py")


def shop_command(does: Behaviour, listen: str, pod: str = "", pod_hash: str = "") -> list[str]:
    """Return argv of a shop that listens on `listen` ("address:port").

    The script runs isolated and without site packages: it needs none, and starts twice as fast.
    """
    flags = [f"--listen={listen}", f"--version={does.version}", f"--pod={pod}", f"--pod-hash={pod_hash}"]
    flags += [f"--error-rate={does.error_rate}", f"--latency-s={does.latency_s}"]
    flags += ["--crash"] if does.crashes else []
    flags += [] if does.ready else ["--never-ready"]
    return [sys.executable, "-I", "-S", str(_APP), *flags]
