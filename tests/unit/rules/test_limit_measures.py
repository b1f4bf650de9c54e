"""What each limit measures, by hand; and that no limit gets looser with more of what it limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.order import Order, OrderLeg
from stopline.model.settings.limit_override import Action
from stopline.rules.limits.exposure import is_settling
from stopline.rules.limits.figures import Figures, Market, Valued, figures
from stopline.rules.limits.registry import LIMITS, Level, Reading, Scope, check_overrides, readings
from stopline.rules.limits.watch import limit_alerts, watch
from stopline.rules.orders.open_risk import OpenRisk
from stopline.rules.orders.reducing import truly_reduces
from stopline.rules.orders.risk import order_risk

from ..make import NOON, account, at, equity, option, trade

MARKS = {"SPY": "100", "QQQ": "50", "IWM": "20"}
LATER = NOON + timedelta(minutes=1)  # the legs have settled


def numbers(
    fills: Sequence[Fill], marks: dict[str, str] | None = None, market: Market | None = None, **settings: Any
) -> Figures:
    made = account(**settings)
    known = {**MARKS, **(marks or {})}
    book = Book("demo").with_fills(fills, made.sessions.session_of, lambda *_: [], LATER)
    valued = []
    for p in book.open_positions():
        mark = Decimal(known[p.instrument.symbol]) if p.instrument.symbol in known else None
        value = None if mark is None else p.quantity * p.instrument.worth(mark)
        valued.append(Valued(p, mark, value, None if value is None else value - p.cost))
    return figures(made, book, valued, lambda _: Decimal(1), None, None, LATER, market=market or Market())


def on(name: str, number: str = "1") -> dict[str, Any]:
    return {"limits": {name: {"limit": number}}}


def read(f: Figures, name: str) -> dict[str, Decimal | None]:
    return {r.object: r.current for r in readings(f, {}) if r.limit.name == name}


def shares(number: int, units: int, symbol: str = "SPY", strategy: str = "default") -> Fill:
    return trade(number, units, MARKS[symbol], instrument=equity(symbol), strategy=strategy)


CONDOR = [  # domain 2.2: 2x 7135/7185P 7500/7660C, unequal wings; 10.00 received a unit
    trade(1, 2, "1", instrument=option(7135, "P")),
    trade(2, -2, "6", instrument=option(7185, "P")),
    trade(3, -2, "6", instrument=option(7500, "C")),
    trade(4, 2, "1", instrument=option(7660, "C")),
]
WORTH = {f.instrument.symbol: str(f.price) for f in CONDOR}


def test_a_condor_s_margin_is_its_wider_side_and_its_open_risk_takes_the_credit_off() -> None:
    """R2.1, R2.5, domain case 4: 32,000 and not 10,000; 2 x 100 x 10.00 were received."""
    f = numbers(CONDOR, WORTH)
    assert f.risks == {"SPXW": OpenRisk(Decimal(32_000), Decimal(30_000), Decimal(32_000))}
    assert read(f, "max_margin_use") == {"account": 32}
    assert read(f, "max_portfolio_heat") == {"account": 30}
    assert read(f, "max_leverage") == {"account": Decimal("0.32")}
    assert read(f, "max_open_positions") == {"account": 4}
    assert read(f, "max_concurrent_positions") == {"account": 1}


def test_fifty_spreads_of_ten_wide_can_lose_forty_thousand() -> None:
    """Domain case 5: credit 2.00."""
    fills = [trade(1, -50, "3", instrument=option(6000)), trade(2, 50, "1", instrument=option(5990))]
    assert numbers(fills).risks["SPXW"].max_loss == 40_000


def test_a_naked_call_is_margined_by_regulation_t_and_unknown_without_the_underlying() -> None:
    """R2.1: Cboe's rule: premium + the greater of 20 % (an index: 15 %) less what it is out of the money, and 10 %."""
    fills = [trade(1, -1, "5", instrument=option(6100, "C"))]
    mark = {fills[0].instrument.symbol: "4"}
    spot = Market(spots={"SPXW": Decimal(6000)})
    assert numbers(fills, mark, spot).risks["SPXW"].margin == 100 * (4 + 900 - 100)
    share = [trade(1, -1, "5", instrument=option(102, "C", root="SPY"))]
    mark_of_share = {share[0].instrument.symbol: "4"}
    assert numbers(share, mark_of_share, Market(spots={"SPY": Decimal(100)})).risks["SPY"].margin == 100 * (
        4 + 20 - 2
    )
    assert numbers(fills, mark).risks["SPXW"].margin is None
    assert read(numbers(fills, mark), "max_margin_use") == {"account": None}


