"""Bearer tokens and the users they stand for."""

import base64
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson

from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Caller
from rollout.sandbox.apiserver.target import Target

if TYPE_CHECKING:
    from rollout.sandbox.apiserver.core import Api


class Tokens:
    """Issued tokens; they live as long as the server."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {}

    def issue(self, caller: Caller) -> str:
        """A token for a user; it has the look of a JWT, and no meaning but its entry here."""
        head = _part({"alg": "none", "typ": "JWT"})
        body = _part({"sub": caller.name, "jti": secrets.token_hex(16)})
        token = f"{head}.{body}.{secrets.token_urlsafe(16)}"
        self.callers[token] = caller
        return token

    def caller(self, token: str) -> Caller | None:
        """Whose token it is."""
        return self.callers.get(token)


def _part(value: Object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def service_account(namespace: str, name: str, uid: str = "") -> Caller:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return Caller(f"system:serviceaccount:{namespace}:{name}", groups, uid)


def request(api: "Api", target: Target, body: Object) -> Object:
    """TokenRequest of a service account."""
    account = api.writer.current(Target(target.served, target.namespace, target.name)).obj
    caller = service_account(target.namespace or "", target.name, account["metadata"]["uid"])
    spec = {**(body.get("spec") or {})}
    seconds = spec.setdefault("expirationSeconds", 3600)
    spec.setdefault("audiences", ["https://kubernetes.default.svc"])
    expires = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    meta = {
        "name": target.name,
        "namespace": target.namespace,
        "creationTimestamp": account["metadata"]["creationTimestamp"],
    }
    status = {"token": api.tokens.issue(caller), "expirationTimestamp": expires}
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": meta,
        "spec": spec,
        "status": status,
    }
