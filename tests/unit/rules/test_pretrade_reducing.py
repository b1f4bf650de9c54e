"""The check before an order that reduces: it passes in every state, and nothing else passes for one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from stopline.model.control import Effective, TradingState
from stopline.rules.orders.pretrade import check

from ..make import equity, option, trade
from .pretrade_orders import buy, codes, desk, held_long, leg, order, sell


@pytest.mark.parametrize("state", list(TradingState))
def test_what_truly_reduces_passes_in_every_state(state: TradingState) -> None:
    """Domain 2.4: stopping must never lock a loss in."""
    stopped = Effective(state, 9, Decimal(0), False)
    found = check(sell(5, reduce_only=True, epoch=1), desk(held_long(), state=stopped))
    assert (found.approved, found.reducing) == (True, True)


@pytest.mark.parametrize("units", [6, 11])
def test_an_order_larger_than_the_position_flips_it_and_reduces_nothing(units: int) -> None:
    """Domain 2.4 (Nautilus)."""
    halted = Effective(TradingState.REDUCING, 1, Decimal(0), False)
    found = check(sell(units, reduce_only=True), desk(held_long(), state=halted))
    assert {"not_reducing", "trading_state"} <= codes(found)
    assert found.largest == 5


def test_a_working_close_counts_against_what_is_left_to_reduce() -> None:
    """Domain case 17: long 5, working sell 3, new sell 3 would be -1: refused; 2 pass."""
    working = [{"instrument": leg(equity())["instrument"], "side": "SELL", "quantity": "3"}]
    found = check(sell(3, reduce_only=True, working=working), desk(held_long()))
    assert "not_reducing" in codes(found)
    assert found.largest == 2


def test_when_flat_nothing_reduces() -> None:
    """Domain 2.4: when flat anything passes in others' REDUCING."""
    assert "not_reducing" in codes(check(sell(1, reduce_only=True), desk()))


def test_closing_the_long_leg_of_a_spread_reduces_nothing() -> None:
    """Domain 4.12: it leaves a naked short. Both legs together do, and so does the short one."""
    marks = {option(6000).symbol: "5", option(5990).symbol: "3"}
    spread = [trade(1, -2, "5", instrument=option(6000)), trade(2, 2, "3", instrument=option(5990))]
    paused = Effective(TradingState.REDUCING, 1, Decimal(0), False)
    at_risk = desk(spread, marks, paused)
    assert not check(order(leg(option(5990), -1)), at_risk).approved
    assert check(order(leg(option(6000), 1)), at_risk).approved
    assert check(order(leg(option(6000), 1), leg(option(5990), -1), quantity=2), at_risk).approved


@pytest.mark.parametrize("right", ["C", "P"])
def test_closing_the_later_leg_of_a_calendar_reduces_nothing(right: str) -> None:
    """Domain 4.12: it covers the short one of an earlier expiry. The short one may go, and both together."""
    near, far = option(6000, right), option(6000, right, date(2026, 12, 18))
    marks = {near.symbol: "5", far.symbol: "9"}
    calendar = [trade(1, -1, "5", instrument=near), trade(2, 1, "9", instrument=far)]
    at_risk = desk(calendar, marks, Effective(TradingState.HALTED, 1, Decimal(0), False))
    assert not check(order(leg(far, -1)), at_risk).approved
    assert check(order(leg(near, 1)), at_risk).approved
    assert check(order(leg(near, 1), leg(far, -1)), at_risk).approved


def test_selling_shares_that_cover_a_call_reduces_nothing() -> None:
    call = option(110, "C", root="SPY").model_copy(update={"underlying": "SPY"})
    covered = desk([trade(1, 100, "100"), trade(2, -1, "2", instrument=call)], {call.symbol: "2"})
    assert not check(sell(100), covered).reducing
    assert check(order(leg(call, 1)), covered).reducing


def test_another_strategy_s_position_is_not_reduced() -> None:
    """R1.1: each strategy closes its own."""
    assert not check(sell(5, strategy="other", reduce_only=True), desk(held_long())).reducing


def test_an_instrument_whose_book_is_in_doubt_takes_no_new_orders_and_lets_go() -> None:
    """Domain 2.8."""
    doubtful = desk(held_long(), blocked={"SPY": "the broker holds 7"})
    assert codes(check(buy(1), doubtful)) == {"blocked_instrument"}
    assert check(sell(5), doubtful).approved


def test_half_open_lets_a_share_of_the_size_through() -> None:
    """R3.3, R5.2: a quarter of 100 shares."""
    half_open = Effective(TradingState.ACTIVE, 3, Decimal("0.25"), False)
    assert check(buy(10), desk(state=half_open)).largest == 25
