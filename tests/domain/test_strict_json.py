"""One meaning per body, and bounded work to find it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput, PayloadTooLarge
from domain.strict_json import BODY_BYTES_MAX, parse


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b' [1.5, -0, "\\u00e9", null, true] ', [1.5, 0, "é", None, True]),
        ('{"ü": "🌊"}'.encode(), {"ü": "🌊"}),
        (b'"\\ud83c\\udf0a"', "🌊"),
        (b"1e2", 100.0),
        (b"9" * 32, int("9" * 32)),
        (b"[" * 16 + b"]" * 16, json.loads("[" * 16 + "]" * 16)),
        (b'{"a": {"a": 1}}', {"a": {"a": 1}}),
    ],
)
def test_json_is_read(body: bytes, value: object):
    assert parse(body) == value


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "malformed_json", id="nothing"),
        pytest.param(b"{", "malformed_json", id="broken off"),
        pytest.param(b'{"a": 1,}', "malformed_json", id="comma at the end"),
        pytest.param(b"{'a': 1}", "malformed_json", id="single quotes"),
        pytest.param(b'{"a": 1} {}', "malformed_json", id="two values"),
        pytest.param(b"\xef\xbb\xbf{}", "malformed_json", id="byte order mark"),
        pytest.param(b'"a\nb"', "malformed_json", id="raw control character"),
        pytest.param(b'{"a": NaN}', "malformed_json", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "malformed_json", id="infinity"),
        pytest.param(b"01", "malformed_json", id="leading zero"),
        pytest.param('{"a": 1}'.encode("utf-16"), "invalid_text", id="UTF-16"),
        pytest.param(b'"\xff"', "invalid_text", id="not UTF-8"),
        pytest.param(b'{"a": "\\ud800"}', "invalid_text", id="lone surrogate in a value"),
        pytest.param(b'{"\\udc00": 1}', "invalid_text", id="lone surrogate in a name"),
        pytest.param(b'{"a": 1, "b": 2, "a": 1}', "duplicate_member", id="twice the same name"),
        pytest.param(b'{"a": 1, "\\u0061": 2}', "duplicate_member", id="twice, spelled differently"),
        pytest.param(b'[{"x": {"a": 1, "a": 1}}]', "duplicate_member", id="twice, deep inside"),
        pytest.param(b"[" * 17 + b"]" * 17, "too_deep", id="17 levels"),
        pytest.param(b'{"a":' * 17 + b"1" + b"}" * 17, "too_deep", id="17 levels of objects"),
        pytest.param(b"[" * 100_000, "too_deep", id="100,000 levels"),
        pytest.param(b"9" * 33, "unsafe_integer", id="33 digits"),
        pytest.param(b"0." + b"1" * 33, "unsafe_integer", id="33 decimals"),
        pytest.param(b"1e999", "unsafe_integer", id="more than a float can hold"),
        pytest.param(b"[" + b",".join([b"1"] * 257) + b"]", "max_items", id="257 items"),
        pytest.param(json.dumps(dict.fromkeys(map(str, range(257)))).encode(), "max_items", id="257 members"),
    ],
)
def test_what_is_not_strictly_json_is_refused(body: bytes, code: str):
    with pytest.raises(InvalidInput) as caught:
        parse(body)

    assert caught.value.details["field"] == "body"
    assert [problem["code"] for problem in caught.value.details["problems"]] == [code]


def test_a_body_may_have_100_kilobytes_and_no_more():
    largest = b'"' + b"x" * (BODY_BYTES_MAX - 2) + b'"'

    assert parse(largest) == "x" * (BODY_BYTES_MAX - 2)
    with pytest.raises(PayloadTooLarge):
        parse(largest + b" ")


def test_a_refusal_does_not_repeat_the_body():
    with pytest.raises(InvalidInput) as caught:
        parse(b'{"generation_prompt": "secret", }')

    assert "secret" not in f"{caught.value.message} {caught.value.details}"


@given(st.binary(max_size=200) | st.text('[]{}",:0123456789.eE+-truefalsn\\u ', max_size=60).map(str.encode))
def test_any_bytes_end_in_a_value_or_one_of_our_errors(body: bytes):
    try:
        value = parse(body)
    except InvalidInput:
        return
    assert value == json.loads(body)
