"""Net Greeks: what the account's value does when something moves, by a second valuation, and UNKNOWN where it must be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from statistics import NormalDist
from typing import Any

import pytest
from unit.risk.oracles import tree_price

from stopline.model.instrument import Instrument
from stopline.model.prices import NAN, PriceBatch, Quote
from stopline.risk.columns import columns
from stopline.risk.net_greeks import terms
from stopline.risk.options import black_scholes
from stopline.rules.limits.figures import Valued
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.prices.greeks import Watched, dividend_yield, expiry_of, net_greeks, option_terms

from ..make import NOON, account, equity, option, trade
from .world import World

EXPIRY = date(2026, 12, 18)
YEARS = (datetime(2026, 12, 18, 21, tzinfo=UTC) - NOON).total_seconds() / 86400 / 365
PUT, LOWER = option(6000, expiry=EXPIRY), option(5900, expiry=EXPIRY)
N = NormalDist().cdf


def put(spot: float, strike: float, years: float, volatility: float, rate: float = 0.0) -> float:
    """The textbook's formula, written again."""
    d1 = (math.log(spot / strike) + (rate + volatility**2 / 2) * years) / (volatility * math.sqrt(years))
    d2 = d1 - volatility * math.sqrt(years)
    return strike * math.exp(-rate * years) * N(-d2) - spot * N(-d1)


def watched(quotes: Mapping[str, Quote], fills: Any, world: World, **settings: Any) -> Any:
    """Return the account's Greeks at quotes."""
    owner = account(measures=settings)
    world.instance()[0].recorder.record(list(fills), "m-1")
    book = world.book()
    assert book is not None
    table = columns({"demo": book})
    positions = []
    for position in table.positions:
        quote = quotes.get(position.instrument.symbol)
        mark = None if quote is None else Decimal(str(quote.mark))
        positions.append(Valued(position, mark, None, None))
    seen = Watched(owner, positions, quotes.get, lambda _: Decimal(1), {"SPXW": 1.1, "SPY": 1.0}, NOON)
    return net_greeks(table, option_terms(table, {"demo": owner}), [seen], NOON)["demo"].greeks


def spread(spot: float, volatility: float = 0.2, years: float = YEARS) -> float:
    return -300 * put(spot, 6000, years, volatility) + 300 * put(spot, 5900, years, volatility)


FILLS = [
    trade(-3, -3, "90", instrument=PUT, strategy="credit"),
    trade(-2, 3, "60", instrument=LOWER, strategy="credit"),
    trade(-1, 200, "600"),
]
QUOTES = {
    PUT.symbol: Quote(put(6050, 6000, YEARS, 0.2)),
    LOWER.symbol: Quote(put(6050, 5900, YEARS, 0.2)),
    "SPXW": Quote(6050.0),
    "SPY": Quote(600.0),
}


def test_net_greeks_are_the_change_of_the_books_value_when_something_moves(world: World) -> None:
    """R2.10, R1.1: a second valuation of the whole spread, moved a little, says the same. Volatility is solved."""
    greeks = watched(QUOTES, FILLS, world)
    found = greeks.underlyings["SPXW"]
    h = 0.5
    slope = (spread(6050 + h) - spread(6050 - h)) / (2 * h)
    bend = (spread(6050 + h) - 2 * spread(6050) + spread(6050 - h)) / h**2
    assert float(found.units) == pytest.approx(slope, rel=1e-5)
    assert float(found.delta) == pytest.approx(slope * 6050, rel=1e-5)
    assert float(found.gamma) == pytest.approx(bend * 6050**2 / 100, rel=1e-3)
    assert float(found.theta) == pytest.approx(
        (spread(6050, years=YEARS - 1e-5) - spread(6050)) / (1e-5 * 365), rel=1e-3
    )
    assert float(found.vega) == pytest.approx((spread(6050, 0.2001) - spread(6050, 0.1999)) / 0.02, rel=1e-3)
    assert float(greeks.volatilities[f"credit:{PUT.symbol}"]) == pytest.approx(0.2, abs=1e-6)


