"""CEL rules of structural schemas (`x-kubernetes-validations`)."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cel

from rollout.sandbox.apiserver.errors import Cause, not_implemented
from rollout.sandbox.apiserver.shape import Schema
from rollout.sandbox.apiserver.validation import NONE, go_text, item_key, old_items, type_name

BLOCKING = {
    "FieldValueRequired",
    "FieldValueTypeInvalid",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueDuplicate",
}
UNCHECKED = Cause(
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
    "<nil>",
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "split": lambda text, by, limit=-1: text.split(by) if limit < 0 else text.split(by, limit - 1),
    "lowerAscii": lambda text: text.lower(),
    "upperAscii": lambda text: text.upper(),
    "trim": lambda text: text.strip(),
    "replace": lambda text, old, new: text.replace(old, new),
    "substring": lambda text, start, end=None: text[start:end],
    "indexOf": lambda held, item: held.index(item) if item in held else -1,
    "charAt": lambda text, at: text[at : at + 1],
    "join": lambda items, by="": by.join(items),
    "sum": sum,
    "isSorted": lambda items: list(items) == sorted(items),
    "find": lambda text, pattern: ((m := re.search(pattern, text)) and m.group()) or "",
    "findAll": lambda text, pattern: [m.group() for m in re.finditer(pattern, text)],
}


class RuleError(Exception):
    """A rule that failed to evaluate; its text is the evaluator's."""


@lru_cache(maxsize=4096)
def compiled(expression: str) -> Any:
    """The program of an expression; raises `ValueError` where it does not parse."""
    return cel.compile(expression)


def evaluate(expression: str, variables: dict[str, Any]) -> Any:
    """The value of an expression; raises `RuleError` where evaluation fails and 501 for a function not
    built."""
    context = cel.Context(variables=variables, functions=FUNCTIONS)
    try:
        return compiled(expression).execute(context)
    except KeyError as error:
        raise RuleError(f"no such key: {error.args[0]}") from error
    except RuntimeError as error:
        if "Undefined variable or function" in str(error):
            raise not_implemented(f"what the CEL rule {expression!r} uses") from error
        raise RuleError(str(error)) from error
    except (TypeError, ValueError) as error:
        raise RuleError(str(error)) from error


def static_problem(expression: str, schema: Schema) -> str | None:
    """What the types of the schema say against a rule, as far as this can be told: fields, and that it is a
    test."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not properties or schema.get("x-kubernetes-preserve-unknown-fields"):
        return None
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", lambda m: " " * len(m.group()), expression)
    known = set(properties) | ({"apiVersion", "kind", "metadata"})
    for matched in re.finditer(r"\b(?:self|oldSelf)\.([A-Za-z_]\w*)(?!\w|\()", bare):
        name = matched.group(1)
        if name not in known and not name.startswith("__"):
            column = matched.start(1)
            shown = f"ERROR: <input>:1:{column}: undefined field '{name}'"
            return f"compilation failed: {shown}\n | {expression}\n | {'.' * (column - 1)}^"
    lone = re.fullmatch(r"\s*self\.(\w+)\s*", expression)
    if lone and properties.get(lone.group(1), {}).get("type") not in {"boolean", None}:
        return "cel expression must evaluate to a bool"
    return None


def has_rules(schema: Schema) -> bool:
    """Whether any rule stands in the schema."""
    if schema.get("x-kubernetes-validations"):
        return True
    held = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return any(has_rules(child) for child in held if isinstance(child, dict))


def check(value: Any, schema: Schema, path: str = "", old: Any = NONE) -> list[Cause]:
    """The rules that a value breaks, at any depth; what did not change is not looked at."""
    if old is not NONE and old == value:
        return []
    if value is None:
        return []
    found = [
        cause
        for rule in schema.get("x-kubernetes-validations", ())
        if (cause := _broken(rule, value, schema, path, old))
    ]
    if isinstance(value, dict):
        extra = schema.get("additionalProperties")
        for key, item in value.items():
            child = schema.get("properties", {}).get(key, extra if isinstance(extra, dict) else None)
            if child is not None:
                before = old[key] if isinstance(old, dict) and key in old else NONE
                named = isinstance(extra, dict) and key not in schema.get("properties", {})
                below = f"{path}[{key}]" if named else (f"{path}.{key}" if path else key)
                found += check(item, child, below, before)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        held = old_items(schema, old)
        for at, item in enumerate(value):
            before = held.get(str(item_key(schema, item)), NONE) if held else NONE
            found += check(item, schema["items"], f"{path}[{at}]", before)
    return found


def _broken(rule: dict[str, Any], value: Any, schema: Schema, path: str, old: Any) -> Cause | None:
    expression = rule["rule"]
    variables = {"self": typed(value, schema)}
    if re.search(r"\boldSelf\b", expression):
        if rule.get("optionalOldSelf"):
            variables["oldSelf"] = (
                cel.OptionalValue.none() if old is NONE else cel.OptionalValue.of(typed(old, schema))
            )
        elif old is NONE:
            return None
        else:
            variables["oldSelf"] = typed(old, schema)
    field = path + rule.get("fieldPath", "")
    try:
        if evaluate(expression, variables) is True:
            return None
    except RuleError as error:
        text = f"{error} evaluating rule: {rule.get('message') or expression}"
        return Cause("FieldValueInvalid", f'Invalid value: "{type_name(value)}": {text}', field)
    return _refusal(rule, _message(rule, variables), value, field)


def _message(rule: dict[str, Any], variables: dict[str, Any]) -> str:
    if rule.get("messageExpression"):
        try:
            text = evaluate(rule["messageExpression"], variables)
        except RuleError:
            text = None
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text
    return str(rule.get("message") or f"failed rule: {rule['rule']}").strip()


def _refusal(rule: dict[str, Any], message: str, value: Any, field: str) -> Cause:
    match rule.get("reason", "FieldValueInvalid"):
        case "FieldValueForbidden":
            return Cause("FieldValueForbidden", f"Forbidden: {message}", field)
        case "FieldValueRequired":
            return Cause("FieldValueRequired", f"Required value: {message}", field)
        case "FieldValueDuplicate":
            return Cause("FieldValueDuplicate", f"Duplicate value: {_shown(value)}", field)
        case _:
            shown = _shown(value)
            return Cause("FieldValueInvalid", f"Invalid value: {shown}{message}", field)


def _shown(value: Any) -> str:
    """Objects and lists are not quoted."""
    return "" if isinstance(value, (dict, list)) else f"{go_text(value)}: "


def typed(value: Any, schema: Schema) -> Any:
    """A value with the types that CEL expects: numbers of type `number` are doubles."""
    if isinstance(value, dict):
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
        rest = extra if isinstance(extra, dict) else {}
        return {key: typed(item, properties.get(key, rest)) for key, item in value.items()}
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [typed(item, items) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and schema.get("type") == "number":
        return float(value)
    if isinstance(value, float) and schema.get("type") == "integer":
        return int(value)
    return value
