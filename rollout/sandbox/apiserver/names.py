"""Which names, labels and annotations are valid, and what the API says of those that aren't."""

import re

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
DNS1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
VALUE = rf"({NAME})?"

NAME_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{NAME}')"
)
VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' "
    "or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex "
    f"used for validation is '{VALUE}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' "
    "or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
)
DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with "
    "an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    f"validation is '{DNS1035}')"
)
CONFIG_KEY = r"[-._a-zA-Z0-9]+"
CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    f"(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '{CONFIG_KEY}')"
)


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def _checked(value: str, pattern: str, text: str, limit: int) -> list[str]:
    found = [_too_long(limit)] if len(value) > limit else []
    return found if re.fullmatch(pattern, value) else [*found, text]


def subdomain(value: str) -> list[str]:
    """What is wrong with a DNS subdomain name."""
    return _checked(value, SUBDOMAIN, SUBDOMAIN_TEXT, 253)


def label(value: str) -> list[str]:
    """What is wrong with an RFC 1123 label."""
    return _checked(value, LABEL, LABEL_TEXT, 63)


def dns1035(value: str) -> list[str]:
    """What is wrong with an RFC 1035 label."""
    if "." in value:
        return ["must not contain dots"]
    return _checked(value, DNS1035, DNS1035_TEXT, 63)


def label_value(value: str) -> list[str]:
    """What is wrong with a label's value."""
    return _checked(value, VALUE, VALUE_TEXT, 63)


def path_segment(value: str) -> list[str]:
    """What is wrong with a name that only has to fit into a path (roles)."""
    if value in {".", ".."}:
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in ("/", "%") if char in value]


def config_key(value: str) -> list[str]:
    """What is wrong with a key of a ConfigMap or Secret."""
    if value in {".", ".."}:
        return [f"may not be '{value}'"]
    return _checked(value, CONFIG_KEY, CONFIG_KEY_TEXT, 253)


def qualified_name(value: str) -> list[str]:
    """What is wrong with a label's or annotation's key: an optional DNS prefix, a slash and a name."""
    parts = value.split("/")
    found: list[str] = []
    if len(parts) > 2:
        text = (
            f"a valid label key {NAME_TEXT} with an optional DNS subdomain prefix and '/' (e.g. "
            "'example.com/MyName')"
        )
        return [text]
    if len(parts) == 2:
        if not parts[0]:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {text}" for text in subdomain(parts[0])]
    name = parts[-1]
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > 63:
        found.append(f"name part {_too_long(63)}")
    if not re.fullmatch(NAME, name):
        found.append(f"name part {NAME_TEXT}")
    return found
