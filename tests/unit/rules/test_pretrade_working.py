"""The check before an order, beside orders that work already: they count as if they were filled."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from stopline.model.increments import Increments
from stopline.model.instrument import Instrument
from stopline.rules.orders.pretrade import check
from stopline.rules.orders.steps import with_lot

from ..make import equity, option, trade
from .pretrade_orders import buy, codes, desk, held_long, leg, order, sell


def test_working_orders_count_as_if_they_were_filled() -> None:
    """Domain 2.5: the worst case of position and working orders."""
    waiting = {
        "instrument": leg(equity())["instrument"],
        "side": "BUY",
        "quantity": "60",
        "limit_price": "100",
    }
    found = check(buy(50, working=[waiting]), desk())
    assert codes(found) == {"max_position_value"}
    assert (found.reasons[0].after, found.largest) == (11, 40)


def working(side: str, units: int, contract: Instrument | None = None) -> dict[str, Any]:
    return {
        "instrument": leg(contract or equity())["instrument"],
        "side": side,
        "quantity": str(units),
        "limit_price": "100",
    }


def test_a_close_that_works_and_another_one_together_may_pass_zero() -> None:
    """Domain 2.4, 2.5: long 90, 90 are being sold already: 101 more would leave 101 short, 10.1 % of equity."""
    asked = sell(101, stop="101", working=[working("SELL", 90)])
    found = check(asked, desk(held_long(90)))
    assert (codes(found), found.largest) == ({"max_position_value"}, 100)


def test_a_working_order_that_takes_the_long_leg_away_counts() -> None:
    """Domain 2.5, 4.12: without it the spread is 10 wide; with it the short put is naked, and nothing may be added."""
    marks = {option(6000).symbol: "5", option(5990).symbol: "3"}
    spread = [trade(1, -1, "5", instrument=option(6000)), trade(2, 1, "3", instrument=option(5990))]
    more = (leg(option(6000), -1, "5"), leg(option(5990), 1, "3"))
    assert check(order(*more, stop="4"), desk(spread, marks)).approved
    leaving = {**working("SELL", 1, option(5990)), "limit_price": "3"}
    assert "max_symbol_exposure" in codes(
        check(order(*more, stop="4", working=[leaving]), desk(spread, marks))
    )


def test_an_entry_and_its_opposite_that_both_work_hide_nothing() -> None:
    """Domain 2.5: one of them may be filled alone. A put that is sold naked counts, whatever else buys it."""
    marks = {option(strike).symbol: "5" for strike in (6000, 5980, 5970)}
    asked = (leg(option(5980), -1, "5"), leg(option(5970), 1, "3"))
    short = {**working("SELL", 1, option(6000)), "limit_price": "5"}
    long = {**working("BUY", 1, option(6000)), "limit_price": "5"}
    at_risk = desk([], marks)
    alone = codes(check(order(*asked, stop="4", working=[short]), at_risk))
    assert "max_symbol_exposure" in alone
    assert alone <= codes(check(order(*asked, stop="4", working=[short, long]), at_risk))


def test_working_orders_that_must_be_known_and_are_not_refuse_what_adds() -> None:
    """R2.6: fail closed for what adds, open for what reduces."""
    blind = replace(desk(held_long(5)), silent=("paper",))
    assert [(r.code, r.object) for r in check(buy(1), blind).reasons] == [("working_unknown", "paper")]
    assert check(sell(5), blind).approved


def test_off_the_tick_or_the_lot_is_refused_by_name() -> None:
    """Domain 2.5: precision, for what adds; the odd rest of a position may be sold."""
    steps = {"equity:SPY": {"tick": "0.05", "lot": "10"}}
    asked = buy(15, price="100.02")
    found = check(asked, desk(held_long(5), increments=steps))
    assert [(r.code, r.unit, r.current, r.limit) for r in found.reasons] == [
        ("off_step", "quantity", 15, 10),
        ("off_step", "limit price", Decimal("100.02"), Decimal("0.05")),
    ]
    assert check(sell(5), desk(held_long(5), increments=steps)).approved


@pytest.mark.parametrize(
    ("lots", "ratios", "given", "lot"),
    [
        (("10", None), ("1", "1"), {}, "10"),
        (("10", "4"), ("1", "1"), {}, "20"),
        (("10", "4"), ("5", "2"), {}, "2"),
        (("0.001", "0.001"), ("1", "1"), {}, "0.001"),
        (("0.001", "0.001"), ("1", "1"), {"lot": "0.25"}, "0.25"),
        (("0.3", "0.3"), ("1", "1"), {"lot": "0.25"}, "1.5"),
        (("1", "1"), ("3", "3"), {}, "1"),
        ((None, None), ("1", "1"), {}, "1"),
    ],
    ids=str,
)
def test_the_lot_of_an_order_is_whole_in_the_lots_of_all_its_legs(
    lots: tuple[str | None, str | None], ratios: tuple[str, str], given: dict[str, str], lot: str
) -> None:
    """R3.1: the least quantity that is."""
    legs = [leg(equity(s), int(r)) for s, r in zip(("SPY", "QQQ"), ratios, strict=True)]
    known = {
        f"equity:{s}": Increments.model_validate({"lot": x})
        for s, x in zip(("SPY", "QQQ"), lots, strict=True)
        if x is not None
    }
    asked = order(*legs, quantity="15", **given)
    assert with_lot(asked, known).lot == Decimal(lot)


def test_a_spread_is_counted_once() -> None:
    """Domain 2.5, case 5: buying the wing of a naked put makes the exposure smaller, and passes."""
    marks = {option(6000).symbol: "5", option(5990).symbol: "3"}
    short = [trade(1, -1, "5", instrument=option(6000))]
    found = check(order(leg(option(5990), 1, "3")), desk(short, marks))
    assert found.approved
    again = check(order(leg(option(6000), -1, "5"), stop="8"), desk(short, marks))
    assert "max_symbol_exposure" in codes(again)
