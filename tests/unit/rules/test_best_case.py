"""A loss that is sure stops trading, whatever a missing price may be; where nothing bounds it, it stays UNKNOWN."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.settings.trading import TradingSettings
from stopline.rules.limits.best_case import best_unrealised, known_futures
from stopline.rules.limits.figures import AtBest, Figures, Rate, Valued, figures
from stopline.rules.limits.registry import Level, Reading, readings
from stopline.rules.limits.track import NEW, Track
from stopline.rules.trading.breaker_facts import money_facts, sure_facts
from stopline.rules.trading.breakers import MONEY_BREAKERS, Move, Tripped, advance

from ..make import account, at, equity, fill, option, trade

STRIKES = (90, 95, 100, 105, 110)


def held(contract: Instrument, units: int, cost: int, mark: Decimal | None) -> Valued:
    return valued(Position(contract, "core", units=Decimal(units), spent=Decimal(cost)), mark)


def valued(position: Position, mark: Decimal | None) -> Valued:
    if mark is None:
        return Valued(position, None, None, None)
    value = position.quantity * position.instrument.worth(mark)
    return Valued(position, mark, value, value - position.cost)


def one(_currency: str) -> Decimal:
    return Decimal(1)


def best(*positions: tuple[Instrument, int, int, str | None], rate: Rate = one) -> Decimal | None:
    marks = ((c, units, cost, None if mark is None else Decimal(mark)) for c, units, cost, mark in positions)
    return best_unrealised([held(*p) for p in marks], rate)


ends = st.lists(st.tuples(st.integers(0, 250), st.integers(1, 9)), min_size=1, max_size=4)
legs = st.lists(
    st.tuples(
        st.sampled_from(STRIKES), st.sampled_from("CP"), st.integers(-4, 4).filter(bool), st.booleans()
    ),
    max_size=6,
    unique_by=lambda leg: leg[:2],
)
shares = st.tuples(st.integers(-9, 9), st.integers(0, 300), st.booleans())


@given(ends, ends, legs, shares, st.integers(-900, 900))
@settings(max_examples=100, deadline=None)
@example([(0, 1)], [(0, 1)], [(95, "C", 1, False), (105, "C", -1, True)], (0, 1, True), 0)
@example([(250, 1)], [(250, 1)], [(95, "C", 1, False), (105, "C", -1, False)], (-1, 0, False), 0)
def test_no_price_of_what_is_missing_makes_the_profit_larger_than_the_bound(
    of_calls: list[tuple[int, int]],
    of_puts: list[tuple[int, int]],
    options: list[tuple[int, str, int, bool]],
    share: tuple[int, int, bool],
    cost: int,
) -> None:
    """R5.2, I7: at any prices that nobody can make money of without risk. Those of one side are means of payoffs over some
    distribution of the underlying (of calls and puts different ones, as American options may have), which is drawn here.
    """
    weights = {"C": of_calls, "P": of_puts}

    def price(strike: int, right: str) -> Decimal:
        drawn = weights[right]
        paid = sum(w * max(end - strike if right == "C" else strike - end, 0) for end, w in drawn)
        return Decimal(paid) / sum(w for _, w in drawn)

    units, spot, share_seen = share
    book = [(option(k, r), q, cost, price(k, r), seen) for k, r, q, seen in options]
    book += [(equity(), units, cost, Decimal(spot), share_seen)] if units else []
    true = sum(q * c.worth(mark) - paid for c, q, paid, mark, _ in book)
    bound = best_unrealised([held(c, q, p, mark if seen else None) for c, q, p, mark, seen in book], one)
    if all(seen for *_, seen in book):
        assert bound == pytest.approx(true)
    assert bound is None or bound >= true - Decimal("1e-9")


def test_every_short_side_and_every_spread_has_a_bound_and_a_long_call_or_share_has_none() -> None:
    """By hand: what was received is all that a short one gains; a spread gains its width less what it cost."""
    call, far, put, low = option(100, "C"), option(105, "C"), option(100), option(95)
    assert best((call, -1, -300, None)) == 300
    assert best((equity(), -10, -1000, None)) == 1000
    assert best((put, 1, 200, None)) == 100 * 100 - 200
    assert best((call, 1, 300, None), (far, -1, -100, None)) == 500 - 200
    assert best((call, -1, -300, None), (far, 1, 100, None)) == 200
    assert best((put, -2, -600, None), (low, 2, 200, None)) == 400
    assert best((call, 1, 300, None)) is best((equity(), 10, 1000, None)) is None
    assert best((call, 2, 600, None), (far, -1, -100, None)) is None, "one call is alone"
    assert best((call, -1, -300, None), (put, 1, 200, "1"), (equity(), 10, 1000, "70")) == 300 - 100 - 300


def test_a_leg_with_a_price_makes_the_bound_tighter_where_it_can() -> None:
    """The short leg stands at a loss of 500; the long one, which is missing, gives back at most that and the width."""
    short, wing = option(100, "C"), option(105, "C")
    assert best((short, -1, -300, "8"), (wing, 1, 100, None)) == 200, "no more than the payoff"
    assert best((short, -1, -300, None), (wing, 1, 100, "2")) == 200, (
        "and not 400: the short one is worth more"
    )
    assert best((short, 1, 300, "8"), (wing, -1, -100, None)) == 300, (
        "and not 600: the short one is worth 3 at least"
    )


@pytest.mark.parametrize("units", [3, -3])
def test_a_future_has_no_bound_and_an_inverse_contract_its_debt(units: int) -> None:
    """A future's price may be below 0; of an inverse one a long position is a debt that shrinks as the price grows."""
    facts = {"symbol": "X", "kind": "future", "currency": "USD", "multiplier": "50"}
    assert best((Instrument.model_validate(facts), units, 90 * units, None)) is None
    inverse = Instrument.model_validate({**facts, "inverse": True})
    assert best((inverse, units, -9 * units, None)) == (27 if units > 0 else None)


