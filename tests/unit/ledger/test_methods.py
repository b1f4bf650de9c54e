"""Which lot a fill closes, fees in the traded asset, inverse contracts, splits: and the identity that ties all to money."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.ledger.bulk import fold_all
from stopline.ledger.position import METHODS, Position
from stopline.model.errors import Rejected
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.wire import validate

from ..make import at, fill, fold, option, trade
from .strategies import fees, fill_lists, prices, quantities


def crypto(symbol: str = "BTCUSDT", **more: Any) -> Instrument:
    return Instrument.model_validate({"symbol": symbol, "kind": "crypto", "currency": "USDT", **more})


SPOT = crypto(base="BTC")
INVERSE = crypto("BTCUSD-PERP", currency="BTC", inverse=True, multiplier="100")


@pytest.mark.parametrize(
    ("method", "realised", "left"),
    [
        ("fifo", 250, [(5, 110)]),
        ("lifo", 200, [(5, 100)]),
        ("hifo", 200, [(5, 100)]),
        ("average", 225, [(5, 105)]),
    ],
)
def test_each_method_closes_its_own_lots(method: str, realised: int, left: list[tuple[int, int]]) -> None:
    """R1.4, domain case 1."""
    position, _ = fold([trade(1, 10, 100), trade(2, 10, 110), trade(3, -15, 120)], method)
    assert position.realised == realised
    assert [(lot.quantity, lot.price) for lot in position.lots] == left


def test_the_dearest_lot_of_a_short_is_the_one_that_was_sold_lowest() -> None:
    shorts = [trade(1, -1, 100), trade(2, -1, 90), trade(3, -1, 95), trade(4, 1, 80)]
    position, booked = fold(shorts, "hifo")
    _, realised, _, oldest, _ = booked[-1]
    assert realised == 10
    assert [lot.price for lot in position.lots] == [100, 95]
    assert oldest == at(2)


def test_an_average_that_does_not_come_out_even_loses_nothing() -> None:
    """The cost that leaves is rounded, the last unit takes the rest along."""
    fills = [trade(1, 1, 100), trade(2, 2, 101), trade(3, -1, 100), trade(4, -1, 100), trade(5, -1, 100)]
    position, booked = fold(fills, "average")
    assert position.realised == -2
    assert (position.cost, position.is_flat) == (0, True)
    assert booked[2][1] == Decimal("-0.666666666667")


def test_an_average_of_exactly_nothing_is_a_price() -> None:
    """R1.4: crude oil at -5 and at 5 has cost nothing on average; that is not the last price."""
    crude = Instrument.model_validate({"symbol": "CLK0", "kind": "future", "currency": "USD"})
    bought = [trade(1, 10, "-5", instrument=crude), trade(2, 10, 5, instrument=crude)]
    held, _ = fold(bought, "average")
    assert [(lot.quantity, lot.price) for lot in held.lots] == [(20, 0)]
    sold, _ = fold([*bought, trade(3, -10, 3, instrument=crude)], "average")
    assert (sold.realised, sold.cost, [lot.price for lot in sold.lots]) == (30, 0, [0])


def test_a_fee_in_the_traded_coin_reduces_what_was_received() -> None:
    """Domain 2.1: bought 1 BTC for 50,000, received 0.999; the fee is worth 50."""
    position, [(_, _, fee, _, _)] = fold(
        [trade(1, 1, 50_000, instrument=SPOT, fee="0.001", fee_currency="BTC")]
    )
    assert (position.quantity, position.cost, position.fees) == (Decimal("0.999"), 49_950, 50)
    assert fee == 50
    assert position.other_fees == {}


def test_a_fee_in_a_third_coin_is_kept_apart() -> None:
    position, _ = fold([trade(1, 1, 50_000, instrument=SPOT, fee="0.01", fee_currency="BNB")])
    assert (position.quantity, position.fees, position.other_fees) == (1, 0, {"BNB": Decimal("0.01")})


def test_an_inverse_contract_makes_coins() -> None:
    """100 contracts of 100 USD, long from 50,000 to 40,000: 100 x 100 x (1/50,000 - 1/40,000) = -0.05 BTC."""
    fills = [trade(1, 100, 50_000, instrument=INVERSE), trade(2, -100, 40_000, instrument=INVERSE)]
    position, _ = fold(fills)
    assert position.realised == Decimal("-0.05")
    half, _ = fold([fills[0], trade(2, 100, 25_000, instrument=INVERSE)])
    assert half.average_price == Decimal("33333.333333333333")  # the harmonic mean


def test_an_inverse_contract_is_not_priced_at_zero_or_below() -> None:
    future = Instrument.model_validate({**INVERSE.model_dump(), "kind": "future"})
    assert not future.allows_price(Decimal(0))
    with pytest.raises(Rejected, match="inverse"):
        validate(Instrument, {"symbol": "SPY", "kind": "equity", "currency": "USD", "inverse": True})


def test_a_split_keeps_the_cost() -> None:
    """4 for 1, and 1 for 3 with a rest that is realised as it is rounded."""
    split = fill("S", quantity=4, price=1, executed_at=at(2), kind="SPLIT")
    position, _ = fold([trade(1, 10, 100), split])
    assert (position.quantity, position.cost, position.realised) == (40, 1000, 0)
    assert position.lots[0].price == 25
    reverse = fill("S", quantity=1, price=3, executed_at=at(2), kind="SPLIT")
    position, _ = fold([trade(1, 10, 100), reverse])
    assert position.cost - position.realised == 1000
    assert abs(position.realised) < Decimal("1e-8")


def test_a_split_of_an_odd_lot_leaves_fractions_and_no_gain() -> None:
    """Three for two of lots of 5 and 3: 7.5 at 60 and 4.5 at 80."""
    split = fill("S", quantity=3, price=2, executed_at=at(3), kind="SPLIT")
    position, _ = fold([trade(1, 5, 90), trade(2, 3, 120), split])
    assert [(lot.quantity, lot.price) for lot in position.lots] == [
        (Decimal("7.5"), 60),
        (Decimal("4.5"), 80),
    ]
    assert (position.quantity, position.cost, position.realised) == (12, 810, 0)


def test_a_short_pays_the_dividend() -> None:
    """It is income below zero, no fee and no part of what the shares made."""
    paid = fill("D", quantity=0, price=0, executed_at=at(2), kind="DIVIDEND", fee="7", fee_currency="USD")
    position, _ = fold([trade(1, -10, 100), paid, trade(3, 10, 95)])
    assert (position.income, position.realised, position.fees, position.net) == (-7, 50, 0, 43)


@pytest.mark.parametrize(
    ("signed", "left", "realised"),
    [
        ((2, 1), "2.9", "1"),  # the oldest coins, bought at 90 and worth 100
        ((2, -2), "-0.1", "20"),  # they are sold already: it is owed
        ((), "-0.1", "0"),
    ],
)
def test_a_fee_in_coins_that_comes_by_itself_takes_them_at_its_price(
    signed: tuple[int, ...], left: str, realised: str
) -> None:
    """Issue 4.1: Alpaca's, which names no execution."""
    coin = crypto(base="BTC")
    made = [trade(n, units, 90 if n == 0 else 100, instrument=coin) for n, units in enumerate(signed)]
    paid = fill("F", "BUY", 0, 100, at(9), coin, kind="FEE", fee="0.1", fee_currency="BTC")
    position, _ = fold([*made, paid])
    assert (position.quantity, position.realised) == (Decimal(left), Decimal(realised))
    assert (position.fees, position.other_fees) == (10, {})
    if position.quantity < 0:
        assert (position.cycle, position.lots[0].price) == (paid.order, 100)
    unpriced = fill("F", "BUY", 0, 0, at(9), coin, kind="FEE", fee="0.1", fee_currency="BTC")
    position, _ = fold([*made, unpriced])
    assert (position.quantity, position.other_fees) == (sum(signed), {"BTC": Decimal("0.1")})


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[Fill]]:
    """Return a method and fills of one instrument, with fees of every kind, funding, dividends and splits."""
    contract = draw(st.sampled_from([option(), SPOT, INVERSE]))
    made = []
    for number in range(draw(st.integers(1, 10))):
        kinds = ["TRADE"] * 5 + ["FUNDING", "DIVIDEND", "FEE", "ADJUST"] + ["SPLIT"] * (not contract.inverse)
        kind = draw(st.sampled_from(kinds))
        currency = draw(st.sampled_from([contract.currency, "BTC", "BNB"]))
        terms = {"kind": kind, "fee": draw(fees), "fee_currency": currency, "instrument": contract}
        if kind == "SPLIT":
            terms |= {"quantity": draw(st.integers(1, 3)), "price": draw(st.integers(1, 3)), "fee": "0"}
        else:
            terms |= {"quantity": draw(quantities), "price": draw(prices)}
        if currency == contract.base and Decimal(terms["fee"]) > Decimal(terms["quantity"]):
            terms["fee"] = "0"  # more than all of what was traded: such a fill is refused
        made.append(
            fill(f"E-{number}", draw(st.sampled_from(["BUY", "SELL"])), executed_at=at(number), **terms)
        )
    return draw(st.sampled_from(METHODS)), made


