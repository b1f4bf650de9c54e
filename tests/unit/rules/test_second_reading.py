"""One bad price is not two readings: what closes positions waits for newer prices of all that is open."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.settings.trading import TradingSettings
from stopline.rules.limits.figures import Valued, figures
from stopline.rules.trading.breaker_facts import money_facts
from stopline.rules.trading.breakers import BREAKERS, Tripped, advance
from stopline.rules.trading.second_reading import NO_PRICES, PriceTimes

from ..make import account, at, option, trade

BREAKER = BREAKERS["emergency_daily_loss"]
SESSION_OF = account().sessions.session_of


def times(resting: str = "", **seen: float) -> PriceTimes:
    return PriceTimes({s: at(n) for s, n in seen.items()}, frozenset(resting.split()), timedelta(seconds=60))


def play(readings: list[tuple[float, PriceTimes]], state: dict[str, Tripped] | None = None) -> list[str]:
    """Read a loss beyond the limit at given seconds, of given prices; return what was wanted each time."""
    wanted = []
    for seconds, seen in readings:
        bad, settings = {"daily_loss": Decimal(16)}, TradingSettings()
        state, moves = advance(
            [BREAKER],
            settings,
            state or {},
            bad,
            at(seconds),
            "demo",
            str(seconds),
            None,
            lambda: seen,  # noqa: B023
        )
        wanted.append(",".join(m.action for m in moves))
    return wanted


def test_a_price_does_not_confirm_itself() -> None:
    """R5.3, domain 2.4: whoever reads it again, and however much later."""
    assert play([(0, times(SPY=0)), (5, times(SPY=0)), (600, times(SPY=0))]) == ["pause", "", ""]
    assert play([(0, times(SPY=0)), (5, times(SPY=0)), (9, times(SPY=8))]) == ["pause", "", "kill"]


def test_every_open_leg_needs_a_newer_price_than_the_first_reading_had() -> None:
    """R5.3: the other leg's price says nothing of the one that may be wrong."""
    first = (0.0, times(SHORT=0, LONG=-9))
    assert play([first, (3, times(SHORT=0, LONG=3)), (6, times(SHORT=6, LONG=3))]) == ["pause", "", "kill"]


def test_a_price_that_is_younger_than_its_own_and_older_than_the_newest_confirms_nothing() -> None:
    """R5.3: sources differ; what was seen before the first reading was is not a second one."""
    assert play([(0, times(SPY=0, QQQ=-20)), (9, times(SPY=9, QQQ=-1))]) == ["pause", ""]


def test_the_last_price_of_a_closed_market_holds_up_nobody() -> None:
    """R5.3: on a Saturday crypto falls, and shares have the price of Friday."""
    night = times("SPY", BTC=0, SPY=-50_000)
    assert play([(0, night), (5, times("SPY", BTC=5, SPY=-50_000))]) == ["pause", "kill"]


def test_a_quote_of_a_closed_market_is_not_its_own_second_reading() -> None:
    """R5.3: it came after hours, was bad, and no other comes."""
    seen = times("SPY", SPY=0, BTC=0)
    assert play([(0, seen), (600, times("SPY", SPY=0, BTC=600))]) == ["pause", ""]


def test_where_nothing_is_open_no_price_is_in_doubt() -> None:
    """R5.3: realised losses are what they are."""
    assert play([(0, NO_PRICES), (5, NO_PRICES)]) == ["pause", "kill"]
    assert play([(0, times(SPY=0)), (5, NO_PRICES)]) == ["pause", "kill"], "closed in between"


def test_a_first_reading_of_which_no_price_is_known_needs_two_more() -> None:
    """Documents of before: the next reading is the first that is known."""
    before = {BREAKER.name: Tripped(at(-60), confirmed=False)}
    assert play([(0, times(SPY=0)), (5, times(SPY=0)), (9, times(SPY=9))], before) == ["", "", "kill"]


def test_a_number_of_positions_is_of_no_price() -> None:
    """R5.3: two seconds are enough."""
    breaker, state = BREAKERS["too_many_positions"], dict[str, Tripped]()
    wanted = []
    for seconds in (0, 1, 3):
        state, moves = advance(
            [breaker],
            TradingSettings(),
            state,
            {"positions": Decimal(21)},
            at(seconds),
            prices=lambda: times(SPY=-9),
        )
        wanted += [m.action for m in moves]
    assert wanted == ["pause", "kill"]


# --- what the breakers look at ---


def facts(fills: list[Fill], **settings: Any) -> Any:
    """Return the facts of an account whose open positions are all worth half of their cost."""
    book = Book("demo").with_fills(fills, SESSION_OF, lambda _p, _f: [], at(10**6))
    half = [Valued(p, p.last_price / 2, p.cost / 2, -p.cost / 2) for p in book.open_positions()]
    return money_facts(figures(account(**settings), book, half, lambda _: 1, None, None, at(60)), book)  # type: ignore[arg-type]


def condor(number: int, group: str | None) -> list[Fill]:
    """Return an iron condor of its own strikes, its legs a minute after each other."""
    legs = ((-1, 5800, "P"), (1, 5790, "P"), (-1, 6200, "C"), (1, 6210, "C"))
    more = {"group_id": group} if group else {}
    return [
        trade(
            4 * number + n,
            units,
            2,
            instrument=option(strike + 25 * number, right),
            executed_at=at(60 * (4 * number + n)),
            **more,
        )
        for n, (units, strike, right) in enumerate(legs)
    ]


def test_a_spread_is_one_position_as_traders_count() -> None:
    """R5.3: six condors are six, and not 24; legs that nobody named count once for strategy and underlying."""
    named = [f for n in range(6) for f in condor(n, f"C-{n}")]
    unnamed = [f for n in range(6) for f in condor(n, None)]
    assert (facts(named)["positions"], facts(unnamed)["positions"]) == (6, 1)
    shares = [trade(100 + n, 1, 100, strategy=f"s{n}") for n in range(21)]
    assert facts([*named, *shares])["positions"] == 27
    assert facts([])["positions"] == 0


@pytest.mark.parametrize("fact", ["loss", "daily_loss", "drawdown"])
def test_a_breaker_sees_its_loss_whatever_limits_are_switched_off(fact: str) -> None:
    """R5.3: an emergency stop is no part of a limit."""
    from stopline.rules.limits.registry import LIMITS

    off = {name: {"enabled": False} for name in LIMITS}
    fills = [trade(1, 600, 100)]
    assert facts(fills, limits=off)[fact] == facts(fills)[fact] == 30