ON_FUTURE = {"kind": "option", "currency": "USD", "multiplier": "1000", "expiry": "2026-12-16", "right": "P"}


def put_on(underlying: str, strike: int = 20) -> Instrument:
    facts = {**ON_FUTURE, "symbol": f"{underlying}P{strike}", "underlying": underlying, "strike": str(strike)}
    return Instrument.model_validate(facts)


@pytest.mark.parametrize("known_by", ["its symbol", "the settings", "the future that is held"])
def test_a_long_put_on_a_future_has_no_bound(known_by: str) -> None:
    """I7: crude was at -37 in April 2020. A spread of puts is bounded all the same, and so is a short one."""
    underlying = "CLF7" if known_by == "its symbol" else "CL"
    future = Instrument.model_validate(
        {"symbol": "CLF7X", "kind": "future", "currency": "USD", "underlying": "CL"}
    )
    beside = [held(future, 1, 20, Decimal(20))] if known_by == "the future that is held" else []
    names = ["CL"] if known_by == "the settings" else known_futures(beside)

    def of(*legs: tuple[int, int, int]) -> Decimal | None:
        options = [held(put_on(underlying, strike), units, cost, None) for strike, units, cost in legs]
        return best_unrealised([*options, *beside], one, names)

    assert of((20, 1, 500)) is None
    assert of((20, 2, 500), (15, -1, -100)) is None
    assert of((20, 1, 500), (15, -1, -100)) == 5000 - 400
    assert of((20, -1, -500)) == 500
    assert best_unrealised([held(put_on("SPY"), 1, 500, None)], one, ["CL"]) == 20_000 - 500


def test_figures_know_the_futures_of_the_settings() -> None:
    """I7."""
    bought = trade(-5, 1, 3, instrument=put_on("CL"))
    assert seen([*LOST, bought])[0].total_at_best == -4000 - 3000 + 20_000
    assert seen([*LOST, bought], measures={"futures": ["CL"]})[0].total_at_best is None


