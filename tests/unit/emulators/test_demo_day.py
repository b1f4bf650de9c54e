"""The demo's day: the four published prices of each index are hit, the minutes between are made up alike."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from emulators.demo import facts, questions
from emulators.demo.bridge import Shape, bridge
from emulators.demo.evidence import Conservation
from emulators.demo.facts import Bar
from emulators.demo.market import DAY, MINUTES, SEED, SPX_SHAPE, VIX_SHAPE, Market, spxw
from emulators.demo.pricing import black_scholes
from emulators.demo.screen import short
from stopline.model.prices import parse_price_batch

INDICES = [
    pytest.param(table[day], shape, id=f"{name} {day}")
    for name, table, shape in (("SPX", facts.SPX, SPX_SHAPE), ("VIX", facts.VIX, VIX_SHAPE))
    for day in table
]


@pytest.mark.parametrize(("bar", "shape"), INDICES)
@pytest.mark.parametrize("seed", [0, SEED, SEED + 1])
def test_the_bridge_hits_open_high_low_and_close(bar: Bar, shape: Shape, seed: int) -> None:
    path = bridge(bar, MINUTES, shape, seed)
    assert len(path) == MINUTES + 1
    assert (path[0], path.max(), path.min(), path[-1]) == (bar.open, bar.high, bar.low, bar.close)
    assert (path == np.round(path, 2)).all()


@pytest.mark.parametrize("table", [facts.SPX, facts.VIX])
def test_the_facts_are_possible_bars_of_ten_sessions(table: dict[date, Bar]) -> None:
    assert len(table) == 10
    assert all(day.weekday() < 5 for day in table)
    for bar in table.values():
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high


def test_the_same_seed_makes_the_same_day() -> None:
    assert (bridge(facts.SPX[DAY], 390, SPX_SHAPE, 1) == bridge(facts.SPX[DAY], 390, SPX_SHAPE, 1)).all()
    assert (bridge(facts.SPX[DAY], 390, SPX_SHAPE, 1) != bridge(facts.SPX[DAY], 390, SPX_SHAPE, 2)).any()


def test_the_index_falls_through_the_afternoon() -> None:
    market = Market([])
    hours = [market.minute(minute).spx for minute in (150, 210, 270, 330)]
    assert hours == sorted(hours, reverse=True)


def test_every_minute_is_a_price_batch_without_faults() -> None:
    """Also at expiry, where an option may be worth nothing."""
    options = [spxw("P", 2690), spxw("C", 2810)]
    market = Market(options)
    for number in (0, 200, MINUTES):
        batch = parse_price_batch(market.minute(number).message())
        assert not batch.refused
        assert set(batch.quotes) == {"SPX", "VIX", "SPY", *(option.symbol for option in options)}
        assert batch.as_of == market.minute(number).at


def test_option_prices_keep_parity_and_end_at_what_they_pay() -> None:
    for minutes in (390.0, 60.0, 1.0):
        call = black_scholes("C", 2650, 2690, minutes, 0.3)
        put = black_scholes("P", 2650, 2690, minutes, 0.3)
        assert call - put == pytest.approx(2650 - 2690)
    assert (black_scholes("P", 2650, 2690, 0, 0.3), black_scholes("C", 2650, 2690, 0, 0.3)) == (40, 0)


def test_an_option_at_the_money_has_its_closed_form() -> None:
    """Without interest a call struck at S is worth S (2 N(sigma sqrt(T) / 2) - 1): here a year at 20 %."""
    value = black_scholes("C", 100, 100, 252 * 390, 0.2)
    assert value == pytest.approx(7.9656, abs=1e-4)


def test_options_are_written_as_people_say_them() -> None:
    assert short("SPXW180205P02690000") == "SPXW 2690P"
    assert short("SPXW180205C02692500") == "SPXW 2692.5C"
    assert short("SPY") == "SPY"


def test_the_conservation_line_says_what_is_left() -> None:
    line = "published 16 = applied 12 + duplicates 1 + quarantined 1 + in flight 2"
    assert str(Conservation(published=16, applied=12, duplicates=1, quarantined=1)) == line


def test_the_history_in_memory_adds_up_cash_flows() -> None:
    """R7.3: what a flat position made is what came in less what went out, less fees."""
    fill = {"account": "demo", "strategy": "s", "symbol": "SPY", "multiplier": "1", "fee": "0.1"}
    rows = [
        {**fill, "side": "BUY", "quantity": "2", "price": "10"},
        {**fill, "side": "SELL", "quantity": "2", "price": "11.5"},
        {**fill, "side": "SELL", "quantity": "2", "price": "99", "account": "other"},
    ]
    question = questions.pnl_by_position("demo")
    (line,) = question.in_memory(rows, question.parameters)
    assert (line["fills"], line["gross"], line["fees"]) == (2, Decimal(3), Decimal("0.2"))
