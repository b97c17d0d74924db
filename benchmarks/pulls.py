"""`make bench-git`: fetch and read of a changed commit, and a poll that finds nothing, over the git protocol.

The limit is `git fetch` and `git cat-file --batch` of what changed, by the same git with nothing around it.
The naive way is `git pull` into a work tree and `yaml.safe_load` of every file. All are timed in turn on the
same commits, and compared by medians. Neither of them asks first whether there is anything new, so what both
are held against is what follows a push; a poll's question (`git ls-remote`) is shown beside it.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from rollout.api.gitsource import Ref
from rollout.git.environment import GitPolicy
from rollout.git.manifests import Parser
from rollout.git.mirror import Mirror, Mirrors
from rollout.git.revision import Blob
from rollout.git.tree import TreeLimits

RESULTS = Path(__file__).with_name("results")
COMMITS = 2000
CHANGED = 5
"""Files in a commit."""
MOST_TO_LIMIT, LEAST_TO_NAIVE, MOST_TO_LS_REMOTE = 1.5, 15.0, 1.1
SIZES = (1_000, 10_000)
LIMITS = TreeLimits(manifests=20_000, total_bytes=1 << 28)
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{role}_{part}": "bench" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")},
}


@dataclass(frozen=True, slots=True)
class World:
    """A repository behind `git daemon`, and who follows it."""

    bare: Path
    url: str
    home: Path

    def git(self, folder: Path, *words: str, stdin: bytes = b"") -> bytes:
        return git(folder, *words, stdin=stdin)


def git(folder: Path, *words: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["git", *words], cwd=folder, env=ENVIRONMENT, input=stdin, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(f"git {' '.join(words)}: {done.stderr.decode()}")
    return done.stdout


def manifest(number: int, value: str) -> bytes:
    data = "".join(f"  key-{key}: {value}-{number}-{key}\n" for key in range(40))
    head = (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web-{number}\n  labels:\n    app: web\ndata:\n"
    )
    return (head + data).encode()


def path(number: int) -> str:
    return f"apps/{number // 100}/web-{number}.yaml"


def history(manifests: int) -> Iterator[bytes]:
    """For `git fast-import`: all files at first, then commits that change five each."""
    for commit in range(COMMITS):
        numbers = range(manifests) if commit == 0 else changed(commit, manifests)
        yield b"commit refs/heads/main\n"
        yield f"committer bench <bench@example.com> {1_700_000_000 + commit} +0000\ndata 6\nchange\n".encode()
        for number in numbers:
            content = manifest(number, f"v{commit}")
            yield f"M 100644 inline {path(number)}\ndata {len(content)}\n".encode() + content + b"\n"


def changed(commit: int, manifests: int) -> list[int]:
    return [(commit * 7919 + each * 104_729) % manifests for each in range(CHANGED)]


@contextmanager
def world(manifests: int, home: Path) -> Iterator[World]:
    bare = home / "upstream.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main")
    git(bare, "fast-import", "--quiet", stdin=b"".join(history(manifests)))
    git(bare, "repack", "-a", "-d", "-q")
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(server, home), daemon=True).start()
    yield World(bare, f"git://127.0.0.1:{server.getsockname()[1]}/upstream.git", home)
    with suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    server.close()


def serve(server: socket.socket, home: Path) -> None:
    command = ["git", "daemon", "--inetd", "--export-all", f"--base-path={home}"]
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            subprocess.Popen(
                command,
                stdin=connection.fileno(),
                stdout=connection.fileno(),
                stderr=subprocess.DEVNULL,
                env=ENVIRONMENT,
            )
            connection.close()


def push(world: World, commit: int, manifests: int) -> None:
    """A commit that changes five files, made in the upstream itself."""
    parts = [b"commit refs/heads/main\n"]
    parts.append(
        f"committer bench <bench@example.com> {1_800_000_000 + commit} +0000\ndata 4\npush\n".encode()
    )
    parts.append(b"from refs/heads/main^0\n")
    for number in changed(commit, manifests):
        content = manifest(number, f"p{commit}")
        parts.append(f"M 100644 inline {path(number)}\ndata {len(content)}\n".encode() + content + b"\n")
    git(world.bare, "fast-import", "--quiet", stdin=b"".join(parts))


class Limit:
    """A bare clone that is kept by nothing but git."""

    def __init__(self, world: World) -> None:
        self._folder = world.home / "limit.git"
        git(world.home, "clone", "--quiet", "--bare", world.url, str(self._folder))
        self._url = world.url
        self._head = self._resolve()

    def _resolve(self) -> str:
        return git(self._folder, "rev-parse", "refs/heads/main").decode().strip()

    def fetch_and_read(self) -> int:
        refspec = "+refs/heads/main:refs/heads/main"
        git(self._folder, "fetch", "--quiet", "--no-tags", "--no-auto-maintenance", self._url, refspec)
        listed = git(self._folder, "diff-tree", "-r", "-z", self._head, "refs/heads/main").split(b"\0")
        oids = [entry.split(b" ")[3] for entry in listed if entry.startswith(b":")]
        content = git(self._folder, "cat-file", "--batch", stdin=b"".join(oid + b"\n" for oid in oids))
        return len(content)

    def settle(self) -> None:
        self._head = self._resolve()


class Naive:
    """A work tree, and every file parsed."""

    def __init__(self, world: World) -> None:
        self._folder = world.home / "naive"
        git(world.home, "clone", "--quiet", world.url, str(self._folder))

    def pull_and_parse(self, load: Callable[[bytes], object]) -> int:
        git(self._folder, "pull", "--quiet")
        return sum(load(file.read_bytes()) is not None for file in self._folder.rglob("*.yaml"))


def libyaml(text: bytes) -> object:
    return yaml.load(text, yaml.CSafeLoader)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(manifests: int, rounds: int, naive_rounds: int) -> dict[str, float | int]:
    """Medians in milliseconds, and the three ratios."""
    with (
        tempfile.TemporaryDirectory(prefix="rollout-bench-") as folder,
        world(manifests, Path(folder)) as there,
    ):
        limit, naive = Limit(there), Naive(there)
        policy = GitPolicy(
            protocols=frozenset({"git"}), local_hosts=True, timeout=timedelta(minutes=5), output_bytes=1 << 30
        )
        with asyncio.Runner() as runner:
            mirrors = Mirrors(Path(folder) / "mirrors", policy, LIMITS)
            mirror, parser = mirrors.of(there.url, "bench"), Parser()
            parser.parse(runner.run(_pulled(mirror)), "shop")
            taken: dict[str, list[float]] = {}

            def note(what: str, took: float) -> None:
                taken.setdefault(what, []).append(took)

            for number in range(rounds):
                push(there, number + 1, manifests)
                told = number % 4 < 2
                for which in (number % 2, 1 - number % 2):
                    if which:
                        note("limit", seconds(limit.fetch_and_read))
                    else:
                        what = "told of a push" if told else "found by a poll"
                        note(what, _ours(runner, mirror, parser, note, expected=told))
                limit.settle()
                note(
                    "ls-remote", seconds(lambda: git(Path(folder), "ls-remote", there.url, "refs/heads/main"))
                )
                note("poll", seconds(lambda: runner.run(mirror.poll(Ref(branch="main")))))
                if number < naive_rounds:
                    note("naive", seconds(lambda: naive.pull_and_parse(yaml.safe_load)))
                else:
                    note("naive, libyaml", seconds(lambda: naive.pull_and_parse(libyaml)))
            runner.run(mirrors.close())
    found = statistics.median(taken["found by a poll"])
    middle = {what: statistics.median(each) for what, each in taken.items()}
    return {
        "manifests": manifests,
        "commits": COMMITS,
        "rounds": rounds,
        **{f"{what} ms": round(1000 * value, 1) for what, value in sorted(middle.items())},
        "told of a push / limit": round(middle["told of a push"] / middle["limit"], 2),
        "found by a poll / ls-remote and limit": round(found / (middle["ls-remote"] + middle["limit"]), 2),
        "found by a poll / limit": round(found / middle["limit"], 2),
        "naive / told of a push and parsed": round(
            middle["naive"] / (middle["told of a push"] + middle["parse"]), 1
        ),
        "naive / found by a poll and parsed": round(middle["naive"] / (found + middle["parse"]), 1),
        "naive with libyaml / the same": round(middle["naive, libyaml"] / (found + middle["parse"]), 1),
        "no-change poll / ls-remote": round(middle["poll"] / middle["ls-remote"], 2),
    }


def _ours(
    runner: asyncio.Runner,
    mirror: Mirror,
    parser: Parser,
    note: Callable[[str, float], None],
    *,
    expected: bool,
) -> float:
    began = time.perf_counter()
    blobs = runner.run(_pulled(mirror, expected=expected))
    read = time.perf_counter()
    parser.parse(blobs, "shop")
    note("parse", time.perf_counter() - read)
    return read - began


async def _pulled(mirror: Mirror, *, expected: bool = False) -> tuple[Blob, ...]:
    return await mirror.read(await mirror.poll(Ref(branch="main"), expected=expected), "apps")


def missed(row: dict[str, float | int]) -> list[str]:
    """The goals that a row misses."""
    both = ("told of a push / limit", "found by a poll / ls-remote and limit")
    beyond = [what for what in both if row[what] > MOST_TO_LIMIT]
    found = [f"{row['manifests']}: {what} is {row[what]}, at most {MOST_TO_LIMIT}" for what in beyond]
    if (naive := row["naive / told of a push and parsed"]) < LEAST_TO_NAIVE:
        found.append(f"{row['manifests']}: the naive way takes {naive} times as long, not {LEAST_TO_NAIVE}")
    if (poll := row["no-change poll / ls-remote"]) > MOST_TO_LS_REMOTE:
        found.append(f"{row['manifests']}: a poll takes {poll} times ls-remote, at most {MOST_TO_LS_REMOTE}")
    return found


def main() -> int:
    """Run, print and write; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(prog="make bench-git ARGS=...")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--naive", type=int, default=3, help="rounds of the naive way; one beyond 2,000 manifests"
    )
    parser.add_argument("--manifests", type=int, nargs="+", default=SIZES)
    given = parser.parse_args()
    rows = [
        measure(manifests, given.rounds, given.naive if manifests <= 2000 else 1)
        for manifests in given.manifests
    ]
    console, table = Console(), Table(title="Git: one commit of five files among 2,000")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['manifests']:,} manifests", justify="right")
    for what in list(rows[0])[3:]:
        table.add_row(what, *(f"{row[what]:g}" for row in rows))
    console.print(table)
    wrong = [text for row in rows for text in missed(row)]
    for text in wrong:
        console.print(f"[red]missed: {text}[/red]")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "git.json").write_text(json.dumps({"rows": rows, "missed": wrong}, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