def test_parts_add_up_and_units_of_several_underlyings_do_not(world: World) -> None:
    """R2.10: per leg, underlying, strategy and account."""
    greeks = watched(QUOTES, FILLS, world)
    for name in ("delta", "gamma", "theta", "vega", "beta_delta"):
        whole = getattr(greeks.total, name)
        for part in (greeks.underlyings, greeks.strategies, greeks.positions):
            assert float(sum(getattr(g, name) for g in part.values())) == pytest.approx(
                float(whole), abs=1e-3
            )
    assert greeks.total.units is None
    assert greeks.strategies.keys() == {"credit", "default"}
    assert greeks.underlyings["SPY"].units == 200
    assert greeks.underlyings["SPY"].delta == 120_000
    assert greeks.underlyings["SPY"].vega == 0
    assert float(greeks.underlyings["SPXW"].beta_delta) == pytest.approx(
        1.1 * float(greeks.underlyings["SPXW"].delta), abs=1e-3
    )


def test_the_feeds_volatility_is_taken_before_the_solved_one(world: World) -> None:
    quotes = QUOTES | {PUT.symbol: Quote(90.0, iv=0.31)}
    assert watched(quotes, FILLS, world).volatilities[f"credit:{PUT.symbol}"] == Decimal("0.31")


@pytest.mark.parametrize("missing", [PUT.symbol, "SPXW"])
def test_what_hangs_on_a_missing_price_is_unknown_and_the_rest_is_not(world: World, missing: str) -> None:
    """I7: never zero."""
    greeks = watched({s: q for s, q in QUOTES.items() if s != missing}, FILLS, world)
    assert greeks.total.delta is greeks.total.vega is greeks.strategies["credit"].theta is None
    assert greeks.underlyings["SPY"].delta == 120_000
    assert greeks.positions[f"credit:{PUT.symbol}"].gamma is None
    assert (greeks.positions[f"credit:{LOWER.symbol}"].delta is None) == (missing == "SPXW")


@pytest.mark.parametrize(
    ("quote", "delta"),
    [
        (Quote(100.0), Decimal(-100 * 5900)),  # nothing but its intrinsic value
        (Quote(NAN, bid=95.0, ask=101.0), Decimal(-100 * 5900)),  # the quote allows the intrinsic value
        (Quote(NAN, bid=90.0, ask=95.0), None),  # it does not: the price or the spot is wrong
        (Quote(0.0), None),
        (Quote(7000.0), None),  # more than a put can be worth
    ],
)
def test_a_price_without_time_value_has_all_or_nothing(
    world: World, quote: Quote, delta: Decimal | None
) -> None:
    quotes = {PUT.symbol: quote, "SPXW": Quote(5900.0)}
    greeks = watched(quotes, [trade(-3, 1, "90", instrument=PUT)], world)
    assert greeks.total.delta == delta
    assert greeks.total.gamma == (None if delta is None else 0)


def test_share_options_are_american_where_early_exercise_pays(world: World) -> None:
    """R2.10: delta, theta and vega of a fine binomial tree at the volatility that gives the mark; indexes stay European."""
    contract = option(610, expiry=EXPIRY, root="SPY")
    fills = [trade(-2, 1, "9", instrument=contract), trade(-1, 1, "9", instrument=PUT)]
    rate, dividend = 0.05, 0.01
    mark = tree_price(False, 600, 610, YEARS, 0.2, rate, dividend, 1000)
    quotes = {
        contract.symbol: Quote(mark),
        "SPY": Quote(600.0),
        "SPXW": Quote(6000.0),
        PUT.symbol: Quote(90.0),
    }
    greeks = watched(quotes, fills, world, rate=str(rate), dividend_yields={"SPY": str(dividend)})
    key = f"default:{contract.symbol}"
    assert float(greeks.volatilities[key]) == pytest.approx(0.2, abs=5e-4)

    def tree(spot: float = 600, years: float = YEARS, volatility: float = 0.2) -> float:
        return tree_price(False, spot, 610, years, volatility, rate, dividend, 1000)

    found = greeks.positions[key]
    assert float(found.units) == pytest.approx((tree(603) - tree(597)) / 6 * 100, rel=5e-3)
    assert float(found.vega) == pytest.approx(
        (tree(volatility=0.21) - tree(volatility=0.19)) / 2 * 100, rel=1e-2
    )
    assert float(found.theta) == pytest.approx((tree(years=YEARS - 1 / 365) - tree()) * 100, rel=3e-2)
    european = black_scholes(
        False, 6000.0, 6000.0, YEARS, float(greeks.volatilities[f"default:{PUT.symbol}"]), rate
    )
    assert float(greeks.positions[f"default:{PUT.symbol}"].units) == pytest.approx(
        float(european.delta) * 100, rel=1e-6
    )