def covered(units: int) -> list[Fill]:
    call = option(110, "C", date(2026, 12, 18), "SPY").model_copy(update={"underlying": "SPY"})
    return [shares(1, units), trade(2, -1, "2", instrument=call)]


def test_calls_covered_by_shares_bind_and_lose_nothing_more() -> None:
    """R2.1: 100 shares at 100 and a call sold at 2.00: the shares can lose 10,000, less the credit of 200."""
    call = {covered(100)[1].instrument.symbol: "2"}
    risk = numbers(covered(100), call).risks["SPY"]
    assert (risk.max_loss, risk.margin) == (10_000, 5_000)
    half = numbers(covered(50), call, Market(spots={"SPY": Decimal(100)})).risks["SPY"]
    assert half.max_loss == 5_000 + 50 * 110
    assert half.margin == 2_500 + 50 * (2 + 10)  # 20 % less 10 out of the money, at least 10 %


def exposures(*fills: Fill) -> Decimal | None:
    return numbers(fills).risks["SPY"].exposure


def test_what_covers_an_option_counts_once_with_it() -> None:
    """R2.2, R2.6: a buy-write is its shares, half of one half and the calls that stay naked; a put that was sold against
    short shares likewise; a collar is no more than its shares and what was paid for it.
    """
    december = date(2026, 12, 18)
    call, put = option(110, "C", december, "SPY"), option(95, "P", december, "SPY")
    assert exposures(*covered(100)) == 10_000
    assert exposures(*covered(50)) == 5_000 + 50 * 110
    assert exposures(shares(1, -100), trade(2, -1, "2", instrument=put)) == 10_000
    assert exposures(shares(1, -40), trade(2, -1, "2", instrument=put)) == 4_000 + 60 * 95
    collar = [shares(1, 100), trade(2, -1, "2", instrument=call), trade(3, 1, "3", instrument=put)]
    assert exposures(*collar) == 10_000 + 100
    both = [shares(1, 100), trade(2, -1, "2", instrument=call), trade(3, -1, "3", instrument=put)]
    assert exposures(*both) == 10_000 + 9_500, "shares cover the call of a strangle, not its put"


@given(
    st.integers(-300, 300),
    st.lists(
        st.tuples(st.integers(90, 110), st.sampled_from(["C", "P"]), st.integers(-3, 3).filter(bool)),
        min_size=1,
        max_size=4,
        unique_by=lambda leg: leg[:2],
    ),
)
@example(0, [(90, "C", -3), (91, "C", 2)])  # the call that is not covered, and a point on each that is
def test_exposure_is_at_least_what_shares_and_options_lose_together_where_a_short_call_costs_up_to_its_strike(
    held: int, legs: list[tuple[int, str, int]]
) -> None:
    """R2.2: the oracle prices every point of the payoff; what is not covered is never left out."""
    december = date(2026, 12, 18)
    fills = [
        trade(n, units, "0", instrument=option(strike, right, december, "SPY"))
        for n, (strike, right, units) in enumerate(legs, 2)
    ]
    fills += [shares(1, held)] if held else []

    def made(price: int) -> int:
        options = sum(
            100 * units * max(price - strike if right == "C" else strike - price, 0)
            for strike, right, units in legs
        )
        return options + held * (price - 100)

    found = exposures(*fills)
    assert found is not None
    assert found >= -min(made(price) for price in range(181))


def calls(*legs: tuple[int, int]) -> list[Fill]:
    december = date(2026, 12, 18)
    return [
        trade(n, units, "0", instrument=option(strike, "C", december, "SPY"))
        for n, (strike, units) in enumerate(legs, 2)
    ]


