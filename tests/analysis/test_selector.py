from __future__ import annotations

import re

import pytest

from analysis.sources import SelectorError, label_matchers, parse_matchers, parse_selector, pods_matchers
from analysis.sources.selector import bucket_matcher, literal


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        pytest.param("up", "up{}", id="a bare name"),
        pytest.param(
            'http_requests_total{code=~"5.."}', 'http_requests_total{code=~"5.."}', id="one matcher"
        ),
        pytest.param(
            " job:rate5m { a = \"1\" , b != '2', } ", "job:rate5m{a=\"1\",b!='2'}", id="spaces and a comma"
        ),
        pytest.param('{__name__="up",job!~`a|b`}', '{__name__="up",job!~`a|b`}', id="a name by its label"),
        pytest.param(
            '{"http.requests", code="5"}', '{__name__="http.requests",code="5"}', id="a quoted name"
        ),
        pytest.param('a{b="}"}', 'a{b="}"}', id="a brace in a value"),
        pytest.param(r'a{b="\",c=\"x"}', r'a{b="\",c=\"x"}', id="escaped quotes in a value"),
    ],
)
def test_a_selector_is_read_and_written(text: str, rendered: str) -> None:
    assert str(parse_selector(text)) == rendered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("rate(http_requests_total[1m])", "expression", id="a rate"),
        pytest.param("sum(up)", "expression", id="a sum"),
        pytest.param("up / up", "expression", id="a quotient"),
        pytest.param("up[5m]", "range", id="a range"),
        pytest.param("up offset 5m", "offset and @", id="an offset"),
        pytest.param("up @ 1609746000", "offset and @", id="an instant"),
        pytest.param('up{a="1"} or up{b="2"}', "can't read", id="two selectors"),
        pytest.param("", "expression", id="nothing"),
        pytest.param("{}", "expression", id="everything"),
        pytest.param("5", "expression", id="a number"),
        pytest.param("up{a=b}", "can't read", id="a value without quotes"),
        pytest.param('up{a="b" c="d"}', "can't read", id="a missing comma"),
        pytest.param('up{a="b}', "can't read", id="an open string"),
        pytest.param('up{"other"}', "twice", id="two names"),
        pytest.param('up{a="1"}) or vector(1) or (up{b="2"}', "can't read", id="an attempt to break out"),
    ],
)
def test_what_is_no_selector_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(SelectorError, match=re.escape(said)):
        parse_selector(text)


def test_an_arm_narrows_a_selector_and_cannot_be_widened_by_it() -> None:
    arm = parse_matchers(pods_matchers("shop", "checkout-7d4b9c"))
    narrowed = parse_selector('http_requests_total{code=~"5..",pod=~".*"}').narrowed(*arm)
    assert str(narrowed) == (
        'http_requests_total{code=~"5..",pod=~".*",namespace="shop",pod=~"checkout-7d4b9c-[a-z0-9]{5}"}'
    )


@pytest.mark.parametrize("text", ["", "service", 'a="1"}', '"x"', 'a="1" or b="2"'])
def test_matchers_of_an_arm_are_matchers(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_matchers(text)


def test_names_are_literal_in_the_pattern_of_pods() -> None:
    matchers = parse_matchers(pods_matchers('sh"op', "v1.2-a"))
    assert [str(one) for one in matchers] == [r'namespace="sh\"op"', r'pod=~"v1\\.2-a-[a-z0-9]{5}"']
    assert label_matchers("shop", "hash", "a") == 'namespace="shop",hash="a"'


def test_literals_survive_quotes_and_backslashes() -> None:
    assert literal('a"b\\c\n') == '"a\\"b\\\\c\\n"'


def test_buckets_are_asked_for_as_exporters_spell_them() -> None:
    matcher = bucket_matcher((0.3, 1.0))
    pattern = re.compile(matcher.value[1:-1].replace("\\\\", "\\"))
    assert [le for le in ("0.3", "0.30", "1", "1.0", "10", "+Inf", "0x3") if pattern.fullmatch(le)] == [
        "0.3", "1", "1.0", "+Inf",
    ]  # fmt: skip


def test_buckets_of_a_finer_unit_are_asked_for_in_that_unit() -> None:
    matcher = bucket_matcher((0.0025, 0.7, 1.0), 1000)
    pattern = re.compile(matcher.value[1:-1].replace("\\\\", "\\"))
    assert [le for le in ("2.5", "0.7", "700", "700.0", "1000", "+Inf") if pattern.fullmatch(le)] == [
        "2.5", "700", "700.0", "1000", "+Inf",
    ]  # fmt: skip
