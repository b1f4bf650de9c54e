"""JSON at the border: what is not plain is refused with a reason, quickly, and nothing else is ever
raised.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.prices import parse_price_batch
from stopline.model.settings.exits import ExitSettings, TradeExits
from stopline.model.wire import (
    MAX_BYTES,
    MAX_DEPTH,
    Message,
    canonical,
    content_hash,
    decode_object,
    validate,
)

from ..make import raw_fill


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """Return an object that is `depth` levels deep, itself included."""
    return b'{"a":' + opening * (depth - 1) + closing * (depth - 1) + b"}"


REFUSED = {
    "B01 empty": (b"", "BAD_JSON"),
    "B01 null": (b"null", "NOT_AN_OBJECT"),
    "B01 list": (b"[]", "NOT_AN_OBJECT"),
    "B01 string": (b'"x"', "NOT_AN_OBJECT"),
    "B01 number": (b"0", "NOT_AN_OBJECT"),
    "B02 not JSON": (b"not json", "BAD_JSON"),
    "B02 truncated": (b'{"a": 1', "BAD_JSON"),
    "B02 trailing garbage": (b'{"a": 1} {"b": 2}', "BAD_JSON"),
    "B02 single quotes": (b"{'a': 1}", "BAD_JSON"),
    "B05 one level too deep": (nested(MAX_DEPTH + 1), "TOO_DEEP"),
    "B05 300 deep": (nested(300), "TOO_DEEP"),
    "B05 100,000 deep": (nested(100_000), "TOO_DEEP"),
    "B05 100,000 objects deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "TOO_DEEP"),
    "B05 100,000 deep, never closed": (b"[" * 100_000, "TOO_DEEP"),
    "B06 the same key twice": (b'{"account": "a", "account": "b"}', "DUPLICATE_KEY"),
    "B06 the same key twice, deep inside": (b'{"a": [{"b": 1, "b": 1}]}', "DUPLICATE_KEY"),
    "B06 the same key twice by an escape": (b'{"a": 1, "\\u0061": 2}', "DUPLICATE_KEY"),
    "B07 byte order mark": (b'\xef\xbb\xbf{"a": 1}', "BAD_JSON"),
    "B07 UTF-16": ('{"a": 1}'.encode("utf-16"), "NOT_UTF8"),
    "B07 UTF-16 without a mark": ('{"a": 1}'.encode("utf-16-le"), "BAD_JSON"),
    "B07 UTF-32": ('{"a": 1}'.encode("utf-32"), "NOT_UTF8"),
    "B08 invalid UTF-8": (b'{"a": "\xff"}', "NOT_UTF8"),
    "B08 overlong UTF-8": (b'{"a": "\xc0\xaf"}', "NOT_UTF8"),
    "B08 lone surrogate": (b'{"a": "\\ud800"}', "BAD_TEXT"),
    "B08 lone surrogate in a key": (b'{"\\ud800": 1}', "BAD_TEXT"),
    "B08 lone surrogate in a list": (b'{"a": ["x", ["\\udfff"]]}', "BAD_TEXT"),
    "B09 NUL": (b'{"a": "x\\u0000"}', "BAD_TEXT"),
    "B09 NUL in a list": (b'{"a": ["\\u0000"]}', "BAD_TEXT"),
    "B09 raw control character": (b'{"a": "\x01"}', "BAD_JSON"),
    "B09 line break": (b'{"a": "x\\nseverity: INFO"}', "BAD_TEXT"),
    "B09 delete": (b'{"a": "\x7f"}', "BAD_TEXT"),
    "B09 escape in a key": (b'{"\\u001b[31m": 1}', "BAD_TEXT"),
    "B10 a byte too many": (b'{"a": "' + b"x" * (MAX_BYTES - 8) + b'"}', "TOO_LARGE"),
    "B15 NaN": (b'{"a": NaN}', "NOT_FINITE"),
    "B16 Infinity": (b'{"a": [Infinity]}', "NOT_FINITE"),
    "B16 minus Infinity": (b'{"a": -Infinity}', "NOT_FINITE"),
    "B16 1e400": (b'{"a": 1e400}', "NOT_FINITE"),
    "B21 1E+999999": (b'{"a": 1E+999999}', "NOT_FINITE"),
    "B22 4,001 digits": (b'{"a": ' + b"9" * 4001 + b"}", "TOO_LARGE_NUMBER"),
    "B22 50,000 digits": (b'{"a": ' + b"9" * 50_000 + b"}", "TOO_LARGE_NUMBER"),
    "B22 minus 50,000 digits": (b'{"a": -' + b"9" * 50_000 + b"}", "TOO_LARGE_NUMBER"),
    "B29 int64 + 1": (b'{"epoch": 9223372036854775808}', "TOO_LARGE_NUMBER"),
    "B29 -int64 - 2": (b'{"epoch": -9223372036854775809}', "TOO_LARGE_NUMBER"),
    "B46 right-to-left override": ('{"a": "\u202efdp"}'.encode(), "BAD_TEXT"),
    "B46 zero-width space": ('{"a": "BTC\u200b"}'.encode(), "BAD_TEXT"),
}


def calls_of(raw: bytes) -> int:
    """Return how many calls, of Python's own functions too, decoding makes until it refuses."""
    calls = 0

    def count(_frame: object, event: str, _what: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        decode_object(raw)
    except Rejected:
        return calls
    finally:
        sys.setprofile(before)
    raise AssertionError("it was not refused")


@pytest.mark.parametrize("case", REFUSED)
def test_bad_json_is_refused_with_its_reason_after_few_calls(case: str) -> None:
    """I11, B01, B02, B05-B10, B15, B16, B21, B22, B29, B46: of a megabyte no more than of a few bytes."""
    raw, reason = REFUSED[case]
    with pytest.raises(Rejected) as refused:
        decode_object(raw)
    assert refused.value.reason == reason
    assert len(refused.value.detail) < 300
    assert refused.value.detail.isprintable()
    assert calls_of(raw) < 500  # of 10,000 fields


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        nested(MAX_DEPTH),
        b'{"a": "' + b"[{" * 1000 + b'\\"[\\\\"}',  # brackets in a string are no nesting
        b'{"a": [' + b",".join([b"[]"] * 1000) + b"]}",  # nor are neighbours
        '{"a": "Müller, 東京, 50 €, 😀"}'.encode(),
        b'{"a": "\\ud83d\\ude00"}',  # a surrogate pair is one character
        b'{"a": -9223372036854775808, "b": 9223372036854775807}',
        b'{"a": "' + b"x" * (MAX_BYTES - 9) + b'"}',
        b' \n\t{"a": 1}\r\n ',
        b'{"a": 1E-999999}',
    ],
    ids=range(10),
)
def test_good_json_is_decoded_as_the_standard_library_does(raw: bytes) -> None:
    assert decode_object(raw) == json.loads(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_decoded_or_refused_and_nothing_else(raw: bytes) -> None:
    """B01-B09: what decodes can be written again, so it can be stored and quarantined."""
    try:
        value = decode_object(raw)
    except Rejected:
        return
    assert decode_object(canonical(value)) == value


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5), st.booleans())
def test_any_json_is_decoded_or_refused_and_what_is_decoded_survives_a_round_trip(
    value: dict[str, Any], escaped: bool
) -> None:
    """B08, B09, B15, B16, B29: NaN, surrogates, huge numbers and control characters at any depth."""
    raw = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    try:
        decoded = decode_object(raw)
    except Rejected:
        return
    assert decoded == value
    assert decode_object(canonical(decoded)) == decoded


