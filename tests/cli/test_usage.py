"""What needs no cluster: help, version, wrong usage, the CRDs."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from rollout import __version__
from rollout.api.crd import all_crds
from rollout.cli.app import app


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("words", [("version",), ("--version",)])
def test_the_version(words: tuple[str, ...]) -> None:
    assert (run(*words).exit_code, run(*words).output) == (0, f"rollout {__version__}\n")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("get",), id="a name is missing"),
        pytest.param(("frobnicate",), id="no such command"),
        pytest.param(("list", "-o", "xml"), id="no such output"),
        pytest.param(("operator", "--api-group", "argoproj.io"), id="an API group that is not supported yet"),
        pytest.param(("operator", "--shards", "0"), id="no shard at all"),
        pytest.param(("operator", "--shards", "65"), id="more shards than Leases are good for"),
    ],
)
def test_wrong_usage_is_exit_code_2(words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2


@pytest.mark.parametrize("command", ["convert", "dashboard", "restart", "undo"])
def test_what_is_not_built_is_absent(command: str) -> None:
    assert f" {command} " not in run("--help").output
    assert run(command, "x").exit_code == 2


def test_crds_can_be_piped_to_kubectl() -> None:
    printed = list(yaml.safe_load_all(run("crds").output))
    assert printed == list(all_crds().values())


def test_crds_are_written_a_file_a_kind(tmp_path: Path) -> None:
    done = run("crds", "--write", str(tmp_path))
    assert done.exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {Path(line).name for line in done.output.split()}


def test_a_folder_that_can_not_be_written_is_a_no(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("crds", "--write", str(tmp_path / "file" / "below"))
    assert done.exit_code == 1
    assert "error: can't write" in done.output
