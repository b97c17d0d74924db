"""ValidatingWebhookConfigurations."""

from rollout.sandbox.apiserver.errors import Cause, not_implemented
from rollout.sandbox.apiserver.kinds.checks import required, unsupported
from rollout.sandbox.apiserver.resource import Object

SELECTORS = ("namespaceSelector", "objectSelector")


def default(obj: Object) -> None:
    """What a webhook does that nobody said."""
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("timeoutSeconds", 10)
        for selector in SELECTORS:
            hook.setdefault(selector, {})
        service = hook.get("clientConfig", {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        for rule in hook.get("rules") or ():
            rule.setdefault("scope", "*")


def validate(new: Object, _old: Object | None) -> list[Cause]:
    """What every webhook needs; raises 501 for selectors."""
    found: list[Cause] = []
    for at, hook in enumerate(new.get("webhooks") or ()):
        path = f"webhooks[{at}]"
        if hook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            allowed = ("None", "NoneOnDryRun")
            found.append(unsupported(f"{path}.sideEffects", hook.get("sideEffects"), allowed))
        if not hook.get("admissionReviewVersions"):
            found.append(required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1"))
        if any(hook.get(selector) for selector in SELECTORS):
            raise not_implemented("selectors of webhooks")
    return found