@given(json_values.filter(lambda v: not isinstance(v, dict)))
def test_whatever_is_no_object_is_refused(value: Any) -> None:
    """B01."""
    with pytest.raises(Rejected):
        decode_object(json.dumps(value).encode())


@given(st.integers(2, 80), st.sampled_from([b"[]", b"{}"]))
def test_the_limit_of_nesting_is_exact(depth: int, brackets: bytes) -> None:
    """B05."""
    raw = nested(depth) if brackets == b"[]" else b'{"a":' * depth + b"1" + b"}" * depth
    raw = raw.replace(b"{", b'{"s":"}}]]\\"]",', 1)  # closing brackets in a string do not hide anything
    if depth <= MAX_DEPTH:
        decode_object(raw)
    else:
        with pytest.raises(Rejected):
            decode_object(raw)


def test_ten_thousand_unknown_fields_are_refused_in_few_words() -> None:
    """B12."""
    raw = json.dumps({**raw_fill(), **{f"field{n}": n for n in range(10_000)}}).encode()
    with pytest.raises(Rejected) as refused:
        validate(Fill, decode_object(raw))
    assert refused.value.reason == "BAD_MESSAGE"
    assert len(refused.value.detail) <= 2000


def test_one_line_names_every_fault_and_where_it_is() -> None:
    """R8.5: a person can repair the message from the reason alone."""
    bad = {**raw_fill(), "side": "buy", "quantity": 5, "instrument": {"symbol": "spy"}}
    with pytest.raises(Rejected) as refused:
        validate(Fill, bad)
    detail = refused.value.detail
    assert "\n" not in detail
    for word in ("side: ", "quantity: must be a decimal string", "instrument.symbol: ", "instrument.kind: "):
        assert word in detail


