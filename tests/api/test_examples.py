"""The examples and the manifests in the docs are what they claim to be: served as they stand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.api.kinds import DEFINITIONS, Definition
from rollout.api.parsing import parse
from rollout.api.rollout import KIND as ROLLOUT_KIND
from rollout.lint import Document, Severity, lint
from rollout.lint.alone import KINDS

ROOT = Path(__file__).parents[2]
PAGES = [
    *("rollouts.md", "analysistemplates.md", "analysisruns.md", "gitsources.md"),
    *("moving-from-push.md", "layouts.md"),
]


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


@pytest.mark.parametrize("page", PAGES)
def test_the_manifests_of_a_page_are_served(page: str) -> None:
    whole = [text for text in fences(ROOT / "docs" / page) if re.search(r"^kind:", text, re.MULTILINE)]
    assert whole
    given = [document for text in whole for document in documents(page, text)]
    faults = [each for each in lint(given) if each.severity is Severity.ERROR]
    assert [each for each in faults if "does not exist" not in each.message] == []


@pytest.mark.parametrize("page", ["rollouts.md"])
def test_the_fragments_of_a_page_fit_its_first_manifest(page: str) -> None:
    first, *rest = fences(ROOT / "docs" / page)
    fragments = [body for text in rest if "kind" not in (body := yaml.safe_load(text.partition("---")[0]))]
    assert fragments
    for fragment in fragments:
        parse(ROLLOUT_KIND, merged(yaml.safe_load(first), fragment))


def merged(body: Any, fragment: Any) -> Any:
    """JSON merge: objects are merged, all else is replaced."""
    if not isinstance(body, dict) or not isinstance(fragment, dict):
        return fragment
    return body | {key: merged(body.get(key), value) for key, value in fragment.items()}


@pytest.mark.parametrize("definition", [pytest.param(each, id=each.kind) for each in DEFINITIONS])
def test_the_differences_list_what_is_not_supported_yet(definition: Definition) -> None:
    text = (ROOT / "docs/differences.md").read_text()
    kind = definition.kind.removeprefix("Cluster")
    listed = text.partition(f"<!-- not supported: {kind} -->\n| field | instead |\n|---|---|\n")[2].partition(
        "\n\n"
    )[0]
    assert listed.splitlines() == [f"| `{row.path}` | {row.remedy} |" for row in definition.unsupported]