@given(histories())
def test_cash_cost_realised_fees_and_income_add_up_to_nothing(history: tuple[str, list[Fill]]) -> None:
    """I1: cash + cost - realised + fees - income = 0, exactly, for every method and every kind of fill."""
    method, fills = history
    position, booked = fold(fills, method)
    contract, cash = position.instrument, Fraction(0)
    for one in fills:
        if one.kind in ("TRADE", "ADJUST"):
            cash -= Fraction(one.signed_quantity) * Fraction(contract.worth(one.price))
        if one.fee_currency == contract.currency:
            cash -= Fraction(one.fee)
    left = [cash, Fraction(position.cost), -Fraction(position.realised)]
    paid_in_kind = sum(
        Fraction(one.fee) * Fraction(contract.worth(one.price))
        for one in fills
        if one.kind in ("TRADE", "ADJUST", "FEE") and one.fee_currency == contract.base
    )
    assert sum(left) + Fraction(position.fees) - Fraction(position.income) == 0
    assert Fraction(position.fees) == paid_in_kind + sum(
        Fraction(one.fee)
        for one in fills
        if one.fee_currency == contract.currency and one.kind not in ("FUNDING", "DIVIDEND")
    )
    assert sum(Fraction(realised) for _, realised, *_ in booked) == Fraction(position.realised)
    assert sum((Fraction(lot.quantity) for lot in position.lots), Fraction(0)) == Fraction(position.quantity)
    if method != "average":
        worths = [Fraction(lot.quantity) * Fraction(contract.worth(lot.price)) for lot in position.lots]
        assert sum(worths, Fraction(0)) == Fraction(position.cost)
    if position.is_flat:
        assert (position.cost, list(position.lots), position.opened_at) == (0, [], None)


