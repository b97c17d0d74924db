"""`python -m rollout.sandbox`: the embedded cluster until Ctrl-C."""

import sys

from rollout.sandbox.cluster import Sandbox, serve


def announce(sandbox: Sandbox) -> None:
    """Say how to use it."""
    sys.stdout.write(
        f"export KUBECONFIG={sandbox.kubeconfig}\n"
        f"proxy       {sandbox.proxy_url}\n"
        f"Prometheus  {sandbox.prometheus_url}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    serve(announce)
