"""How the tests are shared among several workers."""

import pytest

LONGEST = "test_campaign"
USERS = "e2e"
"""Where users' requests are counted: those stories never share the machine with one another."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a stage of its module stays with one worker; what takes longest begins first."""
    for item in items:
        info = getattr(item, "_fixtureinfo", None)
        fixtures = info.name2fixturedefs.values() if info else ()
        if item.path.parent.name == USERS:
            item.add_marker(pytest.mark.xdist_group(USERS))
        elif any(each[-1].scope == "module" for each in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: not item.path.stem.startswith(LONGEST))
