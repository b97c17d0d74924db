"""JSON patch, merge patch and strategic merge patch."""

from typing import Any

import jsonpatch
import jsonpointer

from rollout.sandbox.apiserver.errors import ApiError, bad_request
from rollout.sandbox.apiserver.resource import copied
from rollout.sandbox.apiserver.shape import Shape

REJECTED = "the server rejected our request due to an error in our request"


class PatchRefusedError(ApiError):
    """422: the patch does not fit the object."""

    def __init__(self) -> None:
        super().__init__(422, "Invalid", REJECTED, {})


def json_patch(document: Any, operations: Any) -> Any:
    """RFC 6902, with the leniency of the original: replacing an absent member of an object adds it."""
    if not isinstance(operations, list):
        kind = "object" if isinstance(operations, dict) else "value"
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type "
            "[]handlers.jsonPatchOp"
        )
    if len(operations) > 10000:
        text = f"The allowed maximum operations in a JSON patch is 10000, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", text)
    result = copied(document)
    for operation in operations:
        try:
            result = jsonpatch.JsonPatch([_lenient(result, operation)]).apply(result, in_place=True)
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError) as error:
            raise PatchRefusedError from error
    return result


def _lenient(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or operation.get("op") not in {"replace", "remove"}:
        return operation
    if operation["op"] == "replace":
        pointer = jsonpointer.JsonPointer(operation["path"])
        parent, key = pointer.to_last(document)
        if isinstance(parent, dict) and key not in parent:
            return {**operation, "op": "add"}
    return operation


def merge_patch(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(document: Any, patch: Any, shape: Shape | None) -> Any:
    """Merge `patch` into a mapping by the merge keys of its shape."""
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    result = dict(document) if isinstance(document, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.split("/", 1)[1]
            result[field] = [item for item in result.get(field) or () if item not in value]
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
            continue
        child = shape.child(key) if shape else None
        result[key] = _strategic_value(result.get(key), value, child)
    for key, order in patch.items():
        if key.startswith("$setElementOrder/") and isinstance(order, list):
            field = key.split("/", 1)[1]
            child = shape.child(field) if shape else None
            if isinstance(result.get(field), list):
                held = document.get(field) if isinstance(document, dict) else None
                result[field] = _in_order(result[field], order, held or [], child)
    return result


def _strategic_value(old: Any, new: Any, shape: Shape | None) -> Any:
    if isinstance(new, dict):
        if isinstance(old, dict) and shape is not None and "replace" in shape.merge_strategy:
            return new
        if shape is not None and "retainKeys" in shape.merge_strategy and "$retainKeys" not in new:
            return strategic_patch(old, new, shape)
        return strategic_patch(old, new, shape)
    if isinstance(new, list) and shape is not None and "merge" in shape.merge_strategy:
        if shape.merge_key:
            return _merge_list(old or [], new, shape)
        return (
            [*new, *(item for item in old or () if item not in new)]
            if old
            else [item for at, item in enumerate(new) if item not in new[:at]]
        )
    return _without_directives(new)


def _without_directives(value: Any) -> Any:
    if isinstance(value, list):
        return [
            _without_directives(item) for item in value if not (isinstance(item, dict) and "$patch" in item)
        ]
    return value


def _merge_list(old: list[Any], new: list[Any], shape: Shape) -> list[Any]:
    key = shape.merge_key
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in new):
        return [item for item in new if not (isinstance(item, dict) and item.get("$patch") == "replace")]
    held, patched = list(old), []
    for item in new:
        if not isinstance(item, dict) or item.get(key) is None:
            raise ApiError(500, "", f"map: {go_map(item)} does not contain declared merge key: {key}")
        before = next((other for other in held if other.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            held = [other for other in held if other.get(key) != item[key]]
        else:
            patched.append(strategic_patch(before or {}, item, shape.items))
    names = [item[key] for item in patched]
    rest = [item for item in held if item.get(key) not in names]
    return _interleave(rest, patched, old, shape)


def go_map(item: Any) -> str:
    """A mapping as Go prints it."""
    if not isinstance(item, dict):
        return str(item)
    return "map[" + " ".join(f"{key}:{item[key]}" for key in sorted(item)) + "]"


def _identity(item: Any, shape: Shape | None) -> Any:
    return (
        item.get(shape.merge_key)
        if shape is not None and shape.merge_key and isinstance(item, dict)
        else item
    )


def _interleave(rest: list[Any], patched: list[Any], before: list[Any], shape: Shape | None) -> list[Any]:
    """Patched items in their order; each of the others before the patched one that it stood before."""
    places = [_identity(item, shape) for item in before]

    def comes_first(left: Any, right: Any) -> bool:
        one, other = _identity(left, shape), _identity(right, shape)
        return one in places and other in places and places.index(one) < places.index(other)

    result: list[Any] = []
    rest, patched = list(rest), list(patched)
    while rest or patched:
        if not patched or (rest and comes_first(rest[0], patched[0])):
            result.append(rest.pop(0))
        else:
            result.append(patched.pop(0))
    return result


def _in_order(items: list[Any], order: list[Any], before: list[Any], shape: Shape | None) -> list[Any]:
    """Items that `$setElementOrder` names come in that order; the others keep their place among them."""
    wanted = [_identity(item, shape) for item in order]
    named = [item for item in items if _identity(item, shape) in wanted]
    named.sort(key=lambda item: wanted.index(_identity(item, shape)))
    rest = [item for item in items if _identity(item, shape) not in wanted]
    return _interleave(rest, named, before, shape)
