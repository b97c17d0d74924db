"""`history`: what became of the revisions of a Rollout, from its status and from the notes in Git."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from rollout.cli.cluster import connected
from rollout.cli.options import Context, Kubeconfig, Name, Namespace, Output, OutputOption
from rollout.cli.repositories import Repository, opened
from rollout.cli.writing import write
from rollout.git import notes
from rollout.observe.reading import read_status
from rollout.show.git import Record, history_table, joined


def history(
    name: Name,
    namespace: Namespace = None,
    repository: Repository = None,
    output: OutputOption = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show what became of a Rollout's revisions: versions, commits, verdicts, reasons.

    The cluster remembers the last ten. With --repository the notes in Git are read too, which remember all.
    """

    async def shown() -> None:
        async with connected(kubeconfig, context, namespace) as cluster:
            found = await cluster.rollout(name)
            told = [Record.of_status(each) for each in read_status(found.get("status") or {}).history]
            noted: list[Record] = []
            if repository is not None:
                async with opened(cluster, None, repository) as mirror:
                    noted = list(_noted(await mirror.notes(), f"{cluster.namespace}/{name}"))
            _print(joined(noted, told), name, output)

    asyncio.run(shown())


def _noted(found: Mapping[str, bytes], rollout: str) -> Iterator[Record]:
    for commit, note in found.items():
        for record in notes.records(note):
            if record["rollout"] == rollout:
                try:
                    yield Record.of_note(commit, record)
                except (KeyError, TypeError, ValueError):
                    continue  # of another version of the operator, or written by hand


def _print(records: tuple[Record, ...], name: str, output: Output | None) -> None:
    if output in (Output.JSON, Output.YAML):
        write([each.manifest() for each in records], output)
    elif records:
        sys.stdout.write(history_table(records, datetime.now(UTC)) + "\n")
    else:
        sys.stderr.write(f"Nothing has become of any revision of {name} yet.\n")
