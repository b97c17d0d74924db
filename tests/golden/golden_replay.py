"""Replays recorded cases against an API server and says where it answers otherwise."""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from golden_placeholders import Placeholders

Case = dict[str, Any]
Step = dict[str, Any]
CASES = Path(__file__).with_name("golden.jsonl.gz")
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATIENCE = 20.0


def cases(group: str | None = None) -> list[Case]:
    """The recorded cases, of one group or all."""
    with gzip.open(CASES, "rt") as held:
        found = [json.loads(line) for line in held]
    return [case for case in found if group in {None, case["group"]}]


class Client:
    """Sends requests as they were recorded."""

    def __init__(self, server: str, token: str, authority: str) -> None:
        self.server = server
        self.token = token
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = authority

    def send(self, step: Step, limit: float = 60) -> tuple[int, Any, bytes]:
        """Status, headers and body of one request."""
        headers = {"User-Agent": "golden", "Accept": "application/json", **(step.get("headers") or {})}
        bearer = step.get("bearer", self.token)
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        body = step["body_raw"].encode() if "body_raw" in step else None
        if "body" in step:
            body = json.dumps(step["body"]).encode()
        url = self.server + step["path"]
        answer = self.session.request(
            step["method"], url, params=step.get("query"), headers=headers, data=body, timeout=(5, limit)
        )
        return answer.status_code, answer.headers, answer.content

    def get(self, path: str) -> int:
        """The status of a GET."""
        return self.send({"method": "GET", "path": path})[0]

    def post(self, path: str, body: Any) -> int:
        """The status of a POST."""
        headers = {"Content-Type": "application/json"}
        return self.send({"method": "POST", "path": path, "body": body, "headers": headers})[0]

    def delete(self, path: str) -> int:
        """The status of a DELETE."""
        return self.send({"method": "DELETE", "path": path})[0]


def dig(value: Any, path: list[Any]) -> Any:
    """The value at a path; `__len` is a length."""
    for key in path:
        if key == "__len":
            return len(value or [])
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def _parsed(raw: bytes, *, stream: bool) -> Any:
    if stream:
        return [json.loads(line) for line in raw.splitlines() if line.strip()]
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def perform(client: Client, step: Step) -> tuple[int, Any, Any]:
    """Send a step, again and again where it waits for something; the last answer counts."""
    watch = (step.get("query") or {}).get("watch") in {"1", "true"}
    end = time.monotonic() + PATIENCE
    time.sleep(step.get("wait", 0))
    while True:
        status, headers, raw = client.send(step)
        found = None if step["method"] == "HEAD" else _parsed(raw, stream=watch and status == 200)
        wanted = step.get("until") or []
        held = all((status if path == ["__code"] else dig(found, path)) == value for path, value in wanted)
        if held or time.monotonic() > end:
            return status, headers, found
        time.sleep(0.1)


def outcome(holders: Placeholders, step: Step, status: int, headers: Any, found: Any) -> dict[str, Any]:
    """What is compared of an answer."""
    holders.discover(found)
    if isinstance(found, list) and "sendInitialEvents" in (step.get("query") or {}):
        found = [event for event in found if not _plain_bookmark(event)]
    if step.get("pick") and isinstance(found, dict) and status < 300:
        found = {"/".join(map(str, path)): dig(found, path) for path in step["pick"]}
    kept = {key: headers[key] for key in ("Content-Type",) if headers.get(key)}
    if headers.get("Warning"):
        kept["Warning"] = holders.text(headers["Warning"])
    return {"status": status, "response_headers": kept, "response": holders.response(found)}


def _plain_bookmark(event: Any) -> bool:
    """Only the bookmark that ends the initial events comes at a fixed place."""
    meta = (event.get("object") or {}).get("metadata") or {}
    return event.get("type") == "BOOKMARK" and not meta.get("annotations")


def _until(check: Any, limit: float) -> None:
    end = time.monotonic() + limit
    while not check() and time.monotonic() < end:
        time.sleep(0.05)


def set_up(client: Client, case: Case) -> None:
    """The case's namespace and definitions."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": case["namespace"]}}
    _until(lambda: client.post("/api/v1/namespaces", namespace) == 201, 20)
    for definition in case.get("crds", []):
        client.post(DEFINITIONS, definition)
        spec = definition["spec"]
        for version in spec["versions"]:
            path = f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}"
            _until(lambda path=path: client.get(path) == 200, 10)
    for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
        _until(lambda path=path: client.get(f"/api/v1/namespaces/{case['namespace']}/{path}") == 200, 3)


def tear_down(client: Client, case: Case) -> None:
    """Delete what the case made."""
    for path in case.get("cleanup", []):
        client.delete(path)
    for definition in case.get("crds", []):
        client.delete(f"{DEFINITIONS}/{definition['metadata']['name']}")
    client.delete(f"/api/v1/namespaces/{case['namespace']}")


def differences(wanted: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for key in sorted(set(wanted) | set(got)):
            if key not in got:
                yield f"{path}.{key}: missing, expected {_short(wanted[key])}"
            elif key not in wanted:
                yield f"{path}.{key}: unexpected {_short(got[key])}"
            else:
                yield from differences(wanted[key], got[key], f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(got, list):
        if len(wanted) != len(got):
            yield f"{path}: {len(got)} entries, expected {len(wanted)}"
        for at, (one, other) in enumerate(zip(wanted, got, strict=False)):
            yield from differences(one, other, f"{path}[{at}]")
    elif wanted != got or type(wanted) is not type(got):
        yield f"{path}: expected {_short(wanted)}, got {_short(got)}"


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 300 else text[:300] + "..."


def replay(client: Client, case: Case) -> list[str]:
    """Run a case; the differences, none where the server answers as recorded."""
    holders = Placeholders(case["n"], managed=case.get("managedFields", False))
    found: list[str] = []
    set_up(client, case)
    try:
        for at, step in enumerate(case["steps"], 1):
            sent = {
                key: holders.actual(step[key])
                for key in ("path", "query", "headers", "body", "bearer")
                if key in step
            }
            sent |= {key: step[key] for key in ("method", "body_raw", "until", "pick", "wait") if key in step}
            got = outcome(holders, step, *perform(client, sent))
            where = f"step {at} {step['method']} {step['path']} "
            for key in ("status", "response_headers", "response"):
                found += [where + line for line in differences(step[key], got[key], key)]
    finally:
        tear_down(client, case)
    return found