@pytest.mark.parametrize(
    ("legs", "exposure"),
    [
        ([(90, -3), (91, 2)], 9_000 + 200),
        ([(100, -3), (150, 1)], 20_000 + 5_000),
        ([(100, -2), (200, 1)], 10_000 + 10_000),
        ([(100, -2), (400, 1)], 20_000),
        ([(100, -1), (300, -1), (310, 1)], 10_000 + 1_000),
    ],
)
def test_more_short_calls_than_long_ones_lose_the_strikes_of_those_that_stay_naked_and_the_spreads_of_the_rest(
    legs: list[tuple[int, int]], exposure: int
) -> None:
    """R2.2: by hand; one that is bought so far out that it protects little adds nothing."""
    assert exposures(*calls(*legs)) == exposure


def test_a_far_call_beside_a_covered_one_takes_no_cover_away() -> None:
    """R2.2: the shares still cover what was sold; another settlement's short call has what is left of them."""
    assert exposures(shares(1, 100), *calls((110, -1), (130, 1))) == 10_000
    later = trade(9, -1, "0", instrument=option(120, "C", date(2027, 1, 15), "SPY"))
    assert exposures(shares(1, 100), *calls((110, -1), (115, 1)), later) == 10_000 + 500


@settings(max_examples=40)
@example(-200, {(90, "P"): 2, (95, "P"): -3, (105, "P"): -1}, (105, "P"), 1, 0)
@given(
    st.sampled_from([-200, -100, 0, 50, 100]),
    st.dictionaries(
        st.tuples(st.sampled_from([90, 95, 100, 105, 130, 180]), st.sampled_from(["C", "P"])),
        st.integers(-3, 3).filter(bool),
        min_size=1,
        max_size=4,
    ),
    st.tuples(st.sampled_from([90, 95, 100, 105, 130, 180]), st.sampled_from(["C", "P"])),
    st.integers(1, 3),
    st.integers(0, 5),
)
def test_buying_an_option_adds_no_more_exposure_than_its_premium(
    held: int, legs: dict[tuple[int, str], int], bought: tuple[int, str], units: int, price: int
) -> None:
    """R2.2: protection is never refused for what it protects from."""
    december = date(2026, 12, 18)
    fills = [
        trade(n, quantity, "0", instrument=option(strike, right, december, "SPY"))
        for n, ((strike, right), quantity) in enumerate(legs.items(), 2)
    ]
    fills += [shares(1, held)] if held else []
    before = exposures(*fills)
    strike, right = bought
    more = trade(20, units, str(price), instrument=option(strike, right, december, "SPY"))
    after = numbers([*fills, more]).risks.get("SPY")
    assert before is not None
    if after is not None:  # buying back the last one leaves nothing
        assert after.exposure is not None
        assert after.exposure <= before + 100 * units * price


BTC = {"BTC-PERP": "100000"}


def perpetual(number: int, units: int) -> Fill:
    contract = {
        "symbol": "BTC-PERP",
        "kind": "future",
        "currency": "USD",
        "underlying": "BTC",
        "inverse": True,
    }
    return trade(
        number, units, "100000", instrument=Instrument.model_validate({**contract, "multiplier": "1000000"})
    )


@pytest.mark.parametrize(("right", "sign"), [("C", 1), ("P", -1)])
def test_an_inverse_contract_covers_no_option(right: str, sign: int) -> None:
    """R2.2: its multiplier is money and no number of coins: each is 10 here, its size is the money's."""
    sold = option(100_000, right, date(2026, 12, 18), "BTC").model_copy(update={"multiplier": Decimal(1)})
    alone = numbers([perpetual(1, sign)], BTC).risks["BTC"].exposure
    assert alone == 10
    both = numbers([perpetual(1, sign), trade(2, -10, "0", instrument=sold)], BTC).risks["BTC"].exposure
    assert both == 10 + 10 * 100_000


def test_a_long_inverse_contract_adds_to_the_coins_that_are_held() -> None:
    """R2.2: what is owed on it is worth less the dearer the coin: both gain when it rises."""
    coin = Instrument.model_validate({"symbol": "BTC", "kind": "crypto", "currency": "USD"})
    held = trade(2, 1, "20", instrument=coin)
    assert numbers([perpetual(1, 1), held], {**BTC, "BTC": "20"}).risks["BTC"].exposure == 30
    assert numbers([perpetual(1, -1), held], {**BTC, "BTC": "20"}).risks["BTC"].exposure == 10