def test_without_a_rate_nothing_is_sure() -> None:
    """I7."""
    assert best((equity(currency="EUR"), -1, -100, None), rate=lambda _: None) is None


# --- what is sure acts, what is not stays UNKNOWN ---

LOST = (
    trade(-9, 100, 100),
    trade(-8, -100, 60),
)  # 4,000 of 100,000 lost for good, and told to nobody by a price
SOLD = trade(-5, -2, 3, instrument=option(6000, "C"), strategy="wings")  # 600 received: all that it may make
BOUGHT = trade(-4, 1, 3, instrument=option(6000, "C"), strategy="wings")


def seen(
    fills: list[Fill], price: int | None = None, track: Track = NEW, **more: object
) -> tuple[Figures, Book]:
    """Return the figures of a book whose shares are at `price`, and whose options have none."""
    book = Book("demo").with_fills(fills, account().sessions.session_of, lambda _p, _f: [], at(10**6))
    priced = {equity().symbol} if price else set()
    positions = [
        valued(p, Decimal(price or 0) if p.instrument.symbol in priced else None)
        for p in book.open_positions()
    ]
    return figures(account(**more), book, positions, one, None, None, at(60), track), book


def read(f: Figures, name: str, object_: str = "account") -> Reading:
    [found] = [r for r in readings(f, {}) if (r.limit.name, r.object) == (name, object_)]
    return found


def test_a_loss_that_is_sure_breaches_its_limit_while_a_price_is_missing() -> None:
    """R2.4, R5.2: 4,000 are lost, 600 may come back at best: 3.4 % at least, of the 3 % of the day."""
    found = read(seen([*LOST, SOLD])[0], "max_daily_loss")
    assert (found.level, found.current, found.at_least) == (Level.BREACH, Decimal("3.4"), True)
    weekly = read(seen([*LOST, SOLD])[0], "max_weekly_loss")
    assert (weekly.level, weekly.current) == (Level.UNKNOWN, None), "below its limit nothing is known of it"


def test_a_loss_that_a_missing_price_may_make_good_stays_unknown() -> None:
    """I7: a bought call may be worth anything; a sold one for 3,000 may have made them."""
    rich = trade(-5, -10, 3, instrument=option(6000, "C"))
    for fills in ([*LOST, BOUGHT], [*LOST, rich]):
        found = read(seen(fills)[0], "max_daily_loss")
        assert (found.level, found.current, found.at_least) == (Level.UNKNOWN, None, False)


def test_a_strategy_s_drawdown_that_is_sure_breaches_its_limit() -> None:
    """R2.3: of its own capital, or beside the best that the others can make."""
    own = {"risk": {"strategy_capital": {"default": "20000"}}}
    f, _ = seen([*LOST, SOLD], **own)
    assert read(f, "max_strategy_drawdown", "default").current == 20
    shares = trade(-3, 100, 500)
    f, _ = seen([shares, SOLD], price=300)
    found = read(f, "max_strategy_drawdown", "default")
    assert (found.level, found.at_least) == (Level.BREACH, True)
    assert found.current == pytest.approx(Decimal("19.880716")), "20,000 of 100,000 and the 600 of the others"
    assert read(f, "max_strategy_drawdown", "wings").level is Level.UNKNOWN


def trip(f: Figures, book: Book, before: dict[str, Tripped] | None = None) -> list[Move]:
    return advance(
        MONEY_BREAKERS,
        TradingSettings(),
        before or {},
        money_facts(f, book),
        at(),
        "demo",
        sure=sure_facts(f),
    )[1]