@given(histories())
def test_a_copy_of_any_method_goes_on_by_itself(history: tuple[str, list[Fill]]) -> None:
    method, fills = history
    position = Position(fills[0].instrument, fills[0].strategy, method=method)
    for one in fills:
        shown, copy = repr(position), position.copy()
        copy.apply(one)
        assert repr(position) == shown
        position = copy
    assert position == fold(fills, method)[0]


def sums(positions: Iterable[Position]) -> list[tuple[Decimal, Decimal]]:
    """Return what is summed only when somebody asks for it, and is compared with no position."""
    return [(position.quantity, position.cost) for position in positions]


@given(fill_lists(), st.sampled_from(METHODS))
def test_the_bulk_fold_is_the_single_one(fills: list[Fill], method: str) -> None:
    """R1.4: a replay folds many positions at once, to the same numbers."""
    groups: dict[str, list[Fill]] = {}
    for one in fills:
        groups.setdefault(f"{one.strategy}:{one.instrument.symbol}", []).append(one)
    bulk, single = fold_all(fills, method), {key: fold(group, method)[0] for key, group in groups.items()}
    assert bulk == single
    assert sums(bulk.values()) == sums(single[key] for key in bulk)


@given(fill_lists(instruments=[option()], strategies=("default",)))
def test_the_usual_case_is_folded_like_any_other(fills: list[Fill]) -> None:
    """The quick way of plain trades gives what the way of all other contracts gives."""
    slow = Position(fills[0].instrument, "default")
    slow.is_plain = False
    ordered = sorted(fills, key=lambda f: f.order)
    quick, booked = fold(fills)
    assert [slow.apply(one) for one in ordered] == booked
    assert slow == quick
    assert sums([slow]) == sums([quick])