@pytest.mark.parametrize(("right", "sign", "reduces"), [("C", 1, False), ("C", -1, True), ("P", 1, True)])
def test_closing_an_inverse_contract_beside_short_calls_reduces_only_where_it_hedges_none(
    right: str, sign: int, reduces: bool
) -> None:
    """Domain 4.12: how many coins it is hangs on a price, and none is looked at."""
    sold = option(100_000, right, date(2026, 12, 18), "BTC")
    f = numbers([perpetual(1, 2 * sign), trade(2, -10, "0", instrument=sold)], BTC)
    held = [v.position for v in f.positions]
    [future] = [p.instrument for p in held if p.instrument.inverse]
    closing = Order(
        legs=(OrderLeg(instrument=future, side="SELL" if sign > 0 else "BUY"),), quantity=Decimal(1)
    )
    assert truly_reduces(closing, held) is reduces


def test_options_that_settle_at_the_opening_cover_none_that_settle_at_the_close() -> None:
    """Domain 2.2: SPX of the third Friday ends before SPXW of that day; one's long put is gone when the other's short is."""
    friday = date(2026, 11, 20)

    def put(strike: int, root: str) -> Instrument:
        return option(strike, expiry=friday, root=root).model_copy(update={"underlying": "SPX"})

    apart = [trade(1, -1, "9", instrument=put(6000, "SPXW")), trade(2, 1, "7", instrument=put(5990, "SPX"))]
    together = [
        trade(1, -1, "9", instrument=put(6000, "SPXW")),
        trade(2, 1, "7", instrument=put(5990, "SPXW")),
    ]
    assert numbers(together).risks["SPX"].exposure == 1000
    assert numbers(apart).risks["SPX"].exposure == 600_000 + 700
    order = Order(
        legs=(
            OrderLeg(instrument=put(6000, "SPXW"), side="SELL"),
            OrderLeg(instrument=put(5990, "SPX"), side="BUY"),
        )
    )
    assert order_risk(order, [Decimal(9), Decimal(7)]).loss is None


def test_margin_is_by_kind_at_the_account_s_rates() -> None:
    """R2.1, R2.11."""
    assert numbers([shares(1, 100)]).risks["SPY"].margin == 5_000
    own = numbers([shares(1, -100)], risk={"margin_rates": {"equity": "30"}})
    assert own.risks["SPY"].margin == 3_000


def test_units_and_shares_of_all_exposure() -> None:
    """R2.2."""
    fills = [shares(1, 30), shares(2, -20, "QQQ")]
    assert read(numbers(fills, **on("max_position_units")), "max_position_units") == {"SPY": 30, "QQQ": 20}
    f = numbers(fills, **on("max_single_asset_exposure"))
    assert read(f, "max_single_asset_exposure") == {"SPY": 75, "QQQ": 25}
    assert read(numbers(fills, **on("max_exposure")), "max_exposure") == {"account": 4}


def test_a_position_s_age_runs_from_when_it_was_opened() -> None:
    """R2.3: one hour in the general profile, inclusive of nothing: above it."""
    f = numbers([shares(-3540, 10), shares(-60, 10)], profile="general")
    assert read(f, "max_position_age") == {"SPY": 1}
    [age] = [r for r in readings(f, {}) if r.limit.name == "max_position_age"]
    assert age.level is Level.WARN
    [age] = [r for r in readings(replace(f, at=at(61)), {}) if r.limit.name == "max_position_age"]
    assert age.level is Level.BREACH


def test_an_excessive_loss_is_of_what_the_position_cost() -> None:
    """R2.12: 10 %"""
    f = numbers([shares(11, 10), shares(12, -20, "QQQ")], {"SPY": "90", "QQQ": "51"}, profile="general")
    assert read(f, "max_position_loss") == {"SPY": 10, "QQQ": 2}


def spread(*legs: tuple[int, str, str, str], right: str = "P") -> tuple[list[Fill], dict[str, str]]:
    """Return the fills of legs (units, strike, price paid, mark now) that are one trade, and the marks."""
    contracts = [option(strike, right) for _, strike, _, _ in legs]
    fills = [
        trade(n, units, price, instrument=contract, group_id="G-1")
        for n, ((units, _, price, _), contract) in enumerate(zip(legs, contracts, strict=True))
    ]
    marks = {c.symbol: mark for c, (*_, mark) in zip(contracts, legs, strict=True)}
    return fills, marks


