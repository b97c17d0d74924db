"""How the tests are shared among several workers."""

import signal
from collections import defaultdict

import pytest

WORKING, WAITING = "campaign", "stories"
"""Folders whose tests take longest: the one for the processor's sake, the other mostly awaits a cluster."""
APART = frozenset({WORKING, WAITING, "analysis", "plan"})
"""Folders in which each test stands alone, so that many workers can share one file."""
USERS = "e2e"
"""Where users' requests are counted: those stories never share the machine with one another."""
LONGEST = frozenset({USERS, "conformance"})
"""Folders that are a long way for one worker."""


def pytest_configure() -> None:
    """What a shell starts with `&` is deaf to Ctrl-C, and so would be the programs that we start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a stage stays with one worker; what takes longest begins first, some while others wait.

    The workers take the groups in this order: `--no-loadscope-reorder`.
    """
    folders = defaultdict[str, list[pytest.Item]](list)
    for item in items:
        folder = item.path.parent.name
        folders[folder].append(item)
        if folder == USERS:
            item.add_marker(pytest.mark.xdist_group(USERS))
        elif folder not in APART or _shares_a_stage(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    rank = dict.fromkeys((item for folder in LONGEST for item in folders[folder]), -1.0)
    for folder in (WORKING, WAITING):
        rank |= {item: place / len(folders[folder]) for place, item in enumerate(folders[folder])}
    items.sort(key=lambda item: rank.get(item, 1.0))


def _shares_a_stage(item: pytest.Item) -> bool:
    info = getattr(item, "_fixtureinfo", None)
    fixtures = info.name2fixturedefs.values() if info else ()
    return any(each[-1].scope == "module" for each in fixtures)
