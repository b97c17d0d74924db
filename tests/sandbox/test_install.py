"""Finding and unpacking the sandbox's programs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rollout.sandbox import install


def fake_program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("PATH", ":".join(map(str, folders)))


def test_a_prometheus_on_path_is_used_when_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = fake_program(tmp_path / "bin", "prometheus", "echo 'prometheus, version 3.1.0 (branch: x)'")
    only(monkeypatch, tmp_path / "bin", Path("/bin"))
    assert install.ensure_prometheus(tmp_path / "cache") == ours
    assert not (tmp_path / "cache").exists()


def package_server(tmp_path: Path) -> Path:
    """A folder with an apt-get that writes a package and a dpkg that unpacks it, each saying that it ran."""
    folder = tmp_path / "tools"
    log = tmp_path / "ran"
    fake_program(folder, "apt-get", f'echo "apt-get $*" >>{log}; touch prometheus_2.42.deb')
    unpack = f"""echo "dpkg $*" >>{log}
mkdir -p "$3/usr/bin"
printf '#!/bin/sh\\necho prometheus, version 2.42.0' >"$3/usr/bin/prometheus"
chmod +x "$3/usr/bin/prometheus" """
    fake_program(folder, "dpkg", unpack)
    return folder


def test_an_old_one_on_path_is_passed_over_for_the_unpacked_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_program(tmp_path / "bin", "prometheus", "echo 'prometheus, version 2.24.1'")
    only(monkeypatch, tmp_path / "bin", package_server(tmp_path), Path("/usr/bin"), Path("/bin"))
    found = install.ensure_prometheus(tmp_path / "cache")
    assert found == tmp_path / "cache/prometheus/usr/bin/prometheus"
    assert install.ensure_prometheus(tmp_path / "cache") == found
    assert (tmp_path / "ran").read_text().count("dpkg") == 1


def test_two_runs_at_once_unpack_once_and_leave_no_scratch_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, package_server(tmp_path), Path("/usr/bin"), Path("/bin"))
    script = (
        "import sys, pathlib; from rollout.sandbox import install;"
        f"print(install.ensure_prometheus(pathlib.Path({str(tmp_path / 'cache')!r})))"
    )
    runs = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(3)]
    outputs = {run.communicate(timeout=60)[0] for run in runs}
    assert len(outputs) == 1
    assert (tmp_path / "ran").read_text().count("dpkg") == 1
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {"lock", "prometheus"}


def test_where_nothing_helps_the_error_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    fake_program(tools, "apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    fake_program(tools, "dpkg", "exit 1")
    only(monkeypatch, tools, Path("/bin"))
    with pytest.raises(
        install.ToolMissingError, match=r"Unable to locate package.*apt-get install prometheus as root"
    ):
        install.ensure_prometheus(tmp_path / "cache")
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {"lock"}


def test_without_apt_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, tmp_path)
    with pytest.raises(install.ToolMissingError, match="no Debian"):
        install.ensure_prometheus(tmp_path / "cache")


def test_kubectl_and_traefik_of_the_wheels_run() -> None:
    for program, word in ((install.find_kubectl(), "Client Version"), (install.find_traefik(), "Version")):
        command = [program, "version", "--client"] if word.startswith("Client") else [program, "version"]
        assert word in subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.real
def test_debians_package_unpacks_and_runs_without_lists_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get here")
    real = shutil.which("apt-get")
    marker = tmp_path / "tried"
    once = f'if [ ! -e {marker} ]; then touch {marker}; exit 100; fi; exec {real} "$@"'
    fake_program(tmp_path / "tools", "apt-get", once)
    only(monkeypatch, tmp_path / "tools", Path("/usr/bin"), Path("/bin"))
    program = install.ensure_prometheus(tmp_path / "cache")
    assert install.prometheus_version(program) >= install.OLDEST_PROMETHEUS
