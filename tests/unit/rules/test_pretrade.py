"""The check before an order: every reason at once, the largest size that passes, and a way out that is always open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stopline.ledger.book import Book
from stopline.model.control import Effective, TradingState
from stopline.model.fill import Fill
from stopline.model.increments import Increments
from stopline.model.instrument import Instrument, Kind
from stopline.model.order import Order
from stopline.rules.limits.figures import Market, Valued, figures
from stopline.rules.orders.decision import Decision, Desk
from stopline.rules.orders.pretrade import check, largest, reasons_against
from stopline.rules.orders.steps import with_lot

from ..make import NOON, account, equity, option, trade

LATER = NOON + timedelta(minutes=1)
ACTIVE = Effective(TradingState.ACTIVE, 3, Decimal(1), False)
MARKS = {"SPY": "100", "QQQ": "50"}


def desk(
    fills: Sequence[Fill] = (),
    marks: Mapping[str, str] | None = None,
    state: Effective = ACTIVE,
    blocked: Mapping[str, str] | None = None,
    market: Market | None = None,
    **more: Any,
) -> Desk:
    made = account(**more)
    known = {s: Decimal(p) for s, p in (MARKS | dict(marks or {})).items()}
    book = Book("demo").with_fills(fills, made.sessions.session_of, lambda *_: [], LATER)
    valued = []
    for p in book.open_positions():
        mark = known.get(p.instrument.symbol)
        value = None if mark is None else p.quantity * mark * p.instrument.multiplier
        valued.append(Valued(p, mark, value, None if value is None else value - p.cost))
    numbers = figures(made, book, valued, lambda _: Decimal(1), None, None, LATER, market=market or Market())
    return Desk(numbers, known, lambda _: Decimal(1), state, blocked or {})


def leg(contract: Instrument, signed: int = 1, price: str | None = None) -> dict[str, Any]:
    return {
        "instrument": contract.model_dump(mode="json", exclude_none=True),
        "side": "BUY" if signed > 0 else "SELL",
        "ratio": str(abs(signed)),
        **({"limit_price": price} if price else {}),
    }


def order(*legs: dict[str, Any], quantity: str | int = 1, **more: Any) -> Order:
    return Order.model_validate({"legs": list(legs), "quantity": str(quantity), **more})


def buy(units: str | int, symbol: str = "SPY", price: str | None = "100", **more: Any) -> Order:
    return order(leg(equity(symbol), 1, price), quantity=units, **{"stop": "99", **more})


def sell(units: str | int, symbol: str = "SPY", **more: Any) -> Order:
    return order(leg(equity(symbol), -1), quantity=units, **more)


def codes(decision: Decision) -> set[str]:
    return {reason.code for reason in decision.reasons}


def test_an_order_within_every_limit_is_approved_with_the_largest_that_would_be() -> None:
    """R2.6: 10 % of 100,000 in one position is 100 shares at 100; the stop risks 1 each."""
    found = check(buy(50), desk())
    assert (found.approved, found.reasons, found.largest, found.loss) == (True, (), 100, 50)


def test_all_reasons_are_told_at_once_each_with_current_limit_and_after() -> None:
    """R2.6: 3,000 shares at 100 with a stop 1 below, paused, by a weak signal, for little."""
    paused = Effective(TradingState.REDUCING, 4, Decimal(0), False)
    asked = buy(3000, confidence="0.5", target="101", epoch=3)
    market = Market(spreads={"SPY": Decimal(9)}, volatilities={"SPY": Decimal("0.2")})
    found = check(asked, desk(state=paused, market=market, profile="general"))
    assert codes(found) == {
        "trading_state",
        "stale_epoch",
        "risk_reward",
        "confidence",
        "max_position_value",
        "max_symbol_exposure",
        "max_margin_use",
        "max_portfolio_heat",
        "max_position_volatility",
        "max_quote_spread",
    }
    by_code = {reason.code: reason for reason in found.reasons}
    value = by_code["max_position_value"]
    assert (value.object, value.current, value.limit, value.after, value.unit) == ("SPY", 0, 10, 300, "%")
    assert (by_code["risk_reward"].limit, by_code["risk_reward"].after) == (Decimal("1.5"), 1)
    assert (by_code["confidence"].limit, by_code["confidence"].after) == (Decimal("0.7"), Decimal("0.5"))
    assert (by_code["stale_epoch"].current, by_code["stale_epoch"].limit) == (3, 4)
    assert found.largest == 0


def test_the_loss_of_the_day_counts_what_the_stop_would_lose() -> None:
    """R2.6: 2,500 are lost, 3,000 is the limit: an order may risk less than 500 more (reaching it is a breach)."""
    held = [trade(1, 100, "100"), trade(2, -100, "75")]
    found = check(buy(10, stop="50"), desk(held))
    assert codes(found) == {"max_daily_loss"}
    [reason] = found.reasons
    assert (reason.current, reason.limit, reason.after) == (Decimal("2.5"), 3, 3)
    assert found.largest == 9


def test_a_stop_or_target_that_an_inverse_contract_cannot_have_is_told() -> None:
    """R2.6: its worth is one over its price: 0 is no number of money, and no error of ours."""
    facts = {"symbol": "XBT", "kind": "future", "currency": "USD", "multiplier": "100", "inverse": True}
    perpetual = Instrument.model_validate(facts)
    for signed in (1, -1):
        stopped = check(order(leg(perpetual, signed, "50"), stop="0"), desk(marks={"XBT": "50"}))
        assert [r.detail for r in stopped.reasons if r.code == "no_stop"] == ["the stop is no price of XBT"]
        aimed = check(order(leg(perpetual, signed, "50"), stop="50", target="0"), desk(marks={"XBT": "50"}))
        assert aimed.reward is None


def test_after_a_breach_nothing_that_adds_passes_at_any_size_and_closing_does() -> None:
    """R2.4, R2.6."""
    broke = desk([trade(1, 100, "100"), trade(2, -100, "60"), trade(3, 10, "100")])
    assert check(buy(1, stop="99.99"), broke).largest == 0
    closing = check(sell(10), broke)
    assert (closing.approved, closing.reducing, closing.largest) == (True, True, 10)


def test_what_is_beyond_a_limit_may_be_made_no_worse() -> None:
    """R2.6: a hedge on an underlying that is too large may pass where it adds nothing."""
    big = desk([trade(1, 300, "100")])  # 30 % of equity in SPY: beyond 20 %
    assert "max_symbol_exposure" in codes(check(buy(1), big))
    assert check(buy(10, "QQQ", "50", stop="49"), big).approved


# --- data ---


@pytest.mark.parametrize("price", ["100", None])
def test_without_a_usable_price_it_is_refused_whatever_the_limit_price(price: str | None) -> None:
    """R2.6: fail closed, saying what is missing."""
    found = check(buy(1, "IWM", price), desk())
    assert [(r.code, r.object) for r in found.reasons] == [("no_price", "IWM")]
    assert found.largest == 0


def test_without_a_price_every_reason_that_needs_none_is_told() -> None:
    """R2.6: all at once: a weak signal and a day that is lost already do not wait for the price."""
    lost = [trade(1, 100, "200")]
    found = check(buy(1, "TLT", confidence="0.1"), desk(lost, profile="general", capital="50000"))
    assert {"no_price", "confidence", "max_daily_loss"} <= codes(found)
    [loss] = [reason for reason in found.reasons if reason.code == "max_daily_loss"]
    assert (loss.current, loss.limit, loss.after) == (20, 5, None)


@pytest.mark.parametrize(
    ("contract", "refused"),
    [
        (option(100, "P", expiry=date(2026, 11, 17)), True),
        (option(100, "P", expiry=date(2026, 11, 18)), False),
        (equity("SPY").model_copy(update={"kind": Kind.FUTURE, "expiry": date(2026, 11, 17)}), True),
        (equity("SPY").model_copy(update={"kind": Kind.FUTURE, "expiry": date(2026, 11, 18)}), False),
    ],
)
def test_what_has_expired_takes_no_orders(contract: Instrument, refused: bool) -> None:
    """R2.6: a price that is still in the feed makes no contract of it."""
    asked = order(leg(contract, 1, "100"), stop="90")
    assert ("expired" in codes(check(asked, desk(marks={contract.symbol: "100"})))) is refused


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"multiplier": Decimal("0.01")}, "multiplier 1, not 0.01"),
        ({"currency": "EUR"}, "currency USD, not EUR"),
        ({"underlying": "QQQ"}, "underlying SPY, not QQQ"),
        ({}, None),
    ],
)
def test_an_order_for_other_terms_than_the_book_s_is_refused(
    change: dict[str, Any], told: str | None
) -> None:
    """R2.6: a hundredth of the multiplier would be a hundredth of the risk; the ledger would refuse its fill too."""
    asked = order(leg(equity().model_copy(update=change), 1, "100"), stop="99")
    found = check(asked, desk([trade(1, 5, "100")]))
    details = [reason.detail for reason in found.reasons if reason.code == "other_terms"]
    assert details == ([f"the book holds it with {told}"] if told else [])
    assert found.approved is (told is None)


def test_a_coin_of_small_change_is_sized_by_the_thousand_million() -> None:
    """R2.6: 10 % of 100,000 at 0.00001 are 1,000,000,000 coins."""
    coin = equity("SHIBUSD").model_copy(update={"kind": Kind.CRYPTO})
    found = check(
        order(leg(coin, 1, "0.00001"), stop="0.000009", quantity=1000), desk(marks={"SHIBUSD": "0.00001"})
    )
    assert found.approved
    assert 10**9 <= found.largest < 10**9 + 100  # percentages have six decimals


def test_one_stale_position_makes_equity_unknown_and_refuses_what_adds() -> None:
    """Domain case 15: one NaN mark: limits unknown, opens refused, closing is not."""
    blind = desk([trade(1, 10, "20", instrument=equity("IWM"))])
    found = check(buy(1), blind)
    assert {r.after for r in found.reasons} == {None}
    assert "max_daily_loss" in codes(found)
    assert all("unknown" in r.detail for r in found.reasons)
    assert check(sell(10, "IWM"), blind).approved


def test_a_share_without_a_stop_is_refused_and_a_defined_risk_spread_is_not() -> None:
    """R2.6: the payoff bounds a spread's loss; 5 wide for 1.00 risks 400."""
    assert codes(check(buy(1, stop=None), desk())) == {"no_stop"}
    marks = {option(6000).symbol: "3", option(5995).symbol: "2"}
    spread = order(leg(option(6000), -1, "3"), leg(option(5995), 1, "2"))
    found = check(spread, desk(marks=marks))
    assert (found.approved, found.loss, found.reward) == (True, 400, 100)
    naked = order(leg(option(6100, "C"), -1, "3"))
    assert "no_stop" in codes(check(naked, desk(marks={option(6100, "C").symbol: "3"})))