@pytest.mark.parametrize(
    ("legs", "right", "percent"),
    [
        # a put credit spread 10 wide for 2.00: it can lose 8.00 a unit; at 2.80 it has lost 0.80
        ([(-2, "6000", "5", "6.8"), (2, "5990", "3", "4")], "P", 10),
        # its short leg has lost 3.00 a unit, the long one made 3.00: nothing is lost
        ([(-2, "6000", "5", "8"), (2, "5990", "3", "6")], "P", 0),
        # a debit spread for 4.00 that is worth 3.50
        ([(1, "6000", "9", "8"), (-1, "5990", "5", "4.5")], "P", "12.5"),
        # a bought put for 5.00 that is worth 4.50
        ([(3, "6000", "5", "4.5")], "P", 10),
        # a naked put of 100 for 4.00 can lose 96.00; at 13.60 it has lost 9.60
        ([(-1, "100", "4", "13.6")], "P", 10),
        # a naked call counts with its strike, which its credit does not lessen
        ([(-1, "100", "4", "14")], "C", 10),
        # and with what was paid: 0.50 for a ratio whose second call is naked: 11,000.50, of which 1,100.05 is lost
        ([(1, "100", "2", "1"), (-2, "110", "0.9975", "5.99775")], "C", 10),
    ],
)
def test_the_excessive_loss_of_options_is_of_their_trade_and_what_it_can_lose(
    legs: list[tuple[int, str, str, str]], right: str, percent: int | str
) -> None:
    """R2.12: 10 %, of the spread as a whole; no leg is measured alone."""
    fills, marks = spread(*legs, right=right)
    f = numbers(fills, marks, profile="general")
    [(name, lost)] = read(f, "max_position_loss").items()
    assert name.startswith("SPXW trade ")
    assert lost == Decimal(percent)


def test_two_spreads_on_one_underlying_are_measured_each_by_itself() -> None:
    """R2.12: what one makes hides nothing of the other."""
    good, bad = (option(strike) for strike in (5900, 6000))
    fills = [
        trade(1, 1, "5", instrument=good, group_id="G-1"),
        trade(2, 1, "5", instrument=bad, group_id="G-2"),
    ]
    f = numbers(fills, {good.symbol: "9", bad.symbol: "4"}, profile="general")
    assert sorted(read(f, "max_position_loss").values()) == [0, 20]  # type: ignore[type-var]


def test_shares_that_were_bought_before_hide_no_trade_of_options() -> None:
    """R2.12: each is measured in its own way, in whatever order they came."""
    fills, marks = spread((1, "6000", "5", "4.5"))
    f = numbers([shares(-5, 10), *fills], marks, profile="general")
    assert sorted(read(f, "max_position_loss").values()) == [0, 10]  # type: ignore[type-var]


def test_a_loss_of_the_whole_is_told_of_the_account() -> None:
    """R2.12: by its name, not of nothing."""
    f = numbers([shares(1, 10)], profile="general")
    whole = (
        "max_drawdown",
        "max_daily_loss",
        "max_weekly_loss",
        "max_monthly_loss",
        "max_consecutive_losses",
    )
    assert {r.limit.name: r.object for r in readings(f, {}) if r.limit.name in whole} == dict.fromkeys(
        whole, "account"
    )


def test_another_spread_that_settles_holds_no_breach_back() -> None:
    """R2.12: only a leg of the same underlying that was executed just now does."""
    fills, marks = spread((1, "6000", "5", "4"))
    f = numbers(fills, marks, profile="general")
    for settling, level in ((frozenset({"QQQ"}), Level.BREACH), (frozenset({"SPXW"}), Level.OK)):
        [reading] = [
            r for r in readings(replace(f, settling=settling), {}) if r.limit.name == "max_position_loss"
        ]
        assert reading.level is level


def test_a_spread_without_a_price_has_an_unknown_loss_and_a_breach_names_its_trade() -> None:
    """R2.12: UNKNOWN is never 0; a WARNING, as the limit asks for no stop."""
    fills, marks = spread((-2, "6000", "5", "7"), (2, "5990", "3", "4"))
    unknown = numbers(fills, dict(list(marks.items())[:1]), profile="general")
    assert list(read(unknown, "max_position_loss").values()) == [None]
    f = numbers(fills, marks, profile="general")
    [reading] = [r for r in readings(f, {}) if r.limit.name == "max_position_loss"]
    assert reading.level is Level.BREACH
    after = watch([reading], {}, LATER)
    [alert] = limit_alerts("demo", [reading], {}, after, "b-1", LATER)
    assert re.fullmatch(r"Loss of SPXW trade [0-9a-f]{8} is 12\.5%, limit 10%: breached", alert.summary)


