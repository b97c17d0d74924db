"""Bytes to documents: what is understood, what is refused and where, and that nothing else can happen."""

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.git.documents import MAX_DOCUMENTS, Document, Malformed, Position, parse_documents


def value(text: str) -> Any:
    (document,) = parse_documents(f"a: {text}\n".encode())
    return document.body["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("3", 3),
        ("-3", -3),
        ("1_000", 1000),
        ("0", 0),
        ("-9223372036854775808", -(2**63)),
        ("0x1F", 31),
        ("0b101", 5),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-1.5e-3", -0.0015),
        ("100m", "100m"),
        ("1Gi", "1Gi"),
        ("5%", "5%"),
        ("v1.2.3", "v1.2.3"),
        ("1.2.3", "1.2.3"),
        ("-x", "-x"),
        ("0x", "0x"),
        ("'3'", "3"),
        ('"true"', "true"),
        ("!!str 3", "3"),
        ("! 3", "3"),
        ("!!int 3", 3),
        ("!!float 1.5", 1.5),
        ("!!bool true", True),
        ("!!null ~", None),
        ("|\n  x\n", "x\n"),
        ('"\\u00e9"', "é"),
    ],
)
def test_a_scalar_means_what_it_looks_like(text: str, expected: object) -> None:
    assert (value(text), type(value(text))) == (expected, type(expected))


def test_a_file_mode_is_octal_whichever_way_it_is_written() -> None:
    assert [value(text) for text in ("0644", "0o644", "420")] == [420, 420, 420]


@pytest.mark.parametrize("text", ["2001-12-14", "2001-12-14t21:59:43.10-05:00", "12:30:45", "190:20:30"])
def test_dates_and_times_are_text(text: str) -> None:
    assert value(text) == text


def test_a_byte_order_mark_comments_and_empty_documents_are_passed_over() -> None:
    documents = parse_documents("\ufeff# hello\n---\n---\na: 1\n---\n# nothing\n...\n---\nb: 2\n".encode())
    assert [document.body for document in documents] == [{"a": 1}, {"b": 2}]


def test_json_with_tabs_is_read() -> None:
    (document,) = parse_documents(b'{\n\t"a": [1, 2.5, "x\\n", null],\n\t"b": {"c": true}\n}\n')
    assert document.body == {"a": [1, 2.5, "x\n", None], "b": {"c": True}}


@pytest.mark.parametrize(
    ("data", "line", "column", "complaint"),
    [
        pytest.param(b"a: 1\nb: 2\na: 3\n", 3, 1, "'a' is already given at line 1", id="a key twice"),
        pytest.param(b"x: {a: 1, a: 2}", 1, 11, "'a' is already given", id="a key twice in a line"),
        pytest.param(
            b"on: push", 1, 1, "'on' is true or false to some", id="a key that is a boolean to some"
        ),
        pytest.param(b"x:\n  country: no", 2, 12, "'no' is true or false to some", id="Norway"),
        pytest.param(b"1: x", 1, 1, "the key '1' is not text: quote it", id="a number as a key"),
        pytest.param(b"~: x", 1, 1, "the key '~' is not text", id="null as a key"),
        pytest.param(b"? [a]\n: x", 1, 3, "a key must be text", id="a list as a key"),
        pytest.param(
            b"image: {{ .Values.image }}", 1, 9, "templates such as", id="a template that nobody rendered"
        ),
        pytest.param(b"a: &x 1\nb: *x", 2, 4, "aliases", id="an alias"),
        pytest.param(b"a: &x {b: 1}\nc:\n  <<: *x", 3, 3, "merge keys", id="a merge key"),
        pytest.param(b"a: !!python/object/apply:os.system [x]", 1, 4, "the tag", id="a Python object"),
        pytest.param(b"a: !!timestamp 2001-12-14", 1, 4, "the tag", id="a timestamp by tag"),
        pytest.param(b"a: !!set {x}", 1, 4, "the tag", id="a set"),
        pytest.param(b"a: !Ref x", 1, 4, "the tag", id="a tag of another tool"),
        pytest.param(b"a: !!int yes please", 1, 4, "not of the type", id="a tag that lies"),
        pytest.param(b"a: !!int true", 1, 4, "not of the type", id="true is no number"),
        pytest.param(b"a: 0189", 1, 4, "drop the 0", id="neither octal nor decimal"),
        pytest.param(b"a: .inf", 1, 4, "JSON doesn't have", id="infinity"),
        pytest.param(b"a: 1e999", 1, 4, "too large for a number", id="a float that overflows"),
        pytest.param(b"a: 9223372036854775808", 1, 4, "fit in 64 bits", id="an integer of 65 bits"),
        pytest.param(b"a: " + b"9" * 5000, 1, 4, "5000 digits", id="an integer of 5000 digits"),
        pytest.param(b"a:\n\tb: 1", 2, 1, "indent with spaces", id="a tab"),
        pytest.param(b"a: b: c", 1, 5, 'quote a value that contains ": "', id="a colon in a value"),
        pytest.param(b"a: 'x\n", 2, 1, "a quote or a bracket is not closed", id="a quote left open"),
        pytest.param(b"a:\n  b: 1\n c: 2\n", 3, 2, "check the indentation", id="bad indentation"),
        pytest.param(b"ok: 1\na: \x00", 2, 4, "U+0000 is not allowed", id="a NUL byte"),
        pytest.param(b"\xc3\xa9: \x1b[0m", 1, 4, "U+001B is not allowed", id="an escape sequence"),
        pytest.param(b'a: "\\0"', 1, 4, "NUL", id="a NUL in disguise"),
        pytest.param(b"ok: 1\nb: \xff", 2, 4, "not UTF-8", id="Latin-1"),
        pytest.param("a: 1".encode("utf-16"), 1, 1, "not UTF-8", id="UTF-16"),
        pytest.param("a: 1".encode("utf-16-le"), 1, 2, "U+0000", id="UTF-16 without a mark"),
        pytest.param(b"%YAML 3.0\n---\na: 1", 1, 1, "YAML", id="a version of YAML from the future"),
    ],
)
def test_what_is_refused_is_refused_at_its_line_and_column(
    data: bytes, line: int, column: int, complaint: str
) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_documents(data)
    assert complaint in refusal.value.message
    assert refusal.value.position == Position(line, column)