def test_a_put_at_its_intrinsic_value_is_as_good_as_the_shares(world: World) -> None:
    """R2.10: a European formula would give it a volatility, and a delta between."""
    contract = option(700, expiry=EXPIRY, root="SPY")
    quotes = {contract.symbol: Quote(100.0), "SPY": Quote(600.0)}
    greeks = watched(quotes, [trade(-1, 2, "100", instrument=contract)], world, rate="0.05")
    assert (greeks.total.delta, greeks.total.gamma) == (-200 * 600, 0)


def test_an_option_that_has_expired_is_all_or_nothing_and_of_a_daily_market_at_eight() -> None:
    spot_market = account(calendar="24/7")
    coin = PUT.model_copy(update={"symbol": "BTC-18DEC26-60000-P", "underlying": "BTC"})
    assert expiry_of(spot_market, coin) == datetime(2026, 12, 18, 8, tzinfo=UTC)
    assert expiry_of(spot_market, PUT) == datetime(
        2026, 12, 18, 21, tzinfo=UTC
    )  # an index has its exchange's hours
    monthly = PUT.model_copy(update={"symbol": "SPX261218P06000000", "underlying": "SPX"})
    assert expiry_of(account(), monthly) == datetime(
        2026, 12, 18, 14, 30, tzinfo=UTC
    )  # settled by the opening
    early = option(6000, expiry=date(2026, 11, 27))
    assert expiry_of(account(), early) == datetime(2026, 11, 27, 18, tzinfo=UTC)  # the day after Thanksgiving


def test_an_inverse_contract_has_the_delta_and_gamma_of_its_worth(world: World) -> None:
    contract = Instrument.model_validate(
        {"symbol": "BTC-PERP", "kind": "future", "currency": "BTC", "multiplier": "100", "inverse": True}
    )
    fills = [trade(-1, 5, "50000", instrument=contract)]
    greeks = watched({"BTC-PERP": Quote(50_000.0)}, fills, world)

    def worth(p: float) -> float:
        return -500 / p

    slope = (worth(50_001) - worth(49_999)) / 2
    bend = (worth(50_100) - 2 * worth(50_000) + worth(49_900)) / 100**2
    assert float(greeks.total.units) == pytest.approx(slope, abs=1e-4)
    assert float(greeks.total.delta) == pytest.approx(slope * 50_000, rel=1e-2)
    assert float(greeks.total.gamma) == pytest.approx(bend * 50_000**2 / 100, rel=1e-2)


def test_an_option_of_an_account_that_is_not_known_has_no_expiry(world: World) -> None:
    world.instance()[0].recorder.record([FILLS[0]], "m-1")
    book = world.book()
    assert book is not None
    assert math.isnan(terms(columns({"demo": book}), lambda _o, _c: None).expires[0])


