"""Laws of exits that hold on every path, and real paths with the results of a second implementation.

The second implementation (`by_history`) shares nothing with the product: it remembers no state, looks at the whole
path again at each reading, and works in fractions.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stopline.model.settings.exits import parse_distance
from stopline.rules.exits.asked import URGENT
from stopline.rules.exits.plan import Plan
from stopline.rules.exits.splits import rescaled
from stopline.rules.exits.state import FRESH, ExitState, Reading
from stopline.rules.exits.table import ExitTable, Seen, Watch
from stopline.rules.exits.trade_exits import ODD as ODD_FOR
from stopline.rules.exits.trade_exits import STUCK, Step, advance

from .exit_paths import START, held, plan

DATA = Path(os.environ.get("STOPLINE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")

ROUNDED = Decimal("1e-9")  # what a split loses of a price behind its 12th digit, many times over
WHOLE, ODD = "1:SPY*1,DIA*-1", "1:SPY*1,DIA*-0.9"
SIDES: Any = st.sampled_from([1, -1])
TRAILS = st.sampled_from(
    [
        {"by": "percent", "amount": "1%", "activation": "0%"},
        {"by": "percent", "amount": "3%"},
        {"by": "giveback", "amount": "30%", "activation": "1%"},
        {"by": "step", "amount": "2", "activation": "1%"},
        {"by": "atr", "amount": "2atr", "activation": "0.5%"},
        "off",
    ]
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    some: dict[str, Any] = {
        "confirm": draw(st.integers(1, 3)),
        "stop_loss": draw(st.sampled_from(["0", "2%", "3", "1.5atr"])),
        "trail": draw(TRAILS),
        "atr_bar_s": 60,
        "atr_bars": 3,
    }
    for name, values in (
        ("target", ["6%", "3R", "off"]),
        ("breakeven", ["1%", "1R", "off"]),
        ("breakeven_offset", ["0.1"]),
        ("lock_in", [[{"at": "2%", "keep": "0.5%"}, {"at": "4%", "keep": "3%"}]]),
        ("scale_out", [[{"at": "1R", "close": "33"}, {"at": "2R", "close": "67"}]]),
        ("excessive_loss", ["5%"]),
        ("timeout_s", [600]),
        ("max_age_s", [1800]),
    ):
        if draw(st.booleans()):
            some[name] = draw(st.sampled_from(values))
    return plan(**some)


class Exits(RuleBasedStateMachine):
    """One trade that lives: prices, silence, time, partial fills, additions, splits, and legs that people change one after
    the other, in any order.
    """

    @initialize(the_plan=plans(), side=SIDES)
    def begin(self, the_plan: Plan, side: Literal[1, -1]) -> None:
        self.plan = the_plan
        self.held = replace(held(side=side, quantity="9"), shape=WHOLE)
        self.factor = Decimal(1)  # of the units since the beginning
        self.due = tuple(
            (START + span, name)
            for name, span in (("timeout", the_plan.timeout), ("max_age", the_plan.max_age))
            if span is not None
        )
        self.state: ExitState = FRESH
        self.now = START + ODD_FOR  # it was built long ago
        self.price = 100 + Decimal(side) / 2
        self.stops: list[Decimal] = []
        self.told = False
        self.step(Reading(self.price, self.now, self.now))

    def step(self, reading: Reading | None) -> None:
        table = self.table()
        step = advance(self.plan, self.held, self.state, reading, self.due, self.now)
        self.agrees(table, reading, step)
        before, self.state = rescaled(self.plan, self.held, self.state), step.state
        if step.exit:
            assert Decimal(0) <= step.exit.leave < self.held.quantity
            if before.asked and step.exit.leave == before.asked.leave:  # as much, more urgently
                assert (step.exit.urgency, before.asked.rule in URGENT) == ("urgent", False)
            else:
                assert before.asked is None or step.exit.leave < before.asked.leave
        if step.stuck:
            assert before.asked
            assert self.now - before.asked.at >= STUCK
            self.told = True
        if self.state.stop is not None:
            self.stops.append(self.state.stop * self.factor)

    def table(self) -> ExitTable:
        watch = Watch(self.held, self.plan, self.due, (("SPY", Decimal(1)),))
        table = ExitTable([watch], {}, self.now)
        table.sync({"T-1": self.state}, self.now)
        return table

    def agrees(self, table: ExitTable, reading: Reading | None, exact: Step) -> None:
        """The cheap columns find every step that changes something, and no other."""
        marks = {"SPY": Seen(float(reading.price), reading.newest.timestamp())} if reading else {}
        changed, stale = table.steps(marks, self.now)
        asked = self.state.asked
        assert bool(stale) == (reading is None and not (asked and not asked.leave))
        if exact.state == self.state and not exact.exit and not exact.stuck:
            assert changed == []
        else:
            assert [step for _, step in changed] == [exact]

    @rule(move=st.integers(-300, 300))
    def tick(self, move: int) -> None:
        self.now += timedelta(seconds=20)
        self.price = max(self.price + Decimal(move) / 100 / self.factor, Decimal(1))
        self.step(Reading(self.price, self.now, self.now))

    @rule(up=st.integers(2, 8), down=st.integers(0, 6))
    def ride(self, up: int, down: int) -> None:
        """A run of one point a reading for the trade, and a part of the way back: what moves stops."""
        for number in range(up + down):
            self.tick(100 * self.held.side * (1 if number < up else -1))

    @rule(price=st.sampled_from(["0.01", "50", "150", "10000"]))
    def bad_tick(self, price: str) -> None:
        self.now += timedelta(seconds=1)
        self.step(Reading(Decimal(price), self.now, self.now))

    @rule(seconds=st.integers(1, 400))
    def silence(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.step(None)

    @precondition(lambda self: self.state.asked is not None)
    @rule(units=st.integers(1, 9))
    def fill(self, units: int) -> None:
        assert self.state.asked
        left = max(self.held.quantity - units, self.state.asked.leave, Decimal(1))
        self.held = replace(self.held, quantity=left)

    @precondition(lambda self: self.state.asked is None)
    @rule()
    def add_to_it(self) -> None:
        self.held = replace(self.held, quantity=self.held.quantity + 3)

    @precondition(lambda self: self.factor < 8)
    @rule(ratio=st.sampled_from([(2, 1), (4, 1), (5, 2)]))
    def split(self, ratio: tuple[int, int]) -> None:
        new, old = map(Decimal, ratio)
        was = self.held.splits[0][1:] if self.held.splits else (Decimal(1), Decimal(1))
        self.factor *= new / old
        self.price *= old / new
        self.held = replace(
            self.held,
            quantity=self.held.quantity * new / old,
            entry=self.held.entry * old / new,
            splits=(("SPY", was[0] * new, was[1] * old),),
        )

    @rule(seconds=st.integers(1, 19), price=st.sampled_from(["0.01", "50", "10000"]))
    def leg_by_leg(self, seconds: int, price: str) -> None:
        """One leg is added to, a price of that means nothing, and then the other leg is."""
        self.held = replace(self.held, shape=ODD)
        self.now += timedelta(seconds=seconds)
        self.step(Reading(Decimal(price), self.now, self.now))
        self.held = replace(self.held, shape=WHOLE)
        self.step(None)

    @invariant()
    def the_stop_only_moves_in_the_trade_s_favour(self) -> None:
        """R4.1: never falls for a long, never rises for a short."""
        if not hasattr(self, "stops"):
            return
        moves = [self.held.side * (after - before) for before, after in pairwise(self.stops)]
        assert min(moves, default=0) > -ROUNDED

    def teardown(self) -> None:
        """What was asked for is closed, or people are told."""
        if not hasattr(self, "state") or self.state.asked is None:
            return
        if self.held.quantity > self.state.asked.leave:
            self.now += STUCK
            self.step(None)
            assert self.told or self.state.asked is None


Exits.TestCase.settings = settings(stateful_step_count=40, deadline=None)
test_exits_keep_their_laws_whatever_comes = Exits.TestCase


def test_a_moment_that_has_passed_when_the_table_is_laid_out_is_found() -> None:
    """R4.2: a process that starts behind the greatest age of a trade closes it, with or without a price."""
    exits = Exits()
    trail = {"by": "percent", "amount": "1%", "activation": "0%"}
    exits.begin(plan(stop_loss="0", target="6%", breakeven="1%", trail=trail, max_age_s=1800), 1)
    exits.tick(50)
    for _ in range(4):
        exits.silence(400)
    assert exits.state.asked is None
    exits.silence(400)
    assert exits.state.asked
    assert exits.state.asked.rule == "max_age"
    exits.teardown()
    assert exits.told


# --- the second implementation ---


def part(text: str, entry: Fraction, risk: Fraction | None = None) -> Fraction:
    """Return a distance in points: `2%`, `3`, `2R`."""
    if text.endswith("%"):
        return abs(entry) * Fraction(text[:-1]) / 100
    if text.endswith("R"):
        assert risk is not None
        return risk * Fraction(text[:-1])
    return Fraction(text)


def by_history(
    prices: Sequence[Fraction], entry: Fraction, side: int, confirm: int, some: dict[str, Any]
) -> tuple[int, str, Fraction] | None:
    """Return the first full exit (index, rule, level) on a path, from nothing but the path."""
    path = [side * p for p in prices]
    start = side * entry
    atr = ranges(path, some)
    by_atr = some["stop_loss"].endswith("atr")
    risk = None if by_atr else part(some["stop_loss"], entry)
    best, stop, rule = start, None if risk is None else start - risk, "stop_loss"
    stops: list[Fraction | None] = []
    for n in range(len(path)):
        first = atr[n]
        if risk is None and first is not None:  # in the range as it is when it is first known
            risk = first * Fraction(some["stop_loss"].removesuffix("atr"))
            if stop is None or start - risk > stop:
                stop, rule = start - risk, "stop_loss"
        if n < confirm - 1:
            stops.append(stop)
            continue
        span = path[n - confirm + 1 : n + 1]
        best = max(best, min(span))
        wishes = []
        if "breakeven" in some and best >= start + part(some["breakeven"], entry, risk):
            wishes.append(("breakeven", start))
        for lock in some.get("lock_in", ()):
            if best >= start + part(lock["at"], entry):
                wishes.append(("lock_in", start + part(lock["keep"], entry)))
        trail = some["trail"]
        if best >= start + part(trail.get("activation", "2%"), entry):
            amount = trail["amount"]
            if trail["by"] == "percent":
                wishes.append(("trailing_stop", best - part(amount, best)))
            elif trail["by"] == "giveback":
                wishes.append(("trailing_stop", best - part(amount, best - start)))
            elif trail["by"] == "step":
                size = part(amount, entry)
                wishes.append(("trailing_stop", start + ((best - start) // size - 1) * size))
            elif first is not None:
                wishes.append(("trailing_stop", best - Fraction(amount.removesuffix("atr")) * first))
        for name, level in wishes:
            if stop is None or level > stop:
                stop, rule = level, name
        stops.append(stop)
        # a range that shrinks moves a stop beyond a reading that did not reach it when it came: that one does not count
        reached = all(s is not None and p <= s for p, s in zip(span, stops[-confirm:], strict=True))
        if risk is not None and reached and max(span) <= start - risk:
            return n, "stop_loss", side * (start - risk)
        if reached and stop is not None:
            return n, rule, side * stop
        if "target" in some and min(span) >= start + part(some["target"], entry, risk):
            return n, "target", side * (start + part(some["target"], entry, risk))
    return None


def ranges(path: Sequence[Fraction], some: dict[str, Any]) -> list[Fraction | None]:
    """Return Wilder's average true range of the bars that are over, at each minute; None while they are too few."""
    length, wanted = some.get("atr_bar_s", 300) // 60, some.get("atr_bars", 14)
    bars = [path[n : n + length] for n in range(0, len(path), length)]
    known: list[Fraction | None] = []
    average = Fraction(0)
    for number, bar in enumerate(bars):
        known.append(average if number >= wanted else None)
        seen = [*bar, bars[number - 1][-1]] if number else bar
        count = min(number + 1, wanted)  # to 12 decimals each time, as documented
        average = round((average * (count - 1) + max(seen) - min(seen)) / count, 12)
    return [known[n // length] for n in range(len(path))]


def by_product(
    prices: Sequence[Fraction], entry: Fraction, side: Literal[1, -1], confirm: int, some: dict[str, Any]
) -> tuple[int, str, Fraction] | None:
    """Walk the same path through the table, as production does."""
    the_plan = plan(confirm=confirm, **some)
    trade = held(entry=exact(entry), side=side)
    table = ExitTable([Watch(trade, the_plan, (), (("X", Decimal(1)),))], {}, START)
    for n, price in enumerate(prices):
        at = START + timedelta(minutes=n)
        changed, _ = table.steps({"X": Seen(float(price), at.timestamp())}, at)
        for _, step in changed:
            table.sync({trade.trade_id: step.state}, at)
            if step.exit:
                assert step.exit.level is not None
                return n, step.exit.rule, Fraction(step.exit.level)
    return None


def exact(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


PLANS: list[dict[str, Any]] = [
    {"stop_loss": "0.4%", "trail": {"by": "percent", "amount": "0.3%", "activation": "0.2%"}},
    {"stop_loss": "0.5%", "trail": {"by": "giveback", "amount": "30%", "activation": "0.3%"}},
    {"stop_loss": "0.6%", "trail": {"by": "step", "amount": "0.1%", "activation": "0.2%"}},
    {
        "stop_loss": "0.3%",
        "breakeven": "1R",
        "target": "3R",
        "lock_in": [{"at": "0.4%", "keep": "0.2%"}],
        "trail": {"by": "giveback", "amount": "50%"},
    },
    {
        "stop_loss": "0.4%",
        "trail": {"by": "atr", "amount": "3atr", "activation": "0.2%"},
        "atr_bar_s": 300,
        "atr_bars": 5,
    },
    {
        "stop_loss": "4atr",
        "trail": {"by": "percent", "amount": "0.4%", "activation": "0.3%"},
        "atr_bar_s": 300,
        "atr_bars": 5,
    },
]


@given(
    st.lists(st.integers(-40, 40), min_size=2, max_size=150),
    SIDES,
    st.integers(1, 3),
    st.sampled_from(PLANS),
)
def test_any_path_ends_as_the_second_implementation_says(
    moves: list[int], side: Literal[1, -1], confirm: int, some: dict[str, Any]
) -> None:
    """R4.1, R4.2, R4.7."""
    prices, price = [], Fraction(100)
    for move in moves:
        price += Fraction(move, 100)
        prices.append(price)
    expected = by_history(prices, Fraction(100), side, confirm, some)
    assert by_product(prices, Fraction(100), side, confirm, some) == expected


@pytest.mark.parametrize("side", [1, -1])
def test_the_first_price_already_counts_in_r(side: Literal[1, -1]) -> None:
    """R4.3: it reaches 1R, no later one does, and the trade does not become a loss."""
    prices = [100 + side * Fraction(move, 100) for move in (30, 29, 0)]
    expected = (2, "breakeven", Fraction(100))
    assert by_history(prices, Fraction(100), side, 1, PLANS[3]) == expected
    assert by_product(prices, Fraction(100), side, 1, PLANS[3]) == expected


# --- real days ---


def rows(name: str) -> Iterator[dict[str, str]]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {DATA}: STOPLINE_TEST_DATA names the folder of market data")
    with gzip.open(path, "rt", newline="") as stream:
        yield from csv.DictReader(stream)


def closes(name: str, most: int = 3000) -> list[Fraction]:
    return [Fraction(row["close"]) for _, row in zip(range(most), rows(name), strict=False)]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("some", PLANS, ids=["percent", "giveback", "step", "all", "atr", "atr stop"])
@pytest.mark.parametrize(
    "file", ["lean/nifty50_1m_IST_20190101_04.csv.gz", "nautilus/btc_perp_1m_20211231_20220201.csv.gz"]
)
def test_real_days_end_as_the_second_implementation_says(
    file: str, some: dict[str, Any], side: Literal[1, -1]
) -> None:
    """R4.1, R4.2, R4.7: NIFTY 50 and the BTC perpetual, entered at several moments of the day."""
    prices = closes(file)
    ended = set()
    for entered in range(0, len(prices) - 100, 250):
        path, entry = prices[entered + 1 :], prices[entered]
        expected = by_history(path, entry, side, 2, some)
        assert by_product(path, entry, side, 2, some) == expected
        ended.add(expected[1] if expected else None)
    assert "trailing_stop" in ended or "lock_in" in ended
    assert "stop_loss" in ended


@pytest.mark.parametrize(("right", "rule"), [("P", "target"), ("C", "stop_loss")])
def test_a_spread_of_the_expiry_day_ends_as_the_second_implementation_says(right: str, rule: str) -> None:
    """R4.2: SPXW credit spreads on 2021-01-06, short one strike and long the other, on the value of the spread."""
    quotes: dict[str, dict[str, Fraction]] = {}
    for row in rows("lean/spxw_1m_20210106_incl_0dte.csv.gz"):
        if row["expiry"] == "2021-01-06" and row["right"] == right and row["bid"] and row["ask"]:
            mid = (Fraction(row["bid"]) + Fraction(row["ask"])) / 2
            quotes.setdefault(row["bar_start_et"], {})[row["strike"]] = mid
    short, long = ("3800.0", "3700.0") if right == "P" else ("3700.0", "3800.0")
    path = [legs[short] - legs[long] for at, legs in sorted(quotes.items()) if len(legs) == 2]
    entry, after = path[0], path[1:]
    some = {
        "stop_loss": "50%",
        "target": "30%",
        "trail": {"by": "giveback", "amount": "40%", "activation": "20%"},
    }
    expected = by_history(after, entry, -1, 2, some)
    assert by_product(after, entry, -1, 2, some) == expected
    assert expected
    assert expected[1] == rule


def test_a_distance_reads_as_it_is_written() -> None:
    for text in ("2%", "0", "1.5", "@95", "@-3.5", "3R", "2atr"):
        assert str(parse_distance(text)) == text


@pytest.mark.parametrize(
    "text", ["", "%", "-2%", "@2%", "2 %", "1e3", "2r", "NaN", "1.2.3", 2, None, "9" * 30]
)
def test_what_is_no_distance_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be|decimal"):
        parse_distance(text)


@pytest.mark.parametrize("wing", [Decimal(cents) / 100 for cents in range(137, 257, 6)])
def test_legs_that_cancel_out_reach_a_stop_at_zero(wing: Decimal) -> None:
    """R4.2: what float64 loses of a sum of prices is not measured by the sum."""
    body = Decimal("3.13")
    weights = (("LOW", Decimal(1)), ("BODY", Decimal(-2)), ("HIGH", Decimal(1)))
    watch = Watch(held("1.00"), plan(stop_loss="100%"), (), weights)
    table = ExitTable([watch], {}, START)
    for second, value in ((1, Decimal(1)), (2, Decimal(0))):
        now = START + timedelta(seconds=second)
        prices = {"LOW": value + wing, "BODY": body, "HIGH": 2 * body - wing}
        marks = {symbol: Seen(float(price), now.timestamp()) for symbol, price in prices.items()}
        changed, _ = table.steps(marks, now)
        table.sync({w.held.trade_id: step.state for w, step in changed}, now)
    assert [step.exit and step.exit.rule for _, step in changed] == ["stop_loss"]