@pytest.mark.parametrize("stop", ["100", "101"])
def test_a_stop_at_or_beyond_the_price_is_no_stop(stop: str) -> None:
    """R3.1: a zero distance has no size."""
    found = check(buy(1, stop=stop), desk())
    assert codes(found) == {"no_stop"}
    assert "losing side" in found.reasons[0].detail


def test_a_short_loses_above_its_price() -> None:
    """R2.6: sold at 99 (the mark less the collar of 1 %), stopped at 102, target 96."""
    found = check(sell(10, stop="102", target="96"), desk())
    assert (found.loss, found.reward, found.approved) == (30, 30, True)


def test_a_spread_is_stopped_at_the_price_it_is_quoted_at() -> None:
    """Domain 2.2: sold for 2.00, stopped at 4.00: 200 lost of 800 at most."""
    marks = {option(6000).symbol: "5", option(5990).symbol: "3"}
    legs = (leg(option(6000), -1, "5"), leg(option(5990), 1, "3"))
    assert check(order(*legs, stop="4", target="1"), desk(marks=marks)).loss == 200
    assert check(order(*legs, stop="4", target="1"), desk(marks=marks)).reward == 100
    assert check(order(*legs, stop="40"), desk(marks=marks)).loss == 800


# --- working orders ---


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