def test_a_message_full_of_faults_is_described_in_bounded_length() -> None:
    """B12."""
    with pytest.raises(Rejected) as refused:
        parse_price_batch({"type": "stopline.prices.v1", **{f"x{n}": 1 for n in range(500)}})
    assert len(refused.value.detail) < 1000
    assert refused.value.detail.endswith("more")


@pytest.mark.parametrize(
    ("exits", "said"),
    [
        ({"stop_loss": "2percent"}, 'exits.stop_loss: must be a distance such as "2%", '),
        (
            {"stop_loss": 2},
            'exits.stop_loss: must be a text: "2%" is percent of the entry price, "2" points of price',
        ),
        ({"health_below": 400}, "exits.health_below: must be less than or equal to 100"),
        ({"max_age_s": "soon"}, "exits.max_age_s: must be a whole number"),
        ({"trail": {"by": "percent"}}, "exits.trail.amount: is missing"),
        ({"trail": "on"}, "exits.trail: must hold fields or keys"),
        ({"auto_close": "maybe"}, "exits.auto_close: must be true or false"),
        ({"lock_in": 3}, "exits.lock_in: must be a list"),
        ({"stopp": "2%"}, "exits.stopp: is no field of this"),
        ({"lock_in": [{"at": "1%", "keep": "x"}]}, "exits.lock_in.0.keep: must be a distance"),
    ],
)
def test_a_refusal_names_the_setting_and_what_it_may_be_in_a_person_s_words(
    exits: dict[str, Any], said: str
) -> None:
    """R4.2, issue 7.7: not the types that were tried, nor that `off` would have done."""

    class Holder(Message):
        exits: TradeExits

    with pytest.raises(Rejected) as refused:
        validate(Holder, {"exits": exits})
    assert refused.value.detail.startswith(said)
    for theirs in ("function-", "constrained", "'off'", "Input", ";"):
        assert theirs not in refused.value.detail


def test_a_key_that_is_no_name_is_named() -> None:
    with pytest.raises(Rejected) as refused:
        validate(ExitSettings, {"strategies": {"x y": {}}})
    assert refused.value.detail.startswith("strategies.x y: must be a lower-case name")


def test_the_fault_does_not_repeat_the_input() -> None:
    """B75: a secret in a wrong field must not reach a log by way of the error."""
    with pytest.raises(Rejected) as refused:
        validate(Fill, {**raw_fill(), "side": "Bearer abcdef123456"})
    assert "abcdef" not in refused.value.detail


@given(st.dictionaries(st.text(max_size=5), st.integers(-(2**63), 2**63 - 1), max_size=8), st.randoms())
def test_the_content_hash_does_not_depend_on_the_order_of_keys(value: dict[str, int], random: Any) -> None:
    """B37."""
    items = list(value.items())
    random.shuffle(items)
    if any("\ud800" <= c <= "\udfff" for key in value for c in key):
        return
    assert content_hash(dict(items)) == content_hash(value)
