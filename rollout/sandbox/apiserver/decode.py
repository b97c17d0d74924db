"""From a request's body to an object of a kind: parsing, types, unknown and duplicate fields."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from rollout.sandbox.apiserver.errors import ApiError, bad_request
from rollout.sandbox.apiserver.parsing import DecodeError, json_kind
from rollout.sandbox.apiserver.resource import Object, copied
from rollout.sandbox.apiserver.shape import ANY, OBJECT_META, Shape, definition

GO_TYPES = {"string": "string", "boolean": "bool", "integer": "int32", "number": "float64"}


@dataclass(slots=True)
class Findings:
    """What strict decoding would refuse: unknown and duplicate fields, in the order found."""

    problems: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """Note one, once."""
        if problem not in self.problems:
            self.problems.append(problem)


def _go_type(shape: Shape) -> str:
    if shape.name:
        return f"v1.{shape.name}"
    if shape.type == "array":
        item = _go_type(shape.items or ANY)
        return f"[]{item}"
    if shape.type == "object" and shape.additional is not None:
        return f"map[string]{_go_type(shape.additional)}"
    if shape.type == "integer":
        return "int64" if shape.format == "int64" else "int32"
    return GO_TYPES.get(shape.type, "string")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the decoder is: the path with indices, the path of field names, and the structure it is in."""

    path: str = ""
    fields: str = ""
    owner: str = ""

    def below(self, key: str, owner: str, *, entry: bool = False) -> "_Place":
        path = f"{self.path}.{key}" if self.path else key
        fields = self.fields if entry else (f"{self.fields}.{key}" if self.fields else key)
        return _Place(path, fields, owner)

    def at(self, index: int) -> "_Place":
        return _Place(f"{self.path}[{index}]", self.fields, self.owner)


ZERO_OMITTED = {
    ("ReplicaSetStatus", "readyReplicas"),
    ("ReplicaSetStatus", "availableReplicas"),
    ("ReplicaSetStatus", "fullyLabeledReplicas"),
    ("ReplicaSetStatus", "observedGeneration"),
    ("DeploymentStatus", "replicas"),
    ("DeploymentStatus", "readyReplicas"),
    ("DeploymentStatus", "availableReplicas"),
    ("DeploymentStatus", "updatedReplicas"),
    ("DeploymentStatus", "unavailableReplicas"),
    ("DeploymentStatus", "observedGeneration"),
    ("JobStatus", "active"),
    ("JobStatus", "succeeded"),
    ("JobStatus", "failed"),
    ("ReplicaSetSpec", "minReadySeconds"),
    ("DeploymentSpec", "minReadySeconds"),
    ("ContainerPort", "hostPort"),
    ("ServicePort", "nodePort"),
    ("Event", "count"),
    ("Event", "deprecatedCount"),
    ("Probe", "initialDelaySeconds"),
    ("ScaleSpec", "replicas"),
    ("ObjectMeta", "generation"),
}
FALSE_OMITTED = {
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "stdin",
    "stdinOnce",
    "tty",
    "paused",
    "publishNotReadyAddresses",
}


def _omitted(shape: Shape, key: str, value: Any) -> bool:
    """Whether Go's encoder leaves the value out (`omitempty` of a field that is no pointer)."""
    if value is False:
        return key in FALSE_OMITTED or (key == "readOnly" and shape.name == "VolumeMount")
    if value == 0 and isinstance(value, int):
        return (shape.name, key) in ZERO_OMITTED
    if key in shape.required:
        return False
    if value == "":
        return key not in {"storageClassName", "loadBalancerClass"}
    child = shape.properties.get(key)
    return child is not None and value in ([], {}) and (child.type == "array" or child.is_map)


