"""`diff`: what a branch would change in the cluster, tried there and not applied; for pull requests."""

import asyncio
import difflib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
import yaml

from rollout.api.errors import InvalidSpec, Retry
from rollout.api.gitsource import GitSource, InvalidPolicy, parse_git_source
from rollout.api.rollout import parse_rollout
from rollout.api.sourcestatus import GitSourceStatus, InventoryEntry
from rollout.cli.cluster import Cluster, Object, connected
from rollout.cli.failure import ExitCode, Failure
from rollout.cli.options import Context, Kubeconfig, Namespace
from rollout.cli.repositories import Repository, opened, revision
from rollout.git.errors import ManifestsRefused
from rollout.git.manifests import Manifest as Written
from rollout.git.mirror import Mirror
from rollout.git.revision import Revision
from rollout.gitops import inventory
from rollout.gitops.standing import stand
from rollout.gitops.trying import Difference, Trier
from rollout.kube.discovery import Discovery
from rollout.observe.reading import SOURCE_ANNOTATION, read
from rollout.plan import history
from rollout.show.git import short

Source = Annotated[str, typer.Argument(help="Name of the GitSource.", show_default=False)]
Wanted = Annotated[
    str, typer.Option("--revision", help="A branch, tag, ref or full commit id.", show_default=False)
]
_OF_THE_SERVER = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp")
_OF_THE_APPLIER = (SOURCE_ANNOTATION, inventory.OWNER)


def diff(
    source: Source,
    wanted: Wanted,
    namespace: Namespace = None,
    repository: Repository = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 where anything would change.")
    ] = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show what a revision would change if the GitSource followed it; nothing is written.

    Exit code 1 where the revision would be refused: every problem is named with its file, line and column.
    """

    async def shown() -> int:
        async with connected(kubeconfig, context, namespace) as cluster:
            live = await cluster.source(source)
            try:
                spec = parse_git_source(live)
            except InvalidSpec as invalid:
                raise Failure(f"the GitSource {source} is not valid: {invalid}") from invalid
            async with opened(cluster, spec, repository) as mirror:
                return await _compare(cluster, live, spec, mirror, wanted)

    changes = asyncio.run(shown())
    if exit_code and changes:
        raise typer.Exit(ExitCode.NO)


async def _compare(cluster: Cluster, live: Object, source: GitSource, mirror: Mirror, wanted: str) -> int:
    meant = await revision(mirror, wanted)
    before = short(str((live.get("status") or {}).get("lastAppliedRevision", ""))) or "nothing"
    sys.stdout.write(f'{meant.short} "{meant.subject}" by {meant.author}, beside what stands ({before})\n')
    try:
        manifests, differing = await _tried(cluster, source, mirror, meant)
    except ManifestsRefused as refused:
        for problem in refused.problems:
            sys.stdout.write(f"{problem}\n")
        count = len(refused.problems)
        whole = source.spec.on_invalid is InvalidPolicy.REFUSE_REVISION
        so = "the revision would be refused" if whole else "these objects would be left out"
        raise Failure(f"{refused.reason}: {so} ({count} problems)") from refused
    except Retry as failed:
        raise Failure(str(failed), ExitCode.UNREACHABLE) from failed
    gone = _gone(live, manifests) if source.spec.prune else ()
    now = datetime.now(UTC)
    shown = [text for each in differing if (text := _text(each, meant, now))]
    for text in shown:
        sys.stdout.write(f"\n{text}")
    for entry in gone:
        sys.stdout.write(f"\n{entry}: deleted, it is not in Git any more\n")
    made = sum(each.live is None for each in differing)
    changed = len(shown) - made
    sys.stdout.write(f"\n{changed} changed, {made} created, {len(gone)} deleted\n")
    return len(shown) + len(gone)


async def _tried(
    cluster: Cluster, source: GitSource, mirror: Mirror, meant: Revision
) -> tuple[tuple[Written, ...], tuple[Difference, ...]]:
    trier = Trier(cluster.kube, cluster.kube, Discovery(cluster.kube))
    # What an administrator's source may hold is not ours to know here; the dry-run asks the API server.
    stands = await stand(source, mirror, meant, trier.discovery, home=source.metadata.namespace)
    return stands.manifests, await trier.would(stands.source, stands.manifests, datetime.now(UTC))


def _gone(live: Object, manifests: tuple[Written, ...]) -> tuple[InventoryEntry, ...]:
    try:
        status = GitSourceStatus.model_validate(live.get("status") or {})
    except ValueError:
        return ()
    return tuple(each for each in inventory.after(status.inventory, manifests) if each.stale)


def _text(difference: Difference, meant: Revision, now: datetime) -> str:
    manifest, wanted = difference.manifest, _plain(difference.wanted)
    where = f"{manifest} ({manifest.path}:{manifest.line})"
    if difference.live is None:
        return f"{where}: created\n" + "".join(f"+ {line}" for line in _lines(wanted))
    before = _plain(difference.live)
    if before == wanted:
        return ""
    said = f": {_outlook(difference, now)}" if manifest.kind == "Rollout" else ""
    changes = difflib.unified_diff(_lines(before), _lines(wanted), "live", meant.short)
    return f"{where}{said}\n" + "".join(changes)


def _outlook(difference: Difference, now: datetime) -> str:
    """What the operator would do about a Rollout that changes so."""
    assert difference.live is not None
    status = read(difference.live, now).status
    coming = read({**difference.wanted, "status": {}}, now)
    if coming.wanted is None:
        return "invalid"
    if coming.wanted.hash == status.stable_rs:
        return "the stable version, so there is nothing to try"
    if refusal := history.refused(status, coming.wanted.attempt):
        return f"refused before ({refusal.verdict.value}: {refusal.reason}): nothing is tried"
    if history.key(status.attempt) == coming.wanted.attempt:
        return "the attempt that is known: nothing new is tried"
    steps = len(parse_rollout(difference.wanted).spec.strategy.canary.steps)
    return f"a new attempt, which takes its {steps} steps"


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """Without what servers and appliers write."""
    metadata = {key: value for key, value in found["metadata"].items() if key not in _OF_THE_SERVER}
    notes = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _OF_THE_APPLIER
    }
    metadata.pop("annotations", None)
    if notes:
        metadata["annotations"] = notes
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": metadata}


def _lines(found: Mapping[str, Any]) -> list[str]:
    text: str = yaml.safe_dump(dict(found), sort_keys=True, allow_unicode=True)
    return text.splitlines(keepends=True)
