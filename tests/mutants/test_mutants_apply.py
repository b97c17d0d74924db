"""The mutants follow the code, and the tests that have to notice them are there. `make mutants` runs them."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mutant_list import TREE, Edit, Mutant, NoLongerAppliesError, mutants

RUNNER = Path(__file__).with_name("run_mutants.py")


@pytest.mark.parametrize("mutant", [pytest.param(each, id=each.name) for each in mutants()])
def test_a_mutant_changes_code_that_is_there(mutant: Mutant) -> None:
    assert mutant.why
    assert mutant.edits
    for edit in mutant.edits:
        assert ast.dump(ast.parse(edit.mutated(TREE))) != ast.dump(ast.parse((TREE / edit.file).read_text()))


def test_the_tests_that_notice_are_there() -> None:
    named = sorted({each.caught_by for each in mutants()})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named]
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("text", "times"),
    [pytest.param("other = 1\n", 0, id="gone"), pytest.param("one = 1\none = 1\n", 2, id="there twice")],
)
def test_an_edit_without_its_one_place_is_an_error(tmp_path: Path, text: str, times: int) -> None:
    (tmp_path / "code.py").write_text(text)
    with pytest.raises(NoLongerAppliesError, match=f"code.py: found {times} times"):
        Edit("code.py", "one = 1", "one = 2").mutated(tmp_path)
    with pytest.raises(NoLongerAppliesError, match="no such file"):
        Edit("other.py", "one = 1", "one = 2").mutated(tmp_path)


SURVIVES = """
harmless:
  why: it changes nothing that anybody could notice
  edits:
  - file: analysis/evidence.py
    find: return self.bad / self.total if self.total > 0 else None
    replace: return self.bad / self.total if 0 < self.total else None
  caught_by: tests/analysis/test_evidence.py::test_counts_and_pairs_add_and_swap
stale:
  why: its place is gone
  edits: [{file: analysis/evidence.py, find: a line that was here once, replace: another}]
  caught_by: tests/analysis/test_evidence.py::test_counts_and_pairs_add_and_swap
noticed:
  why: a rate upside down is seen
  edits:
  - file: analysis/evidence.py
    find: return self.bad / self.total if self.total > 0 else None
    replace: return self.total / self.bad if self.total > 0 else None
  caught_by: tests/analysis/test_evidence.py::test_counts_and_pairs_add_and_swap
"""


def test_survivors_and_stale_mutants_are_told_from_those_that_are_noticed(tmp_path: Path) -> None:
    (listed := tmp_path / "mutants.yaml").write_text(SURVIVES)
    command = [sys.executable, str(RUNNER), f"--list={listed}", f"--json={tmp_path / 'out.json'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    outcomes = {each["mutant"]: each["result"] for each in json.loads((tmp_path / "out.json").read_text())}
    assert outcomes == {"harmless": "SURVIVED", "stale": "no longer applies", "noticed": "caught"}
