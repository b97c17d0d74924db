"""DELETE: grace periods, finalizers, propagation and preconditions."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rollout.sandbox import clock
from rollout.sandbox.apiserver import metadata
from rollout.sandbox.apiserver.errors import Cause, bad_request, conflict, invalid
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.store import Stored
from rollout.sandbox.apiserver.target import Target
from rollout.sandbox.apiserver.writes import Writer

POLICIES = ("Foreground", "Background", "Orphan")
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How a deletion is to be done."""

    grace_seconds: int | None = None
    propagation: str | None = None
    orphan_dependents: bool | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False

    def check(self) -> None:
        """Raise 422 where the options don't agree."""
        found = []
        if self.propagation and self.orphan_dependents is not None:
            text = "orphanDependents and deletionPropagation cannot be both set"
            found.append(
                Cause(
                    "FieldValueInvalid", f'Invalid value: "{self.propagation}": {text}', "propagationPolicy"
                )
            )
        if self.propagation and self.propagation not in POLICIES:
            listed = ", ".join(f'"{policy}"' for policy in (*POLICIES, "nil"))
            text = f'Unsupported value: "{self.propagation}": supported values: {listed}'
            found.append(Cause("FieldValueNotSupported", text, "propagationPolicy"))
        if found:
            raise invalid("meta.k8s.io", "DeleteOptions", "", found)

    @property
    def policy(self) -> str | None:
        """The propagation asked for."""
        if self.orphan_dependents is not None:
            return "Orphan" if self.orphan_dependents else "Background"
        return self.propagation


def parse_options(body: Any, query: dict[str, str]) -> DeleteOptions:
    """From a DeleteOptions body, or from the query where there is none."""
    if body:
        if not isinstance(body, dict):
            raise bad_request("the body of a delete must be DeleteOptions")
        pre = body.get("preconditions") or {}
        return DeleteOptions(
            body.get("gracePeriodSeconds"),
            body.get("propagationPolicy"),
            body.get("orphanDependents"),
            pre.get("uid") or "",
            pre.get("resourceVersion") or "",
            bool(body.get("dryRun")) or query.get("dryRun") == "All",
        )
    grace = query.get("gracePeriodSeconds")
    orphan = query.get("orphanDependents")
    return DeleteOptions(
        int(grace) if grace else None,
        query.get("propagationPolicy"),
        None if orphan is None else orphan == "true",
        dry_run=query.get("dryRun") == "All",
    )


def delete(writer: Writer, target: Target, options: DeleteOptions) -> tuple[Object, bool]:
    """Delete one object: what is answered, and whether it is gone at once. Raises 404, 409, 422."""
    options.check()
    current = writer.current(target)
    _check_preconditions(target, current, options)
    obj = {**current.obj, "metadata": dict(current.obj["metadata"])}
    if _begin(target, obj, options):
        if obj == current.obj or options.dry_run:
            return (current.obj if obj == current.obj else obj), False
        return writer.put(target, obj), False
    if not options.dry_run:
        writer.remove(target, current.obj)
    if target.served.strategy.returns_deleted or target.served.kind in {"Namespace"}:
        return obj, True
    return deleted_status(target, obj), True


def deleted_status(target: Target, obj: Object) -> Object:
    """The Status that says what was deleted."""
    details = {"name": target.name, "kind": target.served.plural, "uid": obj["metadata"]["uid"]}
    if target.served.group:
        details["group"] = target.served.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _check_preconditions(target: Target, current: Stored, options: DeleteOptions) -> None:
    meta, served = current.obj["metadata"], target.served
    if options.uid and options.uid != meta["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise conflict(served.group, served.kind, target.name, why)
    if options.resource_version and options.resource_version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({meta['resourceVersion']}). The object might have been modified"
        )
        raise conflict(served.group, served.kind, target.name, why)


def _begin(target: Target, obj: Object, options: DeleteOptions) -> bool:
    """Mark an object as deleted; whether something still holds it."""
    meta = obj["metadata"]
    if target.served.kind == "Namespace" and not target.served.group:
        return _begin_namespace(obj)
    finalizers = _finalizers(meta.get("finalizers") or [], options.policy)
    if (
        target.served.kind == "CustomResourceDefinition"
        and CLEANUP not in finalizers
        and not meta.get("deletionTimestamp")
    ):
        finalizers = [*finalizers, CLEANUP]
    if finalizers != (meta.get("finalizers") or []):
        meta["finalizers"] = finalizers
        if not finalizers:
            del meta["finalizers"]
    grace = _grace(target, obj, options)
    if not finalizers and not grace:
        if meta.get("deletionTimestamp") or target.served.kind == "Pod":
            meta["deletionGracePeriodSeconds"] = 0
            meta.setdefault("deletionTimestamp", metadata.now())
        return False
    if not meta.get("deletionTimestamp"):
        _mark(target, obj, grace)
    elif grace < meta.get("deletionGracePeriodSeconds", 0):
        meta["deletionGracePeriodSeconds"] = grace
        meta["deletionTimestamp"] = _after(grace)
    return True


def _mark(target: Target, obj: Object, grace: int) -> None:
    meta = obj["metadata"]
    meta["deletionTimestamp"] = _after(grace)
    if target.served.kind == "CustomResourceDefinition":
        _terminating(obj)
        return
    meta["deletionGracePeriodSeconds"] = grace
    if meta.get("generation"):
        meta["generation"] += 1


def _terminating(obj: Object) -> None:
    """Say in the status of a definition that its objects are about to go."""
    condition = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": metadata.now(),
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }
    status = obj.get("status") or {}
    obj["status"] = {**status, "conditions": [*(status.get("conditions") or ()), condition]}


def _after(seconds: int) -> str:
    return clock.stamp(clock.now() + timedelta(seconds=seconds))


def _finalizers(held: list[str], policy: str | None) -> list[str]:
    if policy is None:
        return held
    rest = [name for name in held if name not in {"orphan", "foregroundDeletion"}]
    match policy:
        case "Orphan":
            return [*rest, "orphan"]
        case "Foreground":
            return [*rest, "foregroundDeletion"]
        case _:
            return rest


def _grace(target: Target, obj: Object, options: DeleteOptions) -> int:
    """Seconds a pod is given; other kinds go at once."""
    if target.served.kind != "Pod" or target.served.group:
        return 0
    spec, meta = obj["spec"], obj["metadata"]
    asked = options.grace_seconds
    if asked is None:
        asked = meta.get("deletionGracePeriodSeconds", spec.get("terminationGracePeriodSeconds", 30))
    finished = obj.get("status", {}).get("phase") in {"Failed", "Succeeded"}
    if not spec.get("nodeName") or finished:
        return 0
    return max(int(asked), 0)


def _begin_namespace(obj: Object) -> bool:
    if not (obj.get("spec") or {}).get("finalizers") and not obj["metadata"].get("finalizers"):
        return False
    if not obj["metadata"].get("deletionTimestamp"):
        obj["metadata"]["deletionTimestamp"] = metadata.now()
        obj["status"] = {**obj.get("status", {}), "phase": "Terminating"}
    return True