def decode_builtin(value: Any, shape: Shape, found: Findings, place: _Place | None = None) -> Any:
    """The value as Go would read and write it: unknown fields dropped and noted, empty ones left out.

    Raises `DecodeError` where a value has another type.
    """
    place = place or _Place(owner=shape.name)
    if value is None:
        return None
    if isinstance(value, dict) and shape.free and not shape.properties:
        return value
    match shape.type:
        case "object" if isinstance(value, dict):
            return _decode_object(value, shape, found, place)
        case "array" if isinstance(value, list):
            items = shape.items or ANY
            decoded = (decode_builtin(item, items, found, place.at(at)) for at, item in enumerate(value))
            return [_zero(items) if item is None else item for item in decoded]
        case "" | "object" if shape.free or shape.type == "":
            return (
                _decode_object(value, shape, found, place)
                if isinstance(value, dict) and shape.properties
                else value
            )
        case _:
            return _decode_scalar(value, shape, place)


def _zero(shape: Shape) -> Any:
    """What Go reads from a null in a list."""
    zeros: dict[str, Any] = {"string": "", "object": {}, "integer": 0, "boolean": False, "array": []}
    return copied(zeros.get(shape.type))


def _decode_object(value: Object, shape: Shape, found: Findings, place: _Place) -> Object:
    result: Object = {}
    for key, item in value.items():
        child = shape.child(key)
        if child is None:
            if shape.free:
                result[key] = item
            else:
                found.add(f'unknown field "{place.below(key, "").path}"')
            continue
        entry = shape.is_map and key not in shape.properties
        decoded = decode_builtin(item, child, found, place.below(key, shape.name or place.owner, entry=entry))
        if decoded is None and not entry:
            continue
        if decoded is None:
            decoded = _zero(child)
        if entry or not _omitted(shape, key, decoded):
            result[key] = decoded
    return result


def _decode_scalar(value: Any, shape: Shape, place: _Place) -> Any:
    good = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, (int, float)) and not isinstance(value, bool),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
    }.get(shape.type, False)
    if shape.int_or_string:
        good = isinstance(value, (str, int)) and not isinstance(value, bool)
    if shape.name == "Quantity":
        good = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    if not good:
        kind, go = json_kind(value), _go_type(shape)
        raise DecodeError(
            f"json: cannot unmarshal {kind} into Go struct field {place.owner}.{place.fields} of type {go}"
        )
    if shape.type == "integer" and isinstance(value, float):
        if value != int(value):
            text = (
                f"json: cannot unmarshal number {value} into Go struct field "
                f"{place.owner}.{place.fields} of type {_go_type(shape)}"
            )
            raise DecodeError(text)
        return int(value)
    if shape.format == "byte":
        return _base64(value)
    if shape.name == "Quantity":
        return str(value)
    if shape.format == "date-time":
        return _time(value, micro=shape.name == "MicroTime")
    return value


def _base64(text: str) -> str:
    clean = text.replace("\n", "").replace("\r", "")
    matched = re.match(r"^[A-Za-z0-9+/]*", clean)
    good = matched.end() if matched else 0
    if good == len(clean):
        good -= good % 4
    try:
        base64.b64decode(clean, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError(f"illegal base64 data at input byte {min(good, len(clean))}") from error
    return clean


def _time(text: str, *, micro: bool) -> str:
    layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text):
        raise DecodeError(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"')
    if micro and "." not in text:
        raise DecodeError(f'parsing time "{text}" as "{layout}": cannot parse "{text[19:]}" as ".000000"')
    if micro and text.endswith("Z"):
        head, _, fraction = text[:-1].partition(".")
        return f"{head}.{fraction[:6].ljust(6, '0')}Z"
    if not micro:
        return re.sub(r"\.\d+", "", text)
    return text


def decode_metadata(value: Any, found: Findings) -> Any:
    """The metadata of a custom resource, whose decoder names fields without their path."""
    shape = definition(OBJECT_META)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DecodeError(f"json: cannot unmarshal {json_kind(value)} into Go value of type v1.ObjectMeta")
    local = Findings()
    try:
        result = decode_builtin(value, shape, local, _Place(owner="ObjectMeta"))
    except DecodeError as error:
        raise DecodeError(str(error)) from error
    for problem in local.problems:
        found.add(problem.replace('unknown field "', 'unknown field "metadata.'))
    return result


def not_handled(kind: str, version: str, error: DecodeError, expected: str = "") -> ApiError:
    """400 as the decoder words it."""
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {expected or kind}: {error}')