PAIRS = {("QQQ", "SPY"): Decimal("0.9"), ("IWM", "SPY"): Decimal("0.5"), ("IWM", "QQQ"): Decimal("-0.8")}


def test_correlation_is_of_what_is_held_and_a_short_against_a_long_is_a_hedge() -> None:
    """R2.2, R2.3: UNKNOWN until it is known, never 0."""
    market = Market(correlations=PAIRS)
    both = [shares(1, 10), shares(2, 10, "QQQ")]
    assert read(numbers(both, None, market, profile="general"), "max_correlation") == {
        "QQQ/SPY": Decimal("0.9")
    }
    hedged = numbers([shares(1, 10), shares(2, -10, "QQQ")], None, market, profile="general")
    assert read(hedged, "max_correlation") == {"QQQ/SPY": 0}
    assert read(numbers(both, profile="general"), "max_correlation") == {"QQQ/SPY": None}
    assert read(numbers([shares(1, 10)], profile="general"), "max_correlation") == {}
    three = numbers([*both, shares(3, -10, "IWM")], None, market, profile="general")
    assert read(three, "max_correlation") == {
        "IWM/QQQ": Decimal("0.8"),
        "IWM/SPY": 0,
        "QQQ/SPY": Decimal("0.9"),
    }
    assert read(three, "max_correlated_positions") == {"IWM": 2, "QQQ": 3, "SPY": 2}


def test_a_side_that_cannot_be_said_counts_as_together() -> None:
    """R2.3: long in one strategy and short in another, or options: then the size of the correlation counts."""
    market = Market(correlations=PAIRS)
    both_ways = [shares(1, 10), shares(2, -4, strategy="hedges"), shares(3, -10, "QQQ")]
    assert read(numbers(both_ways, None, market, profile="general"), "max_correlation") == {
        "QQQ/SPY": Decimal("0.9")
    }
    call = option(100, "C", root="SPY")
    options = [trade(1, 1, 3, instrument=call), shares(3, -10, "QQQ")]
    found = numbers(options, {call.symbol: "3"}, market, profile="general")
    assert read(found, "max_correlation") == {"QQQ/SPY": Decimal("0.9")}


def test_an_account_settles_while_any_of_its_spreads_does() -> None:
    """An option leg was executed just now; a share never settles with others."""
    f = replace(numbers([shares(1, 10)]), settling=frozenset())
    assert (is_settling(f), is_settling(f, "SPY")) == (False, False)
    f = replace(f, settling=frozenset({"SPXW"}))
    assert (is_settling(f), is_settling(f, "SPXW"), is_settling(f, "SPY")) == (True, True, False)


def test_volatility_is_what_the_exposure_moves_on_an_ordinary_day() -> None:
    """R2.2: 20,000 at 31.7490 % a year is 400 a day: 0.4 % of 100,000."""
    market = Market(volatilities={"SPY": Decimal("0.3174902")})
    f = numbers([shares(1, 200)], None, market, profile="general")
    [moved] = read(f, "max_position_volatility").values()
    assert moved == pytest.approx(Decimal("0.4"), abs=Decimal("0.000001"))
    assert read(numbers([shares(1, 200)], profile="general"), "max_position_volatility") == {"SPY": None}


def test_liquidity_is_the_quoted_spread() -> None:
    """R2.2."""
    f = numbers([shares(1, 1)], None, Market(spreads={"SPY": Decimal(6)}), profile="general")
    assert read(f, "max_quote_spread") == {"SPY": 6}
    assert read(numbers([shares(1, 1)], profile="general"), "max_quote_spread") == {"SPY": None}


# --- the registry ---


def test_the_conservative_profile_is_nowhere_looser_than_the_general_one() -> None:
    """R2.11: safe defaults."""
    for limit in LIMITS.values():
        general, conservative = limit.defaults["general"], limit.defaults["conservative"]
        assert general is None or (conservative is not None and conservative <= general), limit.name


