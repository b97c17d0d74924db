"""A credential reaches the server it is for, and nothing else that anybody could read."""

import base64
import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import crew
import manifests
import trustme
import yaml
from home import ROLLOUT, TRAFFIC
from prometheus_fake import FakePrometheus
from repository import Repository, git_source, text
from stage import GIT_SOURCES, ROLLOUTS, Shop, until

from rollout import manifests as installed
from rollout.api.status import Phase
from rollout.demo.repository import git
from rollout.sandbox.cluster import Sandbox
from tests.git.git_servers import WebServer

TOKEN, STALE, COMMITTED = "planted-t0ken-of-git", "planted-t0ken-gone-stale", "planted-1n-a-manifest"


def forms(secret: str) -> list[bytes]:
    """A secret as it is, and as headers, Secrets and JSON carry it."""
    coded = [base64.b64encode(each.encode()).rstrip(b"=")[:-1] for each in (secret, f"git:{secret}")]
    return [secret.encode(), *coded]


def leaked(content: bytes, *secrets: str) -> list[str]:
    return [secret for secret in secrets if any(form in content for form in forms(secret))]


@dataclass(slots=True)
class Watcher:
    """Looks at the arguments and the environment of a process' children, again and again."""

    pid: int
    seen: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))

    def look(self) -> None:
        for pid in _descendants(self.pid):
            for name in ("cmdline", "environ"):
                with suppress(OSError):
                    self.seen[name].add(Path(f"/proc/{pid}/{name}").read_bytes())


def _descendants(pid: int) -> Iterator[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children[parent].append(int(stat.parent.name))
    waiting = [pid]
    while waiting:
        for child in children[waiting.pop()]:
            yield child
            waiting.append(child)


@contextmanager
def watching(pid: int) -> Iterator[Watcher]:
    watcher, stop = Watcher(pid), threading.Event()

    def run() -> None:
        while not stop.is_set():
            watcher.look()
            time.sleep(0.01)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        stop.set()
        thread.join()


@contextmanager
def served(folder: Path, authority: trustme.CA) -> Iterator[str]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    server = WebServer(folder, TOKEN, tls=tls)
    try:
        yield f"{server.origin}/shop.git"
    finally:
        server.close()


def credential(token: str, authority: trustme.CA) -> dict[str, Any]:
    data = {"token": token.encode(), "ca.crt": authority.cert_pem.bytes()}
    coded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"}, "data": coded}


async def ready(shop: Shop, reason: str) -> None:
    async def reached() -> bool:
        status = (await shop.get(GIT_SOURCES)).get("status") or {}
        return any(
            each["type"] == "Ready" and each["reason"] == reason for each in status.get("conditions") or ()
        )

    await until(f"Ready to say {reason}", reached)


async def test_planted_tokens_are_in_no_argument_environment_log_event_status_note_or_mirror(
    lonely: Sandbox, judge: FakePrometheus, tmp_path: Path
) -> None:
    shop, authority = await Shop.open(lonely, judge), trustme.CA()
    files = {ROLLOUT: text(manifests.rollout()), TRAFFIC: text(*manifests.traffic())}
    repository = await Repository.with_files(tmp_path, files)
    await git(repository.bare, "config", "http.receivepack", "true")
    await lonely.load(list(yaml.safe_load_all(installed.secrets_in([shop.namespace]))))
    child = await lonely.call(crew.process(lonely, tmp_path, judge.url, git_schemes="file https"))
    try:
        with served(repository.bare.parent, authority) as url, watching(child.pid) as watcher:
            await shop.apply(credential(TOKEN, authority), git_source(url, secretRef={"name": "git"}))
            await until("the Rollout", lambda: shop.every(ROLLOUTS))
            await shop.phase(Phase.HEALTHY)
            commit = (await git(repository.clone, "rev-parse", "HEAD")).strip()
            await until("the note", lambda: repository.note(commit))
            plain = {**credential(TOKEN, authority), "metadata": {"name": "mine"}}
            plain |= {"data": {}, "stringData": {"a": COMMITTED}}
            await repository.commit("a Secret", {"deploy/secret.yaml": text(plain)})
            await ready(shop, "PolicyDenied")
            await shop.apply(credential(STALE, authority))
            await ready(shop, "AuthenticationFailed")
    finally:
        await lonely.call(child.stop(10.0))
    planted = (TOKEN, STALE, COMMITTED)
    assert any(b"ls-remote" in each for each in watcher.seen["cmdline"]), "the children were seen at work"
    assert {name: leaked(b"\0".join(seen), *planted) for name, seen in watcher.seen.items()} == {
        "cmdline": [],
        "environ": [],
    }
    told = [await shop.get(GIT_SOURCES), await shop.every(ROLLOUTS), await shop.events()]
    assert leaked(json.dumps(told).encode(), *planted) == []
    assert leaked((await repository.note(commit)).encode(), *planted) == []
    assert leaked((tmp_path / "operator.log").read_bytes(), *planted) == []
    kept = [path for path in (tmp_path / "mirrors").rglob("*") if path.is_file()]
    assert any(path.name == "HEAD" for path in kept), "there is a mirror"
    assert [path for path in kept if leaked(path.read_bytes(), TOKEN, STALE)] == []
