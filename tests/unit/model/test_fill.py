"""Fills: one execution, one sign, exact numbers, and an identity that holds for ever."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.model.fill import MAX_EXTRAS, TRADES, Fill, FillKind
from stopline.model.instrument import Instrument
from stopline.model.wire import decode_object, validate

from ..make import equity, fill, option, raw_fill

FUTURE = {"symbol": "CLZ6", "kind": "future", "currency": "USD", "multiplier": "1000", "underlying": "CL"}


def refusal(raw: dict[str, Any]) -> str:
    with pytest.raises(Rejected) as refused:
        validate(Fill, raw)
    assert refused.value.reason == "BAD_MESSAGE"
    return refused.value.detail


@pytest.mark.parametrize(("side", "signed"), [("BUY", 10), ("SELL", -10)])
def test_the_side_gives_the_sign(side: str, signed: int) -> None:
    """R1.5."""
    assert fill(side=side, quantity="10").signed_quantity == signed


BAD = {
    "B14 quantity is a list": {"quantity": []},
    "B14 quantity is an object": {"quantity": {}},
    "B14 quantity is null": {"quantity": None},
    "B15 quantity is NaN": {"quantity": "NaN"},
    "B16 price is infinite": {"price": "Infinity"},
    "B17 quantity is 0": {"quantity": "0"},
    "B17 quantity is 0.000": {"quantity": "0.000"},
    "B18 quantity has a second sign": {"quantity": "-5", "side": "SELL"},
    "B19 price of a share is negative": {"price": "-1"},
    "B20 price of a share is 0": {"price": "0"},
    "B26 quantity is a JSON number": {"quantity": 10},
    "B26 price is a JSON number": {"price": 0.1},
    "B28 notional is beyond 1e15": {"quantity": "999999999999", "price": "999999999999"},
    "B30 quantity is true": {"quantity": True},
    "B31 no zone": {"executed_at": "2026-11-18T17:00:00"},
    "B32 epoch": {"executed_at": 1795186931},
    "B36 no id": {"fill_id": None},
    "B40 id is two dots": {"fill_id": ".."},
    "B43 id is a path": {"fill_id": "a/b/c"},
    "B52 side buy": {"side": "buy"},
    "B52 side B": {"side": "B"},
    "B52 side 1": {"side": "1"},
    "B52 side with a space": {"side": "BUY "},
    "B52 side true": {"side": True},
    "B54 fee is NaN": {"fee": "NaN"},
    "B54 fee is above the notional": {"fee": "1000.01"},
    "B59 another version": {"type": "stopline.fill.v999"},
    "B59 version is a number": {"type": 1},
    "unknown field in the instrument": {"instrument": {**equity().model_dump(mode="json"), "exchange": "X"}},
}


@pytest.mark.parametrize("case", BAD)
def test_an_impossible_fill_is_refused_by_name_of_its_field(case: str) -> None:
    """B14-B20, B26, B28, B30-B32, B36, B40, B43, B52, B54, B59."""
    change = BAD[case]
    raw = {**raw_fill(price="100", quantity="10"), **change}
    detail = refusal(raw)
    field = next(iter(change))
    assert field in detail


@pytest.mark.parametrize(
    "field", ["fill_id", "broker", "account", "instrument", "side", "quantity", "price", "executed_at"]
)
def test_a_fill_without_one_of_its_facts_is_refused(field: str) -> None:
    raw = raw_fill()
    del raw[field]
    assert refusal(raw).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("instrument", "price", "possible"),
    [
        (FUTURE, "-37.63", True),  # WTI, 20 April 2020
        (FUTURE, "0", True),
        (option().model_dump(mode="json"), "0", True),  # expired worthless
        (option().model_dump(mode="json"), "-0.01", False),
        (equity().model_dump(mode="json"), "0", False),
        ({"symbol": "BTC-USD", "kind": "crypto", "currency": "USD"}, "0", False),
        ({"symbol": "BTC-USD", "kind": "crypto", "currency": "USD"}, "0.000000000001", True),
    ],
)
def test_which_prices_are_possible_depends_on_the_kind(
    instrument: dict[str, Any], price: str, possible: bool
) -> None:
    """B19, B20."""
    raw = {**raw_fill(price=price), "instrument": instrument}
    if possible:
        assert validate(Fill, raw).price == Decimal(price)
    else:
        assert "price" in refusal(raw)


def test_the_largest_notional_is_exact_and_one_step_more_is_refused() -> None:
    """B28."""
    assert validate(Fill, raw_fill(quantity="1000000000", price="1000000")).quantity == 10**9
    assert "beyond" in refusal(raw_fill(quantity="1000000000", price="1000000.000001"))


@pytest.mark.parametrize("fee", ["-0.25", "0", "1000", "0.000000000001"])
def test_a_rebate_and_a_fee_up_to_the_notional_are_taken(fee: str) -> None:
    """B54."""
    assert fill(fee=fee).fee == Decimal(fee)


def test_a_fee_in_a_third_currency_is_not_measured_by_the_notional() -> None:
    """B54: 1,500 yen for a trade of 1,000 dollars are less than 10 of them; what a currency is worth is not known here."""
    assert fill(fee="1500", fee_currency="JPY").fee == 1500
    assert "fee is beyond" in refusal(raw_fill(fee="1000000000000001", fee_currency="JPY"))
    assert "fee is beyond" in refusal(raw_fill(fee="-1000000000000001"))


def test_a_fee_taken_out_of_the_units_is_not_more_than_they_are() -> None:
    """B54."""
    bitcoin = Instrument.model_validate(
        {"symbol": "BTC-USD", "kind": "crypto", "currency": "USD", "base": "BTC"}
    )
    facts = {"quantity": "0.5", "price": "90000", "instrument": bitcoin, "fee_currency": "BTC"}
    assert fill(fee="0.5", **facts).fee == Decimal("0.5")
    assert "above the units" in refusal(raw_fill(fee="0.500001", **facts))


def test_a_fee_is_in_the_currency_of_the_instrument_unless_it_says_otherwise() -> None:
    """R1.5."""
    assert fill(fee="1").fee_currency == "USD"
    assert fill(fee="1", fee_currency="BNB").fee_currency == "BNB"


def test_a_strategy_that_is_not_named_is_the_default_one() -> None:
    assert fill().strategy == "default"


# --- identity ---


def test_the_same_fill_id_of_another_broker_or_account_is_another_fill() -> None:
    """B38."""
    keys = {fill().key, fill(broker="ibkr").key, fill(account="other").key, fill(fill_id="E-2").key}
    assert len(keys) == 4


def test_no_two_identities_share_a_key_by_a_trick_of_separators() -> None:
    """B38, B43."""
    assert fill("b:c", broker="a").key != fill("c", broker="a").key
    assert fill("demo:1", broker="x", account="a").key != fill("1", broker="x", account="a").key


def test_the_hash_is_equal_for_1_0_and_1_00_and_for_any_order_of_keys() -> None:
    """B37."""
    one = raw_fill(quantity="1.0", price="100", fee="0.50")
    other = raw_fill(quantity="1.00", price="100.000", fee="0.5", executed_at="2026-11-18T12:00:00.000-05:00")
    reordered = dict(reversed(list(other.items())))
    assert validate(Fill, one).hash == validate(Fill, reordered).hash


def test_the_hash_does_not_see_what_stopline_does_not_know() -> None:
    """B13, B37: a broker that adds a field must not turn every redelivery into a conflict."""
    assert fill().hash == fill(venue_note="x").hash


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "11"},
        {"price": "100.01"},
        {"side": "SELL"},
        {"account": "other"},
        {"strategy": "condors"},
        {"instrument": equity("QQQ").model_dump(mode="json")},
        {"instrument": {**equity().model_dump(mode="json"), "multiplier": "2"}},
        {"fee": "0.01"},
        {"fee_currency": "EUR"},
        {"executed_at": "2026-11-18T17:00:00.000001Z"},
        {"order_id": "O-1"},
        {"group_id": "G-1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_other_content_has_another_hash(change: dict[str, Any]) -> None:
    """B36."""
    assert validate(Fill, {**raw_fill(), **change}).hash != fill().hash


def test_a_stored_fill_reads_back_equal() -> None:
    one = fill(quantity="1.50", fee="-0.10", order_id="O-1", note="kept")
    again = Fill.model_validate(json.loads(json.dumps(one.model_dump(mode="json"))))
    assert again == one
    assert again.hash == one.hash
    assert again.key == one.key


def test_the_hash_of_a_plain_trade_is_the_same_for_ever() -> None:
    """B37: fills are stored with their hash; another one would make each redelivery a conflict."""
    more = fill(order_id="O-1", group_id="G", fee="1", instrument=option())
    assert fill().hash == "29209f4aaa91355ea1420224eba8b9cdd7bf469a2a76584474cb55279064b400"
    assert more.hash == "021e699fe48f031f26cdc5e8be80aee064dbe220bcdd8cbcadf8da9e8da6ecaa"
    assert fill(kind="TRADE", ref=None, provisional=False).hash == fill().hash


@pytest.mark.parametrize(
    "change", [{"kind": "LIQUIDATION"}, {"kind": "BUST", "ref": "E-0"}, {"ref": "E-0"}, {"provisional": True}]
)
def test_kind_ref_and_provisional_are_content(change: dict[str, Any]) -> None:
    assert fill(**change).hash != fill().hash


# --- kinds ---

CASH = {"symbol": "USD", "kind": "cash", "currency": "USD"}


def test_a_fill_is_a_trade_unless_it_says_otherwise() -> None:
    assert (fill().kind, fill().ref, fill().provisional) == (FillKind.TRADE, None, False)


@pytest.mark.parametrize("kind", sorted(TRADES))
def test_an_expiry_at_nothing_is_possible_and_no_quantity_is_not(kind: FillKind) -> None:
    """R1.7: settled, assigned and expired options have a price of 0."""
    assert fill(kind=kind, price="0", instrument=option()).price == 0
    assert "quantity" in refusal(raw_fill(kind=kind, quantity="0"))


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"kind": "CORRECT"}, "ref must name"),
        ({"kind": "BUST"}, "ref must name"),
        ({"kind": "BUST", "ref": "E-1"}, "another fill"),
        ({"kind": "CORRECT", "ref": "E-0", "quantity": "0"}, "quantity"),
        ({"kind": "CORRECT", "ref": "E-0", "price": "0"}, "price"),
        ({"kind": "BUST", "ref": "E-0", "quantity": "-1"}, "quantity"),
        ({"kind": "trade"}, "kind"),
        ({"kind": "GIFT"}, "kind"),
        ({"provisional": "yes"}, "provisional"),
        ({"provisional": 1}, "provisional"),
        ({"instrument": CASH}, "cash"),
        ({"instrument": CASH, "kind": "EXPIRE"}, "cash"),
        ({"instrument": {**CASH, "symbol": "EUR"}, "kind": "FEE"}, "cash"),
        ({"instrument": {**CASH, "multiplier": "2"}, "kind": "FEE"}, "cash"),
        ({"kind": "SPLIT", "quantity": "0"}, "split"),
        ({"kind": "FEE", "fee": "1000000000000001"}, "fee"),
        ({"kind": "FUNDING", "fee": "-1000000000000001"}, "fee"),
    ],
)
def test_an_impossible_event_is_refused(change: dict[str, Any], about: str) -> None:
    assert about in refusal({**raw_fill(price="100", quantity="10"), **change})


def test_a_bust_needs_no_quantity_and_a_payment_no_contract() -> None:
    bust = fill(kind="BUST", ref="E-0", quantity="0", price="0")
    assert (bust.ref, bust.quantity) == ("E-0", 0)
    fee = raw_fill(kind="FEE", quantity="0", price="0", fee="5000")
    assert validate(Fill, {**fee, "instrument": CASH}).fee == 5000


# --- unknown fields ---


def test_unknown_fields_are_kept() -> None:
    """B13."""
    assert fill(liquidity="maker", raw={"a": [1, "x"]}).model_extra == {
        "liquidity": "maker",
        "raw": {"a": [1, "x"]},
    }


def test_sixteen_unknown_fields_are_kept_and_seventeen_refused() -> None:
    """B12, B13."""
    assert len(fill(**{f"x{n}": n for n in range(MAX_EXTRAS)}).model_extra or {}) == MAX_EXTRAS
    assert "unknown fields" in refusal(raw_fill(**{f"x{n}": n for n in range(MAX_EXTRAS + 1)}))


def test_two_kilobytes_of_unknown_fields_are_refused() -> None:
    """B13."""
    assert "2048" in refusal(raw_fill(blob="x" * 2048))


@pytest.mark.parametrize(
    "name", ["key", "hash", "order", "signed_quantity", "model_extra", "__class__", "__dict__"]
)
def test_an_unknown_field_cannot_take_the_place_of_a_known_fact(name: str) -> None:
    """B50, B65."""
    tricked = validate(Fill, raw_fill(**{name: "forged"}))
    plain = fill()
    assert (tricked.key, tricked.hash, tricked.order, tricked.signed_quantity) == (
        plain.key,
        plain.hash,
        plain.order,
        plain.signed_quantity,
    )
    assert isinstance(tricked, Fill)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(categories=["L", "N", "P"]), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from([*raw_fill(), "fee", "fee_currency", "order_id", "x"]), json_values, max_size=4
    )
)
def test_whatever_stands_in_a_field_it_is_a_fill_or_refused(change: dict[str, Any]) -> None:
    """B14: nothing but Rejected comes out, and a fill that is taken can be stored."""
    raw = decode_object(json.dumps({**raw_fill(), **change}).encode())
    try:
        taken = validate(Fill, raw)
    except Rejected:
        return
    assert Fill.model_validate(json.loads(json.dumps(taken.model_dump(mode="json")))).hash == taken.hash
