"""Ids: a strict ASCII grammar, and document ids that never collide and never leave their collection."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stopline.model.ids import Currency, Id, Name, Symbol, digest, document_id, is_symbol

BAD: dict[str, list[Any]] = {
    "B14": [None, 1, True, [], {}, b"E-1"],
    "B39": ["", " ", "\t", "x" * 129, "x" * 1501, "😀" * 500],
    "B40": [".", ".."],
    "B41": ["__x__", "__id7__", "____", "__type__"],
    "B42": ["a/b"],
    "B43": ["a/b/c"],
    "B44": ["projects/p/databases/(default)/documents/kill/global"],
    "B45": ["%2F", "a%2Fb", "a\\b", "..%2f", "..\\"],
    "B46": ["é", "é", "B\u200bTC", "\u202efdp", "ВTC", "ＢＴＣ"],
    "B68": ["a\nb", "a\r\nb", "<b>", "=cmd()", "@everyone", "-x", "a,b", "a;b", 'a"b', "a'b", "a b", "a\n"],
}
ROWS = [(row, value) for row, values in BAD.items() for value in values]


@pytest.mark.parametrize("grammar", [Id, Name, Symbol, Currency], ids=["id", "name", "symbol", "currency"])
@pytest.mark.parametrize(("row", "value"), ROWS)
def test_an_id_outside_its_grammar_is_refused(row: str, value: Any, grammar: Annotated[str, ...]) -> None:
    """B14, B39-B46, B68."""
    with pytest.raises(ValidationError):
        TypeAdapter(grammar).validate_python(value)


@pytest.mark.parametrize(
    ("grammar", "value"),
    [
        (Id, "E-1"),
        (Id, "0000e0d5.6580d36a.01.01"),
        (Id, "14_TW::TW0001"),
        (Id, "BTCUSDT#987654321"),
        (Id, "x" * 128),
        (Name, "demo"),
        (Name, "0dte_spreads-2"),
        (Name, "x" * 64),
        (Symbol, "SPXW180205P02600000"),
        (Symbol, "BRK.B"),
        (Symbol, "M&M"),
        (Symbol, "BTC-USD"),
        (Symbol, "NSE:SBIN"),
        (Currency, "USD"),
        (Currency, "USDT"),
    ],
)
def test_ids_as_brokers_give_them_are_taken(grammar: Annotated[str, ...], value: str) -> None:
    assert TypeAdapter(grammar).validate_python(value) == value


@pytest.mark.parametrize("value", ["btc-usd", " BTC", "BTC ", "BTC/USD", "SPXW  180205P02600000", "X" * 33])
def test_symbols_are_upper_case_and_without_spaces(value: str) -> None:
    """B46, B47."""
    assert not is_symbol(value)
    with pytest.raises(ValidationError):
        TypeAdapter(Symbol).validate_python(value)


@pytest.mark.parametrize("value", ["Demo", "demo.x", "x" * 65, "_x"])
def test_names_are_lower_case_and_short(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(value)


parts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=4)
tricky = st.lists(
    st.sampled_from(["", ".", "..", "_", "__", ":", "=", "=3A", "__x__", "a", "/"]), min_size=1, max_size=4
)


@given(parts | tricky, parts | tricky)
@example(["a:b"], ["a", "b"])
@example(["."], ["=2E"])
@example(["__x__"], ["=__x__"])
@example([""], ["="])
@example(["", ""], [":"])
def test_two_lists_of_parts_never_share_a_document_id(one: list[str], two: list[str]) -> None:
    """B38, B43, B46: injective, so no fill can take the place of another."""
    assert (document_id(*one) == document_id(*two)) == (one == two)


@given(parts | tricky)
@example(["."])
@example([".."])
@example(["__x__"])
@example(["__", "__"])
def test_a_document_id_is_one_that_firestore_takes_in_one_place(given_parts: list[str]) -> None:
    """B39-B45: ASCII, no slash, not `.` or `..` or `__x__`, not empty."""
    made = document_id(*given_parts)
    assert re.fullmatch(r"[A-Za-z0-9._:=-]+", made)
    assert made not in {".", ".."}
    assert not re.fullmatch(r"__.*__", made)


@given(parts)
def test_a_document_id_can_be_read_back(given_parts: list[str]) -> None:
    """The encoder's inverse, written again here, gives the parts."""
    made = document_id(*given_parts)
    if re.match(r"=(?![0-9A-F]{2})", made):
        made = made[1:]
    read = [
        re.sub(r"(?:=[0-9A-F]{2})+", lambda m: bytes.fromhex(m[0].replace("=", "")).decode(), part)
        for part in made.split(":")
    ]
    assert read == given_parts


def test_plain_parts_stay_readable() -> None:
    assert document_id("paper", "demo", "E-1") == "paper:demo:E-1"


def test_a_digest_is_the_same_for_ever() -> None:
    """A changed digest would send every alert and command a second time after a deployment."""
    assert digest("close", "demo", "1", "default:SPY", "1") == "1ec81c33619a9a72dc5d1570f613dc32"


@given(
    st.lists(st.text(alphabet="ab", max_size=3), max_size=4),
    st.lists(st.text(alphabet="ab", max_size=3), max_size=4),
)
def test_a_digest_tells_lists_of_parts_apart(one: list[str], two: list[str]) -> None:
    if one and two:
        assert (digest(*one) == digest(*two)) == (one == two)
