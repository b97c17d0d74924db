"""The examples and the manifests in the docs are what they claim to be: served as they stand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.lint import Document, Severity, lint
from rollout.lint.alone import KINDS

ROOT = Path(__file__).parents[2]
PAGES = ["rollouts.md", "analysistemplates.md", "analysisruns.md", "gitsources.md", "differences.md"]


def documents(name: str, text: str) -> Iterator[Document]:
    for body in yaml.safe_load_all(text):
        yield Document(name, 1, body)


def fences(page: Path) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_examples_together_have_no_fault() -> None:
    given = [
        document
        for path in sorted((ROOT / "crds/examples").glob("*.yaml"))
        for document in documents(path.name, path.read_text())
    ]
    assert {document.body["kind"] for document in given} > set(KINDS) - {"AnalysisRun"}
    assert lint(given) == []


@pytest.mark.parametrize("page", [name for name in PAGES if (ROOT / "docs" / name).exists()])
def test_the_manifests_of_a_page_are_served(page: str) -> None:
    found = fences(ROOT / "docs" / page)
    whole = [text for text in found if re.search(r"^kind:", text, re.MULTILINE)]
    given = [document for text in whole for document in documents(page, text)]
    faults = [each for each in lint(given) if each.severity is Severity.ERROR]
    assert [each for each in faults if "does not exist" not in each.message] == []


@pytest.mark.parametrize("page", [name for name in PAGES if (ROOT / "docs" / name).exists()])
def test_the_fragments_of_a_page_are_parts_of_a_manifest_that_is_served(page: str) -> None:
    for text in fences(ROOT / "docs" / page):
        body: Any = yaml.safe_load(text)
        if "kind" not in body:
            assert set(body) == {"spec"}, f"a fragment begins at spec:\n{text}"