def test_a_price_batch_of_the_underlying_alone_works_out_the_greeks_of_its_options(world: World) -> None:
    """R1.6, R2.10: on every batch, into the risk document."""
    world.instance()[0].recorder.record([FILLS[0]], "m-1")
    app, _ = world.instance()
    app.marker.mark(PriceBatch("feed", NOON, {PUT.symbol: Quote(90.0, iv=0.2), "SPXW": Quote(6050.0)}, ()))
    first = risk(world).shown["greeks"]["underlyings"]["SPXW"]
    world.wait(2)
    app.marker.mark(PriceBatch("feed", world.clock.now(), {"SPXW": Quote(5950.0)}, ()))
    shown = risk(world).shown
    second = shown["greeks"]["underlyings"]["SPXW"]
    assert (
        Decimal(second["units"]) > Decimal(first["units"]) > 0
    )  # short puts are long, the more the lower it is
    assert shown["positions"][f"credit:{PUT.symbol}"]["greeks"]["iv"] == "0.2"


def test_an_account_without_positions_has_greeks_of_nothing(world: World) -> None:
    app, _ = world.instance()
    app.recorder.record([trade(1, 5, 100), trade(2, -5, 100, executed_at=NOON)], "m-1")
    app.desk.refresh()
    app.marker.evaluate({"demo"}, world.clock.now(), "sweep", force=True)
    assert risk(world).shown["greeks"]["account"]["delta"] == "0"


def risk(world: World) -> RiskState:
    state = world.instance()[0].risk_states.read("demo")
    assert state is not None
    return state


def test_shares_are_counted_in_the_accounts_currency(world: World) -> None:
    """R1.5: deltas of another currency are converted, and unknown without a rate."""
    world.open_account(account("euro", currency="EUR"))
    app, _ = world.instance()
    app.recorder.record([trade(-1, 10, 100, account="euro", instrument=equity("SPY"))], "m-1")
    app.marker.mark(PriceBatch("feed", NOON, {"SPY": Quote(100.0)}, ()))
    state = app.risk_states.read("euro")
    assert state is not None
    assert state.shown["greeks"]["account"]["delta"] is None
    world.wait(2)
    app.marker.mark(PriceBatch("feed", world.clock.now(), {"SPY": Quote(100.0), "USDEUR": Quote(0.9)}, ()))
    state = app.risk_states.read("euro")
    assert state is not None
    assert state.shown["greeks"]["account"]["delta"] == "900"


@pytest.mark.parametrize("symbol", ["ESZ6", "ESZ26", "GCZ2026", "ESZ6.CME", "6EH7", "MCLF27", "SR3Z9"])
def test_a_contract_code_of_a_year_that_an_option_may_end_in_is_a_future(symbol: str) -> None:
    """R2.10: without a word in the settings."""
    contract = option(100, "C", date(2026, 12, 1)).model_copy(update={"underlying": symbol})
    assert dividend_yield(account(measures={"rate": "0.05"}), contract, ()) == 0.05
    own = account(measures={"rate": "0.05", "dividend_yields": {symbol: "0.01"}})
    assert dividend_yield(own, contract, ()) == 0.01, "settings win"


@pytest.mark.parametrize("year", [2025, 2030, 2035, 2040, 2050])
@pytest.mark.parametrize(
    "symbol", ["DAX40", "STOXX50", "HK50", "EU50", "AEX25", "IBEX35", "SPX", "UK100", "SX5E"]
)
def test_an_index_is_no_future_in_any_year(symbol: str, year: int) -> None:
    contract = option(100, "C", date(year, 12, 1)).model_copy(update={"underlying": symbol})
    assert dividend_yield(account(measures={"rate": "0.05"}), contract, ()) == 0
    named = account(measures={"rate": "0.05", "futures": [symbol]})
    assert dividend_yield(named, contract, ()) == 0.05, "settings win"


@pytest.mark.parametrize("symbol", ["ABZ25", "ABZ5", "ABZ40", "ABZ2019"])
def test_a_code_of_a_year_that_is_over_or_far_off_is_no_future(symbol: str) -> None:
    contract = option(100, "C", date(2026, 12, 1)).model_copy(update={"underlying": symbol})
    assert dividend_yield(account(measures={"rate": "0.05"}), contract, ()) == 0


