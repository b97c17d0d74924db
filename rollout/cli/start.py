"""`operator`, `sandbox`, `demo`: what runs until it is done or stopped."""

from typing import Annotated

import typer

from rollout.api.errors import Stalled
from rollout.api.meta import GROUP
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.options import Context, Kubeconfig

Only = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Serve this namespace only; default: all.", show_default=False),
]
ApiGroup = Annotated[str, typer.Option("--api-group", help="Serve Rollouts of this API group.")]
Shards = Annotated[int, typer.Option("--shards", min=1, help="Share the Rollouts among so many operators.")]
MetricsPort = Annotated[
    int | None,
    typer.Option("--metrics-port", help="For /metrics, /healthz, /readyz; 0: any free.", show_default=False),
]
LogLevel = Annotated[
    str | None, typer.Option("--log-level", help="debug, info, warning or error.", show_default=False)
]
LogFormat = Annotated[
    str | None, typer.Option("--log-format", help="json, plain or auto.", show_default=False)
]


def operator(
    namespace: Only = None,
    api_group: ApiGroup = GROUP,
    shards: Shards = 1,
    metrics_port: MetricsPort = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run the controller. Every other setting is read from ROLLOUT_... in the environment."""
    if api_group != GROUP:
        raise Failure(f"--api-group {api_group} is not supported yet; use {GROUP}", ExitCode.USAGE)
    if shards != 1:
        raise Failure("--shards above 1 is not supported yet: run one operator", ExitCode.USAGE)
    from rollout import operator as room  # here: no other command pays for this import
    from rollout import settings

    try:
        chosen = settings.read(
            namespace=namespace,
            metrics_port=metrics_port,
            log_level=log_level,
            log_format=log_format,
            context=context,
            kubeconfig=str(kubeconfig) if kubeconfig else None,
        )
    except Stalled as error:
        raise Failure(str(error), ExitCode.USAGE) from error
    try:
        room.run(chosen)
    except Stalled as error:
        raise Failure(str(error), ExitCode.UNREACHABLE) from error
