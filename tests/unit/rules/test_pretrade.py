"""The check before an order: every reason at once, the largest size that passes, and a way out that is always open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from stopline.model.control import Effective, TradingState
from stopline.model.instrument import Instrument, Kind
from stopline.model.order import Order
from stopline.rules.limits.figures import Market
from stopline.rules.orders.pretrade import check

from ..make import equity, option, trade
from .pretrade_orders import buy, codes, desk, leg, order, sell


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
