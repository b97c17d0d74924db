"""Repositories for a command: one on this disk, or that of a GitSource with its Secret."""

import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from rollout.api.errors import Retry, Stalled
from rollout.api.gitsource import GitSource, Ref
from rollout.cli.cluster import Cluster
from rollout.cli.failure import ExitCode, Failure
from rollout.git.credential import Credential
from rollout.git.environment import GitPolicy
from rollout.git.mirror import Mirror, Mirrors
from rollout.git.revision import Revision
from rollout.gitops.secrets import read_secret

_PROTOCOLS = frozenset({"https", "ssh", "http", "git", "file"})
Repository = Annotated[
    str | None,
    typer.Option(
        "--repository",
        help="A clone on this disk, or a URL; default: what the GitSource names, with its Secret.",
        show_default=False,
    ),
]


@asynccontextmanager
async def opened(cluster: Cluster, source: GitSource | None, repository: str | None) -> AsyncIterator[Mirror]:
    """A mirror for as long as the context lasts. Raises `Failure`."""
    with tempfile.TemporaryDirectory(prefix="rollout-") as folder:
        mirrors = Mirrors(Path(folder), GitPolicy(protocols=_PROTOCOLS, local_hosts=True), threads=1)
        try:
            yield await _mirror(mirrors, cluster, source, repository)
        except Retry as failed:
            raise Failure(str(failed), ExitCode.UNREACHABLE) from failed
        except Stalled as refused:
            raise Failure(f"{refused.reason}: {refused}") from refused
        finally:
            await mirrors.close()


async def revision(mirror: Mirror, text: str) -> Revision:
    """What a person means by `text`: a branch, a tag, a full ref or a full commit id."""
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text):
        return await mirror.poll(Ref(commit=text))
    if text.startswith("refs/"):
        return await mirror.poll(Ref(name=text))
    try:
        return await mirror.poll(Ref(branch=text))
    except Stalled as missing:
        if missing.reason != "BranchNotFound":
            raise
    try:
        return await mirror.poll(Ref(tag=text))
    except Stalled as missing:
        if missing.reason != "TagNotFound":
            raise
        raise Failure(f"{text!r} is no branch and no tag there: push it, or give a full commit id") from None


async def _mirror(
    mirrors: Mirrors, cluster: Cluster, source: GitSource | None, repository: str | None
) -> Mirror:
    if repository is not None:
        return mirrors.of(_url(repository), "cli")
    if source is None:
        raise Failure("which repository? Pass --repository PATH")
    reference = source.spec.secret_ref
    if reference is None:
        return mirrors.of(source.spec.url, "cli").within(source.spec.timeout)
    data = await read_secret(cluster.kube, cluster.namespace, reference.name, "spec.secretRef.name")
    mirror = mirrors.of(source.spec.url, "cli", Credential.from_secret(data))
    return mirror.within(source.spec.timeout)


def _url(repository: str) -> str:
    return repository if "://" in repository else Path(repository).resolve().as_uri()