def test_the_defaults_are_those_of_the_requirements() -> None:
    """R2.1, R2.3, R2.4, R2.5."""
    zero = {name: limit.defaults["zero_dte"] for name, limit in LIMITS.items()}
    general = {name: limit.defaults["general"] for name, limit in LIMITS.items()}
    assert (zero["max_margin_use"], zero["max_symbol_exposure"], zero["max_daily_loss"]) == (50, 20, 3)
    assert (zero["max_portfolio_heat"], zero["max_concurrent_positions"]) == (50, 5)
    assert (general["max_portfolio_heat"], general["max_position_value"]) == (25, 10)
    assert (general["max_strategy_drawdown"], general["max_leverage"]) == (15, 5)
    assert (general["max_correlation"], general["max_position_age"]) == (Decimal("0.7"), 1)
    assert (general["max_weekly_loss"], general["max_monthly_loss"]) == (10, 20)
    assert (general["max_consecutive_losses"], general["max_position_loss"]) == (3, 10)
    pausing = {name for name, limit in LIMITS.items() if limit.action is Action.REDUCE_ONLY}
    assert {"max_daily_loss", "max_weekly_loss", "max_monthly_loss", "max_consecutive_losses"} <= pausing


def test_only_a_limit_on_strategies_pauses_one() -> None:
    for limit in LIMITS.values():
        assert (limit.action is Action.PAUSE_STRATEGY) <= (limit.scope is Scope.STRATEGY)
    [fault] = check_overrides(account(limits={"max_daily_loss": {"action": "pause_strategy"}}))
    assert "max_daily_loss.action" in fault


@pytest.mark.parametrize(
    ("name", "number", "good"),
    [
        ("max_correlation", "1", True),
        ("max_correlation", "1.1", False),
        ("max_leverage", "100", True),
        ("max_leverage", "101", False),
        ("max_daily_loss_money", "50000", True),
        ("max_position_units", "100000", True),
    ],
)
def test_what_a_limit_may_be_depends_on_its_unit(name: str, number: str, good: bool) -> None:
    """R2.11: 50,000 is a sum of money and no percentage."""
    assert (check_overrides(account(limits={name: {"limit": number}})) == []) is good


def test_a_limit_in_money_is_told_in_the_account_s_currency() -> None:
    """R2.4."""
    f = numbers([shares(1, 100)], {"SPY": "95"}, currency="USD", **on("max_daily_loss_money", "400"))
    [reading] = [r for r in readings(f, {}) if r.limit.name == "max_daily_loss_money"]
    assert (reading.current, reading.unit, reading.level) == (500, "USD", Level.BREACH)


def test_an_account_may_choose_another_action() -> None:
    """R2.11."""
    f = numbers([shares(1, 100)], limits={"max_position_value": {"action": "halt"}})
    chosen = {r.limit.name: r.action for r in readings(f, {})}
    assert chosen["max_position_value"] is Action.HALT
    assert chosen["max_daily_loss"] is Action.REDUCE_ONLY


SIZES = ("max_position_value", "max_symbol_exposure", "max_leverage", "max_margin_use", "max_portfolio_heat")


@given(st.integers(1, 500), st.integers(1, 500), st.booleans())
def test_more_of_a_position_is_more_of_every_size(fewer: int, more: int, short: bool) -> None:
    """R2.2: limits are monotone in what is held."""
    low, high = sorted((fewer, more))
    sign = -1 if short else 1

    def found(units: int) -> list[Reading]:
        return [r for r in readings(numbers([shares(1, sign * units)]), {}) if r.limit.name in SIZES]

    for less, greater in zip(found(low), found(high), strict=True):
        assert less.current is not None
        assert greater.current is not None
        assert less.current <= greater.current
        assert less.level.rank <= greater.level.rank


def test_an_unknown_exposure_is_unknown_even_while_legs_settle() -> None:
    """I7: settling holds a worse level back, and never makes UNKNOWN ok."""
    fills = [trade(60, -1, "5", instrument=option(6100, "C"))]
    f = numbers(fills, {fills[0].instrument.symbol: "5"})
    [margin] = [r for r in readings(f, {}) if r.limit.name == "max_margin_use"]
    assert margin.level is Level.UNKNOWN
