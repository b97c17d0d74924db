"""`make campaign ARGS=...`."""

import argparse
import json
import os
import sys
from pathlib import Path

from rich.console import Console

from . import polls
from .drawing import drawn
from .plan import PARTS
from .run import Wish, replay, run
from .schedule import Schedule


def main() -> int:
    """Exit code 1 where anything broke."""
    parser = argparse.ArgumentParser(prog="make campaign", description="Whole rollouts under faults.")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}; or polls, alone")
    parser.add_argument("--seed", type=int, default=1, help="of the first random schedule")
    parser.add_argument("--schedules", type=int, default=10_000, help="random ones")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path(".sandbox/campaign.json"))
    parser.add_argument("--most", type=int, help="schedules of each part, for a quick look")
    parser.add_argument("--replay", metavar="SEED|JSON", help="one schedule alone, with its logs")
    parser.add_argument("--sources", type=int, default=200, help="of polls: GitSources")
    parser.add_argument("--polls", type=int, default=1_000, help="of polls: of each of them")
    given = parser.parse_args()
    console = Console()
    if given.parts == "polls":
        return min(polls.report(given.sources, given.polls, given.seed, given.out, console), 1)
    if given.replay:
        told = given.replay
        schedule = drawn(int(told)) if told.isdecimal() else Schedule.from_json(json.loads(told))
        return min(replay(schedule, console), 1)
    wish = Wish(given.parts.split(","), given.seed, given.schedules, given.processes, given.out, given.most)
    return min(run(wish, console), 1)


if __name__ == "__main__":
    sys.exit(main())