def laughs(depth: int) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("bomb", "complaint"),
    [
        pytest.param(laughs(12), "aliases", id="a billion laughs"),
        pytest.param(b"[" * 500_000, "levels deep", id="half a million brackets"),
        pytest.param(b"{a: " * 200_000, "levels deep", id="mappings without end"),
        pytest.param(b"- " * 500_000, "levels deep", id="lists in lists"),
        pytest.param(b"- 1\n" * 200_000, "items", id="a list without end"),
        pytest.param(b"a: 1\n---\n" * (MAX_DOCUMENTS + 1), "documents", id="documents without end"),
        pytest.param(b"---\n" * 200_000, "documents", id="empty documents without end"),
        pytest.param(b"? " * 300_000, "a key must be text", id="keys in keys"),
        pytest.param(b"&a " * 300_000, "did not find expected", id="anchors on anchors"),
        pytest.param(b"!" * 1_000_000, "tag", id="exclamation"),
    ],
)
@pytest.mark.timeout(30)
def test_a_bomb_is_refused_before_it_goes_off(bomb: bytes, complaint: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_documents(bomb)
    assert complaint in refusal.value.message


def test_the_deepest_that_is_allowed_is_read() -> None:
    (document,) = parse_documents(b"[" * 64 + b"]" * 64)
    assert json.dumps(document.body) == "[" * 64 + "]" * 64


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"], exclude_characters="\ufeff")),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text("abcdef.-/", min_size=1), children, max_size=4)
    ),
    max_leaves=20,
)


@settings(derandomize=True)
@given(json_values)
def test_what_json_says_is_what_is_read(body: Any) -> None:
    documents = parse_documents(json.dumps(body, ensure_ascii=False).encode())
    read = documents[0].body if documents else None
    assert json.dumps(read) == json.dumps(body)


@settings(derandomize=True)
@given(json_values)
def test_what_yaml_writes_is_what_is_read(body: Any) -> None:
    documents = parse_documents(yaml.safe_dump(body, allow_unicode=True, version=None).encode())
    read = documents[0].body if documents else None
    assert json.dumps(read, sort_keys=True) == json.dumps(body, sort_keys=True)


@settings(derandomize=True, max_examples=400)
@given(
    st.binary(max_size=200) | st.text("ab:-[]{}&*!|>'\"#%@`,? \n\t\\<~0123.eE", max_size=60).map(str.encode)
)
def test_whatever_bytes_come_they_are_read_or_refused_with_a_position(data: bytes) -> None:
    refusals: list[Malformed] = []
    documents: tuple[Document, ...] = ()
    try:
        documents = parse_documents(data)
    except Malformed as refusal:
        refusals.append(refusal)
    assert all(refusal.position >= (1, 1) and refusal.message for refusal in refusals)
    assert all(document.positions[()] >= (1, 1) for document in documents)
    assert all(json.loads(json.dumps(d.body, allow_nan=False)) == d.body for d in documents)


def test_no_number_that_json_lacks_is_ever_read() -> None:
    assert all(math.isfinite(value(text)) for text in ("1e308", "-1e308", "4.9e-324"))
