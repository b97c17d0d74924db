"""How the tests are shared among several workers."""

import pytest

LONGEST = "campaign"
APART = frozenset({LONGEST, "stories", "analysis", "plan"})
"""Folders in which each test stands alone, so that many workers can share one file."""
USERS = "e2e"
"""Where users' requests are counted: those stories never share the machine with one another."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a stage stays with one worker; what takes longest begins first."""
    for item in items:
        folder = item.path.parent.name
        if folder == USERS:
            item.add_marker(pytest.mark.xdist_group(USERS))
        elif folder not in APART or _shares_a_stage(item):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.path.parent.name != LONGEST)


def _shares_a_stage(item: pytest.Item) -> bool:
    info = getattr(item, "_fixtureinfo", None)
    fixtures = info.name2fixturedefs.values() if info else ()
    return any(each[-1].scope == "module" for each in fixtures)
