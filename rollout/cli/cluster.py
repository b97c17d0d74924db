"""The cluster as the commands ask it: a few reads and one patch, and every refusal as a `Failure`."""

import os
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kubernetes.aio import config

from rollout.api.errors import Retry, Stalled
from rollout.cli.failure import ExitCode, Failure
from rollout.kube.client import Kube
from rollout.kube.errors import Forbidden, NotFound, NotServed, Unavailable
from rollout.kube.kinds import ANALYSIS_RUNS, GIT_SOURCES, REPLICA_SETS, ROLLOUTS
from rollout.kube.login import login

FIELD_MANAGER = "rollout-cli"
DEFAULT_NAMESPACE = "default"

Object = Mapping[str, Any]
Answer = TypeVar("Answer")


class Cluster:
    """One API server, as one user, with the namespace that is meant.

    Every method raises `Failure`: NO where an object is not there, UNREACHABLE where the server is not there
    or refuses us.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self.namespace = namespace

    async def rollout(self, name: str) -> Object:
        """One Rollout."""
        return await self._asked(self._kube.get(ROLLOUTS, self.namespace, name), name)

    async def rollouts(self, *, everywhere: bool = False) -> tuple[Object, ...]:
        """All Rollouts of the namespace, or of all namespaces."""
        asked = self._kube.list(ROLLOUTS, None if everywhere else self.namespace)
        return (await self._asked(asked)).items

    async def replica_sets(self) -> tuple[Object, ...]:
        """The ReplicaSets of the namespace; none where they can't be had: they only adorn the picture."""
        try:
            return (await self._kube.list(REPLICA_SETS, self.namespace)).items
        except (Retry, Stalled):
            return ()

    async def analysis_run(self, name: str) -> Object:
        """One AnalysisRun."""
        with failures(f'AnalysisRun "{name}" not found in namespace "{self.namespace}"'):
            return await self._kube.get(ANALYSIS_RUNS, self.namespace, name)

    async def source(self, name: str) -> Object:
        """One GitSource."""
        return await self._found(self._kube.get(GIT_SOURCES, self.namespace, name), "gitsource", name)

    async def sources(self, *, everywhere: bool = False) -> tuple[Object, ...]:
        """All GitSources of the namespace, or of all namespaces."""
        asked = self._kube.list(GIT_SOURCES, None if everywhere else self.namespace)
        return (await self._asked(asked)).items

    async def change_source(self, name: str, body: dict[str, Any]) -> Object:
        """Merge something into a GitSource."""
        patch = self._kube.merge_patch(GIT_SOURCES, self.namespace, name, body, manager=FIELD_MANAGER)
        return await self._found(patch, "gitsource", name)

    @property
    def kube(self) -> Kube:
        """For what needs more than these; wrap it in `failures`."""
        return self._kube

    async def annotate(self, name: str, annotation: str, value: str) -> Object:
        """Set one annotation of a Rollout."""
        body = {"metadata": {"annotations": {annotation: value}}}
        patch = self._kube.merge_patch(ROLLOUTS, self.namespace, name, body, manager=FIELD_MANAGER)
        return await self._asked(patch, name)

    async def _found(self, request: Awaitable[Answer], kind: str, name: str) -> Answer:
        with failures(f'{kind} "{name}" not found in namespace "{self.namespace}"'):
            return await request

    async def _asked(self, request: Awaitable[Answer], name: str = "") -> Answer:
        with failures(f'rollout "{name}" not found in namespace "{self.namespace}"'):
            return await request


@contextmanager
def failures(missing: str) -> Iterator[None]:
    """Turn what the API server refuses into a `Failure`; `missing` says what a 404 means."""
    try:
        yield
    except NotFound as error:
        raise Failure(missing) from error
    except NotServed as error:
        remedy = "rollout crds | kubectl apply --server-side -f -"
        raise Failure(f"the cluster does not know Rollouts; remedy: {remedy}") from error
    except Unavailable as error:
        raise Failure(f"the cluster can't be reached: {error}", ExitCode.UNREACHABLE) from error
    except Forbidden as error:
        raise Failure(str(error), ExitCode.UNREACHABLE) from error
    except (Retry, Stalled) as error:
        raise Failure(str(error)) from error


@asynccontextmanager
async def connected(
    kubeconfig: Path | None, context: str | None, namespace: str | None
) -> AsyncIterator[Cluster]:
    """Talk to the cluster of the kubeconfig, or the one that we run in. Raises Failure(UNREACHABLE)."""
    file = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG", "")
    try:
        configuration = await login(file, context or "")
    except Stalled as error:
        remedy = "set KUBECONFIG or pass --kubeconfig"
        raise Failure(f"{error}; remedy: {remedy}", ExitCode.UNREACHABLE) from error
    async with Kube(configuration) as kube:
        yield Cluster(kube, namespace or namespace_of(file, context) or DEFAULT_NAMESPACE)


def namespace_of(kubeconfig: str, context: str | None) -> str | None:
    """The namespace that a context of a kubeconfig names; None where there is none, or it names none."""
    try:
        contexts, current = config.list_kube_config_contexts(kubeconfig or None)
    except config.ConfigException:
        return None
    chosen = next((each for each in contexts if each["name"] == context), current)
    namespace: str | None = chosen["context"].get("namespace")
    return namespace
