"""How the tests are shared among several workers."""

import signal

import pytest

APART = frozenset({"campaign", "stories", "analysis", "plan"})
"""Folders in which each test stands alone, so that many workers can share one file."""
USERS = "e2e"
"""Where users' requests are counted: those stories never share the machine with one another."""
FIRST = (USERS, "campaign", "conformance", "stories")
"""Folders that are a long way.

Schedules in virtual time come before any cluster that is at work in the same process: they hold its random
numbers in their hands, and a schedule that is played again has to go the same way.
"""


def pytest_configure() -> None:
    """What a shell starts with `&` is deaf to Ctrl-C, and so would be the programs that we start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a stage stays with one worker; what takes longest begins first.

    The workers take the groups in this order: `--no-loadscope-reorder`.
    """
    for item in items:
        folder = item.path.parent.name
        if folder == USERS:
            item.add_marker(pytest.mark.xdist_group(USERS))
        elif folder not in APART or _shares_a_stage(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    rank = {folder: place for place, folder in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(FIRST)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stages that each worker sets up anew cost minutes, and users feel one another: rather nothing runs."""
    if not session.config.getoption("loadgroup", default=False):
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
            raise pytest.UsageError(f"xdist leaves {item.nodeid} out of its group: is its pytest too new?")


def _shares_a_stage(item: pytest.Item) -> bool:
    info = getattr(item, "_fixtureinfo", None)
    fixtures = info.name2fixturedefs.values() if info else ()
    return any(each[-1].scope == "module" for each in fixtures)