@pytest.mark.parametrize("known_by", ["its symbol", "a position", "the settings", "nothing"])
def test_an_option_on_a_future_is_priced_off_its_forward(world: World, known_by: str) -> None:
    """R2.10: the oracle is a tree whose asset yields the rate, as a future does: Black-76 with early exercise."""
    underlying = "ESZ6" if known_by == "its symbol" else "CRUDE"
    contract = option(6000, "C", EXPIRY, root="E3A").model_copy(update={"underlying": underlying})
    future = Instrument.model_validate(
        {"symbol": underlying, "kind": "future", "currency": "USD", "multiplier": "50"}
    )
    fills = [trade(-3, 1, "90", instrument=contract)]
    if known_by == "a position":
        fills.append(trade(-2, 1, "6000", instrument=future))
    mark = tree_price(True, 6000, 6000, YEARS, 0.2, 0.08, 0.08, 1000)
    quotes = {contract.symbol: Quote(mark), underlying: Quote(6000.0)}
    more = {"futures": [underlying]} if known_by == "the settings" else {}
    found = watched(quotes, fills, world, rate="0.08", **more).volatilities[f"default:{contract.symbol}"]
    assert (abs(float(found) - 0.2) < 5e-4) == (known_by != "nothing"), "an unknown asset has a yield of 0"
    named = watched(quotes, fills, world, rate="0.08", dividend_yields={underlying: "0"}, **more)
    assert float(named.volatilities[f"default:{contract.symbol}"]) < 0.19, "what is named goes before"


def test_the_health_of_a_spread_counts_what_a_move_against_it_would_cost() -> None:
    """R4.4: by the textbook's formula and second differences of it; stop 100 %: one R is 27.5 points of three spreads."""
    one = World()
    one.open_account(account(exits={"trades": {"stop_loss": "100%"}}))
    app, _ = one.instance()
    opened = [
        trade(-30, -3, "90", instrument=PUT, strategy="credit", group_id="G"),
        trade(-29, 3, "62.5", instrument=LOWER, strategy="credit", group_id="G"),
    ]
    app.recorder.record(opened, "m-1")
    now = one.wait(10)
    years = (datetime(2026, 12, 18, 21, tzinfo=UTC) - now).total_seconds() / 86400 / 365
    prices = {leg.symbol: put(6050, strike, years, 0.2) for leg, strike in ((PUT, 6000), (LOWER, 5900))}
    quotes = {"SPXW": Quote(6050.0)} | {s: Quote(p, p - 0.01, p + 0.01) for s, p in prices.items()}
    app.marker.mark(PriceBatch("feed", now, quotes, ()))
    step, move = 0.5, 0.2 / math.sqrt(365)  # a day of 20 % a year
    value = [spread(6050 + n * step, years=years) for n in (-1, 0, 1)]
    delta, curve = (value[2] - value[0]) / (2 * step), (value[0] - 2 * value[1] + value[2]) / step**2
    cost = abs(delta) * 6050 * move - curve * (6050 * move) ** 2 / 2
    short = abs(put(6050.5, 6000, years, 0.2) - put(6049.5, 6000, years, 0.2))
    part = min(1 - 2 * short, 1 - cost / (27.5 * 300))
    price = prices[PUT.symbol] - prices[LOWER.symbol]
    stop = min((55 - price) / 27.5, 1)
    left = (years * 365 * 86400) / (years * 365 * 86400 + 40)
    liquid = 1 - 0.04 / (price * 0.1)
    [shown] = risk_shown(app)
    assert 0 < 1 - cost / (27.5 * 300) < 1
    assert shown["health_unknown"] == []
    assert abs(shown["health"] - (40 * stop + 20 * left + 15 * part + 15 * liquid + 10)) <= 0.6


def risk_shown(app: Any) -> list[dict[str, Any]]:
    return list(app.risk_states.read("demo").shown["exits"]["trades"].values())
