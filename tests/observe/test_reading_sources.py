"""Where a Rollout's manifest came from, as the column shows it."""

import json

import pytest

from rollout.observe.reading import SOURCE_ANNOTATION, read_source


@pytest.mark.parametrize(
    ("branch", "shown"),
    [
        pytest.param("main", "main@1a2b3c4", id="a branch or tag that is followed"),
        pytest.param("", "1a2b3c4", id="a commit that is named by its id"),
    ],
)
def test_the_column_names_the_commit(branch: str, shown: str) -> None:
    told = {"gitSource": "web", "commit": "1a2b3c4d5e", "branch": branch}
    source = read_source({SOURCE_ANNOTATION: json.dumps(told)})
    assert source is not None
    assert source.revision == shown
