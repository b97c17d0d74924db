"""How one operator runs: its environment and its flags, read once into one value."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from rollout.api.base import parse_duration
from rollout.api.errors import Stalled
from rollout.api.meta import ARGO_GROUP, GROUP

PREFIX = "ROLLOUT_"
MOST_SHARDS = 64
"""Each is a Lease that is written every two seconds."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting; each is set by the flag of its name or by `ROLLOUT_<NAME>` in the environment."""

    namespace: str = ""
    """The only namespace to look at; empty for all."""
    api_group: Literal["progressive.delivery", "argoproj.io"] = "progressive.delivery"
    """The group whose Rollouts are served."""
    kubeconfig: str = ""
    """A file; empty for $KUBECONFIG, the pod's ServiceAccount or ~/.kube/config, in this order."""
    context: str = ""
    """The kubeconfig's context; empty for its current one."""
    metrics_host: str = "0.0.0.0"  # noqa: S104 -- Prometheus and the kubelet's probes come from outside the pod
    metrics_port: int = 8080
    """For /metrics, /healthz and /readyz; 0 for any free port."""
    log_format: Literal["auto", "json", "plain"] = "auto"
    """`auto`: JSON in a cluster, plain elsewhere."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    turns_at_once: int = 64
    """Rollouts worked on at the same time."""
    api_timeout: timedelta = timedelta(seconds=10)
    """The longest a call to the API server may take."""
    resync: timedelta = timedelta(minutes=5)
    """Every Rollout gets a turn at least so often."""
    min_settle: timedelta = timedelta(seconds=2)
    """How long a Service's selector and endpoints stand before traffic moves to it."""
    prometheus: str = ""
    """The Prometheus of metrics that name none."""
    prometheus_allowed: tuple[str, ...] = ()
    """URL prefixes that a template may name; empty allows any."""
    measure_lag: timedelta = timedelta(0)
    """How far behind now samples are read; for a storage that is more than two scrapes late."""
    measurements_at_once: int = 8
    """Queries to Prometheus at the same time."""
    git_directory: str = ""
    """Where mirrors are kept; empty for a temporary directory."""
    git_schemes: tuple[str, ...] = ("https", "ssh")
    """URL schemes that a GitSource may use."""
    webhooks: str = ""
    """Where webhooks of Git servers are received, such as 0.0.0.0:8081; empty: nowhere."""
    admission: str = ""
    """Where the API server asks about manifests that are applied, such as 0.0.0.0:8443; empty: nowhere."""
    admission_certificate: str = "/etc/rollout/admission"
    """The folder of the certificate that it is answered by: tls.crt and tls.key."""
    git_polls_at_once: int = 8
    """Repositories fetched at the same time."""
    default_service_account: str = ""
    """Whom a GitSource that names no serviceAccountName acts as; empty for the operator itself."""
    cluster: str = ""
    """What this cluster is called in commit statuses and notes, where several follow one repository."""
    shards: int = 1
    """Parts that the Rollouts and GitSources are spread over; each is worked on by one operator at a time."""
    lease_namespace: str = ""
    """Where the Leases lie; empty for the pod's own namespace, outside a cluster for rollout-system."""
    lease_name: str = ""
    """Those who take turns name the same; empty for `rollout`, or `rollout.<namespace>` for one namespace."""
    identity: str = ""
    """Who we are on a Lease: never the same for two at once; empty for the host's name and a random word."""
    lease_duration: timedelta = timedelta(seconds=15)
    """Others wait so long for a leader that says nothing before they take over."""
    renew_deadline: timedelta = timedelta(seconds=10)
    """A leader that could not renew its Lease for so long writes nothing more."""
    retry_period: timedelta = timedelta(seconds=2)
    """How often a leader renews its Lease."""

    @property
    def watched(self) -> str | None:
        """The namespace for lists and watches: None for all."""
        return self.namespace or None

    @property
    def lease(self) -> str:
        """The name of our Leases, before the number of a shard."""
        return self.lease_name or (f"rollout.{self.namespace}" if self.namespace else "rollout")

    def allows_prometheus(self, url: str) -> bool:
        """Whether a template may name it: same scheme, host and port as an allowed one, at or below its
        path.
        """
        return not self.prometheus_allowed or any(_within(url, base) for base in self.prometheus_allowed)


def read(environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """Settings from the environment (the process's own where None), overridden by each flag that is not None.

    Raises:
        Stalled: a variable holds what its setting can't be; the message names it and what it can be.
    """
    given = os.environ if environment is None else environment
    named = {field.name: PREFIX + field.name.upper() for field in fields(Settings)}
    chosen: dict[str, Any] = {
        name: _parsed(variable, given[variable], _DEFAULTS[name])
        for name, variable in named.items()
        if given.get(variable)
    }
    chosen |= {name: value for name, value in flags.items() if value is not None}
    settings = replace(Settings(), **chosen)
    _check("api_group", settings.api_group, (GROUP, ARGO_GROUP))
    _check("log_format", settings.log_format, ("auto", "json", "plain"))
    _check("log_level", settings.log_level, ("debug", "info", "warning", "error"))
    _check_lease(settings)
    _check_place("webhooks", settings.webhooks, "0.0.0.0:8081")
    _check_place("admission", settings.admission, "0.0.0.0:8443")
    return settings


def _within(url: str, base: str) -> bool:
    given, allowed = urlsplit(url), urlsplit(base)
    at, below = given.path.rstrip("/"), allowed.path.rstrip("/")
    same = (given.scheme, given.netloc) == (allowed.scheme, allowed.netloc)
    return same and (at == below or at.startswith(below + "/")) and ".." not in unquote(at)


def _parsed(variable: str, text: str, default: object) -> object:
    parsers: Mapping[type, Callable[[str], object]] = {
        int: _count,
        timedelta: parse_duration,
        tuple: lambda value: tuple(part for part in value.replace(",", " ").split() if part),
        str: str,
    }
    try:
        return parsers[type(default)](text)
    except ValueError as error:
        raise Stalled("InvalidSettings", f"{variable}={text!r}: {error}") from error


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("write a whole number, 0 or more")
    return int(text)


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        variable = PREFIX + name.upper()
        raise Stalled("InvalidSettings", f"{variable}={value!r}: write one of {', '.join(allowed)}")


def _check_place(name: str, place: str, example: str) -> None:
    if place and not re.fullmatch(r"[^ ]*:\d{1,5}", place):
        message = f"{PREFIX}{name.upper()}={place!r}: write a host and a port, such as {example}"
        raise Stalled("InvalidSettings", message)


def _check_lease(settings: Settings) -> None:
    """A leader has to stop before others begin, and to have tried to renew more than once by then."""
    lease, deadline, retry = settings.lease_duration, settings.renew_deadline, settings.retry_period
    if not timedelta(0) < 2 * retry <= deadline < lease:
        raise Stalled(
            "InvalidSettings",
            f"{PREFIX}LEASE_DURATION={_text(lease)}, {PREFIX}RENEW_DEADLINE={_text(deadline)}, "
            f"{PREFIX}RETRY_PERIOD={_text(retry)}: the lease must be longer than the deadline, and the "
            "deadline at least twice the retry period (such as 15s, 10s and 2s)",
        )
    if not 1 <= settings.shards <= MOST_SHARDS:
        variable = f"{PREFIX}SHARDS={settings.shards}"
        raise Stalled("InvalidSettings", f"{variable}: write a number from 1 to {MOST_SHARDS}")


def _text(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}s"


_DEFAULTS: Mapping[str, object] = {field.name: getattr(Settings(), field.name) for field in fields(Settings)}