def test_breakers_trip_by_what_is_sure_and_clear_by_nothing_less_than_a_reading() -> None:
    """R5.2, R5.3: 20,000 and 600 less are 19.4 %: the day's 15 % and the capital's 10 %, and not the drawdown's 20 %."""
    f, book = seen([trade(-3, 100, 500), SOLD], price=300)
    assert not any(money_facts(f, book)[name] for name in ("loss", "daily_loss", "drawdown"))
    assert [(m.breaker.name, m.action, m.current, m.at_least) for m in trip(f, book)] == [
        ("loss", "pause", Decimal("19.4"), True),
        ("emergency_daily_loss", "pause", Decimal("19.4"), True),
    ]
    assert trip(f, book)[0].reason == "loss of the capital is at least 19.4%, limit 10%"
    first = {m.breaker.name: Tripped(at(-9), confirmed=False) for m in trip(f, book)}
    small, book = seen([trade(-3, 100, 500), SOLD], price=499)
    assert trip(small, book, first) == [], "a small sure loss says nothing of the whole: nothing is released"


@pytest.mark.parametrize("amount", [900_000, -50_000])
def test_no_percentage_is_sure_while_money_has_come_or_gone_that_none_takes_notice_of(amount: int) -> None:
    """R5.2: with ten times the money 3,400 lost are 0.34 % and no 3.4 %; as money they are as sure as before."""
    more: dict[str, object] = {"limits": {"max_daily_loss_money": {"limit": "1000"}}}
    before, _ = seen([trade(-9, 100, 100)], price=100, **more)
    flown = fill("D-1", kind="FLOW", fee=str(-amount), quantity="0", price="0", executed_at=at(-1))
    held, book = seen([*LOST, SOLD], track=before.track, **more)
    assert read(held, "max_daily_loss").current == Decimal("3.4")
    f, book = seen([*LOST, SOLD, flown], track=before.track, **more)
    assert sure_facts(f) == {"loss": None, "daily_loss": None, "drawdown": None}
    shown = [r for r in readings(f, {}) if r.at_least]
    assert [(r.limit.name, r.object, r.current) for r in shown if r.level is Level.BREACH] == [
        ("max_daily_loss_money", "account", Decimal(3400))
    ]
    assert trip(f, book) == []
    fresh, _ = seen([*LOST, SOLD, flown], **more)
    assert (read(fresh, "max_daily_loss").level is Level.BREACH) is (amount < 0), (
        "none was ever measured without it"
    )


def test_a_missing_price_costs_each_position_one_look_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: it is worked out on the path of prices, for 60 strategies too; and not at all where nothing is missing."""
    fills = [trade(n, -1, 3, instrument=option(6000 + n, "C"), strategy=f"s{n}") for n in range(1, 21)]
    looked: list[str] = []

    def count(positions: Iterable[Valued], *more: Any) -> Decimal | None:
        found = list(positions)
        looked.extend(v.position.key for v in found)
        return best_unrealised(found, *more)

    monkeypatch.setattr("stopline.rules.limits.figures.best_unrealised", count)
    f, _ = seen([*LOST, *fills])
    for _ in range(2):
        readings(f, {})
    assert len(looked) == 20 * 2
    assert f.strategies_at_best()["s1"] == AtBest(Decimal(300), Decimal(-4000 + 19 * 300))
    looked.clear()
    f, _ = seen([*LOST, trade(-3, 10, 100)], price=100)
    readings(f, {})
    assert (looked, f.strategies_at_best()) == ([], {})


def test_where_one_strategy_has_no_bound_only_it_has_one_beside_the_others() -> None:
    """I7."""
    f, _ = seen([*LOST, SOLD, trade(-4, 1, 3, instrument=option(6000, "C"), strategy="calls")])
    found = f.strategies_at_best()
    assert found["calls"] == AtBest(None, Decimal(-3400))
    assert found["wings"] == AtBest(Decimal(600), None)


def test_where_all_is_known_the_bound_is_the_number() -> None:
    """R5.2."""
    f, book = seen([*LOST, trade(-3, 10, 100)], price=100)
    assert (f.total_at_best, sure_facts(f)["loss"]) == (f.total, money_facts(f, book)["loss"])
