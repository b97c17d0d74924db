"""Validating webhooks: asked over https before a write that comes over HTTP is stored.

They see the object as it would be stored. Mutating webhooks, and selectors in a configuration, are not built.
"""

import asyncio
import base64
import ssl
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from rollout.sandbox.apiserver import rules
from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.served import Write
from rollout.sandbox.apiserver.store import Store
from rollout.sandbox.apiserver.target import Target

CONFIGURATIONS = ("admissionregistration.k8s.io", "validatingwebhookconfigurations")
SLICES = ("discovery.k8s.io", "endpointslices")


class _NoAnswerError(Exception):
    """A webhook that could not be asked, or said nothing sensible."""


@dataclass(frozen=True, slots=True)
class Change:
    """A write as it would be stored."""

    target: Target
    write: Write
    obj: Object
    old: Object | None

    @property
    def operation(self) -> str:
        """CREATE or UPDATE."""
        return "UPDATE" if self.old is not None else "CREATE"

    def request(self) -> Object:
        """As an AdmissionReview asks about it."""
        resource, caller = self.target.served.name.resource, self.write.caller
        kind = {"group": resource.group, "version": resource.version, "kind": self.target.served.kind}
        served = {"group": resource.group, "version": resource.version, "resource": resource.plural}
        namespace = {"namespace": self.target.namespace} if self.target.namespace else {}
        return {
            "uid": str(uuid.uuid4()),
            "kind": kind,
            "resource": served,
            "requestKind": kind,
            "requestResource": served,
            "name": self.obj["metadata"].get("name", ""),
            **namespace,
            "operation": self.operation,
            "userInfo": {"username": self.write.caller.name, "groups": list(caller.groups)},
            "object": self.obj,
            "oldObject": self.old,
            "dryRun": self.write.dry_run,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": f"{self.operation.title()}Options"},
        }


def interested(store: Store, target: Target) -> tuple[Object, ...]:
    """Webhooks that a rule names the resource for."""
    configurations = store.objects.get(CONFIGURATIONS, {}).values()
    every = (each for held in configurations for each in held.obj.get("webhooks") or ())
    return tuple(each for each in every if any(_names(rule, target) for rule in each.get("rules") or ()))


def _names(rule: Mapping[str, Any], target: Target) -> bool:
    resource = target.served.name.resource
    path = f"{resource.plural}/{target.subresource}" if target.subresource else resource.plural
    return (
        bool({"*", resource.group} & set(rule["apiGroups"]))
        and bool({"*", resource.version} & set(rule["apiVersions"]))
        and bool({path, "*/*", *([] if target.subresource else ["*"])} & set(rule["resources"]))
    )


async def consult(store: Store, hooks: tuple[Object, ...], change: Change) -> None:
    """Ask all of them at once, and take over their warnings; raises what the first one says that refuses."""
    request = change.request()
    asked = [hook for hook in hooks if _operates(hook, change) and _matches(hook, request)]
    answers = await asyncio.gather(*(_asked(store, hook, request) for hook in asked))
    for hook, answer in zip(asked, answers, strict=True):
        if isinstance(answer, _NoAnswerError):
            if hook["failurePolicy"] == "Fail":
                text = f"failed calling webhook {hook['name']!r}: failed to call webhook: {answer}"
                raise ApiError(500, "InternalError", f"Internal error occurred: {text}".replace("'", '"'))
            continue
        change.write.warnings += answer.get("warnings") or ()
        if not answer.get("allowed"):
            raise _refusal(hook["name"], answer.get("status") or {})


def _operates(hook: Object, change: Change) -> bool:
    wanted = {"*", change.operation}
    return any(_names(rule, change.target) and wanted & set(rule["operations"]) for rule in hook["rules"])


def _matches(hook: Object, request: Object) -> bool:
    """Whether all matchConditions hold; one that fails leaves the webhook out, as Ignore does."""
    known = {name: request[name] for name in ("object", "oldObject")} | {"request": request}
    try:
        return all(
            rules.evaluate(each["expression"], known) is True for each in hook.get("matchConditions") or ()
        )
    except rules.RuleError:
        return False


async def _asked(store: Store, hook: Object, request: Object) -> Object | _NoAnswerError:
    config, seconds = hook["clientConfig"], hook["timeoutSeconds"]
    review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    try:
        url, host = _place(store, config)
        context = ssl.create_default_context(cadata=base64.b64decode(config.get("caBundle", "")).decode())
        limit = aiohttp.ClientTimeout(total=seconds)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.post(
                url, json=review, ssl=context, server_hostname=host, params={"timeout": f"{seconds}s"}
            ) as reply,
        ):
            if reply.status != 200:
                raise _NoAnswerError(f"an error on the server ({await reply.text()!r})")
            answer: Object = (await reply.json())["response"]
    except _NoAnswerError as failed:
        return failed
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, OSError) as failed:
        return _NoAnswerError(str(failed) or type(failed).__name__)
    return answer if answer.get("uid") == request["uid"] else _NoAnswerError("expected response.uid")


def _place(store: Store, config: Object) -> tuple[str, str | None]:
    """(URL, name that the certificate must be for where it is another than the URL's)."""
    if "url" in config:
        return config["url"], None
    service = config["service"]
    host = f"{service['name']}.{service['namespace']}.svc"
    for address, port in _endpoints(store, service):
        return f"https://{address}:{port}{service.get('path', '/')}", host
    raise _NoAnswerError(f'no endpoints available for service "{service["name"]}"')


def _endpoints(store: Store, service: Object) -> Iterator[tuple[str, int]]:
    for (namespace, _), held in store.objects.get(SLICES, {}).items():
        labels = held.obj["metadata"].get("labels") or {}
        if namespace != service["namespace"] or labels.get("kubernetes.io/service-name") != service["name"]:
            continue
        ports = [port["port"] for port in held.obj.get("ports") or ()]
        for endpoint in held.obj.get("endpoints") or ():
            if ports and endpoint["conditions"].get("ready", True):
                yield endpoint["addresses"][0], ports[0]


def _refusal(name: str, status: Object) -> ApiError:
    denied = f'admission webhook "{name}" denied the request'
    why = status.get("message") or status.get("reason") or "without explanation"
    code = max(int(status.get("code") or 400), 400)
    return ApiError(code, str(status.get("reason", "")), f"{denied}: {why}", status.get("details"))
