"""A tag is written where it stands: every other byte stays."""

import pytest

from rollout.git.scalar_edits import NotEditable, edited

FIELD = "spec.template.spec.containers[name=app].image"
BEFORE = b"""\
# ours
apiVersion: apps/v1
kind: Deployment   # a comment
spec:
  template:
    spec:
      containers:
      - {name: side, image: "shop:v1"}
      -   name:   app
          image:  %s    # the one
          args: ['--x',  "y"]
\r
"""


def to(tag: str):  # type: ignore[no-untyped-def]
    return lambda present: tag if present.startswith("shop:") else None


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        pytest.param(b"shop:v1", b"shop:v2", id="plain"),
        pytest.param(b'"shop:v1"', b'"shop:v2"', id="in double quotes"),
        pytest.param(b"'shop:v1'", b"'shop:v2'", id="in single quotes"),
    ],
)
def test_one_scalar_changes_and_nothing_else(was: bytes, becomes: bytes) -> None:
    assert edited(BEFORE % was, FIELD, to("shop:v2")) == BEFORE % becomes


def test_what_is_right_already_is_the_same_file() -> None:
    assert edited(BEFORE % b"shop:v2", FIELD, to("shop:v2")) == BEFORE % b"shop:v2"


def test_the_document_that_is_meant_is_found_among_several_and_beyond_letters_of_many_bytes() -> None:
    other = "kind: ConfigMap\ndata: {a: äöü ☃}\n---\n".encode()
    third = b"---\nspec: {template: {spec: {containers: [{name: app, image: 'else:v1'}]}}}\n"
    files = (other + BEFORE % b"shop:v1" + third, other + BEFORE % b"shop:v2" + third)
    assert edited(files[0], FIELD, to("shop:v2")) == files[1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"a: 1\n", "0 times", id="it is not there"),
        pytest.param(BEFORE % b"shop:v1" + b"---\n" + BEFORE % b"shop:v1", "2 times", id="it is there twice"),
        pytest.param(BEFORE % b"|-\n            shop:v1\n", "plain or quoted", id="a block"),
        pytest.param(BEFORE % b"else:v1", "0 times", id="another image"),
        pytest.param(b"a: [b", "can't be read", id="no YAML"),
        pytest.param(b"a: &b [1]\nc: *b\n", "can't be read", id="aliases"),
    ],
)
def test_anything_else_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(NotEditable, match=says):
        edited(content, FIELD, to("shop:v2"))


def test_a_tag_alone_that_reads_as_a_number_is_quoted() -> None:
    assert edited(b"tag: v1 # x\n", "tag", lambda _: "1.5") == b'tag: "1.5" # x\n'