# --- reducing ---


def held_long(units: int = 5) -> list[Fill]:
    return [trade(1, units, "100")]


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


# --- laws ---

sizes = st.integers(1, 40)


@settings(max_examples=40)
@given(st.integers(-120, 120), st.sampled_from(["BUY", "SELL"]), sizes, sizes, st.integers(1, 30))
def test_the_largest_size_passes_and_one_more_does_not(
    held: int, side: str, quantity: int, lot: int, distance: int
) -> None:
    """R2.6, R3: by evaluating; and what passes at a size passes at every smaller one."""
    fills = [trade(1, held, "100")] if held else []
    judged = desk(fills)
    stop = 100 - distance - 2 if side == "BUY" else 100 + distance + 2
    signed = 1 if side == "BUY" else -1
    asked = order(leg(equity(), signed), quantity=quantity * lot, lot=str(lot), stop=str(stop))
    most = largest(asked, judged)
    assert most % lot == 0
    assert reasons_against(asked.sized(most + lot), judged)
    if most:
        for lots in {1, int(most) // lot // 2, int(most) // lot} - {0}:
            assert not reasons_against(asked.sized(Decimal(lots * lot)), judged)
    assert check(asked, judged).approved == (asked.quantity <= most)


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 8), min_size=4, max_size=4),
    st.sampled_from([1, -1]),
    st.integers(-6, 6),
    st.integers(1, 3),
)
def test_the_largest_condor_passes_and_one_more_does_not(
    gaps: list[int], way: int, held: int, ratio: int
) -> None:
    """R2.6, domain case 2: unequal wings and ratios, beside what is held of one leg, by evaluating."""
    strikes = [5800 + 5 * sum(gaps[: n + 1]) for n in range(4)]
    contracts = [option(k, right) for k, right in zip(strikes, "PPCC", strict=True)]
    marks = {c.symbol: price for c, price in zip(contracts, ("1", "2.5", "2.2", "0.8"), strict=True)}
    judged = desk([trade(1, held, "2", instrument=contracts[1])] if held else [], marks, capital="400000")
    signs = (way * ratio, -way, -way, way)
    asked = order(*(leg(c, n) for c, n in zip(contracts, signs, strict=True)))
    most = largest(asked, judged)
    assert reasons_against(asked.sized(most + 1), judged)
    for size in {1, int(most) // 2, int(most)} - {0} if most else ():
        assert not reasons_against(asked.sized(Decimal(size)), judged)


@settings(max_examples=40)
@given(
    st.integers(1, 50),
    st.booleans(),
    st.data(),
    st.sampled_from(list(TradingState)),
    st.booleans(),
    st.booleans(),
)
def test_an_order_that_truly_reduces_is_never_refused(
    held: int, short: bool, data: st.DataObject, state: TradingState, blind: bool, blocked: bool
) -> None:
    """R2.6: whatever the state, the data, the limits, the losses."""
    units = data.draw(st.integers(1, held))
    sign = -1 if short else 1
    symbol = "IWM" if blind else "SPY"
    fills = [
        trade(1, 100, "100"),
        trade(2, -100, "60"),
        trade(3, sign * held, "20", instrument=equity(symbol)),
    ]
    judged = desk(
        fills, state=Effective(state, 7, Decimal(0), False), blocked={symbol: "?"} if blocked else {}
    )
    closing = order(leg(equity(symbol), -sign), quantity=units, reduce_only=True, epoch=1)
    found = check(closing, judged)
    assert found.approved
    assert found.largest == held


@settings(max_examples=25)
@given(sizes, sizes, sizes)
def test_more_working_orders_never_let_more_through(one: int, other: int, held: int) -> None:
    """R2.6."""

    def most(working: int) -> Decimal:
        waiting = {"instrument": leg(equity())["instrument"], "side": "BUY", "quantity": str(working)}
        return largest(buy(1, working=[waiting]), desk([trade(1, held, "100")]))

    low, high = sorted((one, other))
    assert most(high) <= most(low)


@pytest.mark.parametrize(
    "wrong",
    [
        {"legs": []},
        {"quantity": "0"},
        {"quantity": "1.5"},
        {"confidence": "1.01"},
        {"legs": [leg(equity()), leg(equity(), -1)]},
        {"legs": [leg(equity()), leg(equity("SAP", "EUR"))]},
        {"legs": [leg(equity(), 1, "-5")]},
        {"legs": [leg(equity(), 1, "0")]},
        {"stop": "-5"},
        {"target": "-1"},
    ],
)
def test_an_order_that_is_none_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Order.model_validate({"legs": [leg(equity())], "quantity": "1", **wrong})


def test_an_unknown_correlation_refuses_only_what_it_is_about() -> None:
    """R2.6: general profile, two underlyings."""
    known = Market(
        spreads={"SPY": Decimal(1), "QQQ": Decimal(1)},
        volatilities={"SPY": Decimal("0.2"), "QQQ": Decimal("0.2")},
    )
    judged = desk([trade(1, 10, "100")], market=known, profile="general")
    asked = buy(10, "QQQ", "50", stop="49", target="52", confidence="0.9")
    found = check(asked, judged)
    assert codes(found) == {"max_correlation", "max_correlated_positions"}
    together = replace(known, correlations={("QQQ", "SPY"): Decimal("0.95")})
    judged = desk([trade(1, 10, "100")], market=together, profile="general")
    [reason] = check(asked, judged).reasons
    assert (reason.code, reason.object, reason.after) == ("max_correlation", "QQQ/SPY", Decimal("0.95"))


def call_on_shares(strike: int = 105) -> Instrument:
    return option(strike, "C", date(2026, 12, 18), "SPY")


def buy_write(shares: int = 100, **more: Any) -> Order:
    return order(leg(equity("SPY"), shares, "100"), leg(call_on_shares(), -1, "2"), **more)


def test_a_buy_write_is_asked_about_as_one_order_and_counts_once() -> None:
    """R2.6: 100 shares at 100 and a call at 105 sold for 2.00: 9,800 may be lost and 700 made, and no call is naked; with a
    stop at 96 for the whole 200 are lost.
    """
    judged = desk(marks={call_on_shares().symbol: "2"}, capital="1000000")
    found = check(buy_write(), judged)
    assert (found.approved, found.reasons) == (True, ())
    assert (found.loss, found.reward) == (9_800, 700)
    assert found.largest == 3, "2.94 % of equity may be lost, of 3 that must not"
    stopped = check(buy_write(stop="96", target="101"), judged)
    assert (stopped.loss, stopped.reward, stopped.largest) == (200, 300, 10)
    half = check(buy_write(50), judged)
    assert codes(half) == {"no_stop", "max_margin_use"}, (
        "half of the call is naked, and its spot is not known"
    )
    other = order(leg(equity("QQQ"), 100, "50"), leg(call_on_shares(), -1, "2"))
    assert "no_stop" in codes(check(other, judged)), "it covers nothing"


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (lambda: buy_write(50, stop="97"), "as many units"),
        (lambda: buy_write(50, target="103"), "as many units"),
        (
            lambda: order(
                leg(call_on_shares()), leg(call_on_shares(110).model_copy(update={"multiplier": Decimal(10)}))
            ),
            "same multiplier",
        ),
        (lambda: order(leg(equity("SPY")), leg(equity("SAP", "EUR"))), "same currency"),
    ],
)
def test_legs_that_have_no_common_price_take_no_stop(made: Callable[[], Order], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        made()
