"""Real 0DTE spreads, leg by leg, with trails: each path ends where a second implementation says.

The second implementation knows nothing of weights, tables or states: it has the quotes of each leg, adds and subtracts them
in fractions, and looks at the whole path again at each reading.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stopline.ledger.book import Book
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.rules.exits.plan import Plan
from stopline.rules.exits.subject import subject
from stopline.rules.exits.table import ExitTable, Seen, Watch

from ..make import account, option, trade
from .exit_paths import plan

DATA = Path(os.environ.get("STOPLINE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
DAY = "lean/spxw_1m_20210106_incl_0dte.csv.gz"
NEW_YORK = ZoneInfo("America/New_York")
UNITS = 3

Leg = tuple[str, str, int]  # strike, right, units of it in one unit of the spread: below 0 is short
Quotes = dict[tuple[str, str], Fraction]
SPREADS: dict[str, list[Leg]] = {
    "put credit": [("3800.0", "P", -1), ("3700.0", "P", 1)],
    "call credit": [("3700.0", "C", -1), ("3800.0", "C", 1)],
    "call debit": [("3700.0", "C", 1), ("3800.0", "C", -1)],
    "strangle": [("3700.0", "P", -1), ("3800.0", "C", -1)],
    "jade lizard": [("3700.0", "P", -1), ("3700.0", "C", -1), ("3800.0", "C", 1)],
    "ratio": [("3700.0", "C", 1), ("3800.0", "C", -2)],
}
TRAILS: dict[str, dict[str, Any]] = {
    "giveback": {
        "stop_loss": "60%",
        "trail": {"by": "giveback", "amount": "30%", "activation": "10%"},
    },
    "percent": {"stop_loss": "60%", "trail": {"by": "percent", "amount": "12%", "activation": "5%"}},
    "step": {"stop_loss": "60%", "trail": {"by": "step", "amount": "10%", "activation": "10%"}},
    "atr": {
        "stop_loss": "60%",
        "trail": {"by": "atr", "amount": "3atr", "activation": "5%"},
        "atr_bar_s": 300,
        "atr_bars": 4,
    },
}


@cache
def minutes() -> list[tuple[datetime, Quotes]]:
    """Return the mid prices of the contracts that expire on the day, by minute."""
    path = DATA / DAY
    if not path.is_file():
        pytest.skip(f"{DAY} is not in {DATA}: STOPLINE_TEST_DATA names the folder of market data")
    found: dict[str, Quotes] = {}
    with gzip.open(path, "rt", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["expiry"] == "2021-01-06" and row["bid"] and row["ask"]:
                mid = (Fraction(row["bid"]) + Fraction(row["ask"])) / 2
                found.setdefault(row["bar_start_et"], {})[row["strike"], row["right"]] = mid
    return [(moment(text), quotes) for text, quotes in sorted(found.items())]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def contract(leg: Leg) -> Instrument:
    return option(int(float(leg[0])), leg[1], date(2021, 1, 6))


def decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


def by_product(
    legs: Sequence[Leg], entered: int, some: dict[str, Any], confirm: int
) -> tuple[int, str, Fraction] | None:
    """Book the fills of a spread, and let its table see each leg's own price; return what triggers first."""
    at, quotes = minutes()[entered]
    fills = [
        trade(
            number,
            UNITS * units,
            decimal(quotes[strike, right]),
            instrument=contract((strike, right, units)),
            group_id="G",
        ).model_copy(update={"executed_at": at})
        for number, (strike, right, units) in enumerate(legs)
    ]
    [held] = booked(fills).open_trades()
    found = subject(held)
    assert found is not None
    the_plan = made(some, confirm)
    table = ExitTable([Watch(found[0], the_plan, (), found[1])], {}, at)
    marks: dict[str, Seen] = {}
    for n, (now, known) in enumerate(minutes()[entered + 1 :]):
        for strike, right, units in legs:
            if (strike, right) in known:
                marks[contract((strike, right, units)).symbol] = Seen(
                    float(known[strike, right]), now.timestamp()
                )
        changed, _ = table.steps(marks, now)
        for _, step in changed:
            table.sync({held.trade_id: step.state}, now)
            if step.exit:
                assert step.exit.level is not None
                return n, step.exit.rule, Fraction(round(step.exit.level, 9))
    return None


def booked(fills: Sequence[Fill]) -> Book:
    calendar = account().sessions
    return Book("demo").with_fills(fills, calendar.session_of, lambda _p, _f: [], fills[0].executed_at)


def made(some: dict[str, Any], confirm: int) -> Plan:
    return plan(**some, confirm=confirm, price_max_age_s=30)


def by_history(
    legs: Sequence[Leg], entered: int, some: dict[str, Any], confirm: int
) -> tuple[int, str, Fraction] | None:
    """Return the first exit (minutes later, rule, level) from the quotes of the legs alone."""
    value = sum((units * minutes()[entered][1][strike, right] for strike, right, units in legs), Fraction(0))
    entry = abs(value)
    read: list[tuple[int, datetime, Fraction]] = []
    for n, (now, known) in enumerate(minutes()[entered + 1 :]):
        if all((strike, right) in known for strike, right, _ in legs):
            net = sum((units * known[strike, right] for strike, right, units in legs), Fraction(0))
            read.append(
                (n, now, net)
            )  # what the holder would get: higher is better, and a credit's is below 0
    start, loss = value, entry * Fraction(60, 100)
    best, stop, rule = start, start - loss, "stop_loss"
    for k in range(confirm - 1, len(read)):
        span = [net for _, _, net in read[k - confirm + 1 : k + 1]]
        best = max(best, min(span))
        trail = some["trail"]
        if best >= start + entry * percent(trail["activation"]):
            wish = trailed(trail, start, best, read[: k + 1], some)
            if wish is not None and wish > stop:
                stop, rule = wish, "trailing_stop"
        if max(span) <= stop:
            return read[k][0], rule, Fraction(round(decimal(stop if value >= 0 else -stop), 9))
    return None


def percent(text: str) -> Fraction:
    return Fraction(text.removesuffix("%")) / 100


def trailed(
    trail: dict[str, Any],
    start: Fraction,
    best: Fraction,
    read: Sequence[tuple[int, datetime, Fraction]],
    some: dict[str, Any],
) -> Fraction | None:
    amount = trail["amount"]
    match trail["by"]:
        case "percent":
            return best - abs(best) * percent(amount)
        case "giveback":
            return best - (best - start) * percent(amount)
        case "step":
            size = abs(start) * percent(amount)
            return start + ((best - start) // size - 1) * size
        case _:
            atr = true_range(read, some["atr_bar_s"], some["atr_bars"])
            return None if atr is None else best - Fraction(amount.removesuffix("atr")) * atr


def true_range(read: Sequence[tuple[int, datetime, Fraction]], length: int, wanted: int) -> Fraction | None:
    """Return Wilder's average of the finished bars; the last bar is not finished."""
    bars: dict[int, list[Fraction]] = {}
    for _, at, net in read:
        bars.setdefault(int(at.timestamp()) // length, []).append(net)
    done = list(bars.values())[:-1]
    if len(done) < wanted:
        return None
    ranges = []
    for n, prices in enumerate(done):
        before = [done[n - 1][-1]] if n else []
        ranges.append(max([*prices, *before]) - min([*prices, *before]))
    average = sum(ranges[:wanted], Fraction(0)) / wanted
    for one in ranges[wanted:]:
        average = (average * (wanted - 1) + one) / wanted
    return average


def whole(legs: Sequence[Leg]) -> list[int]:
    """Return the minutes at which every leg has a quote."""
    return [
        n
        for n, (_, quotes) in enumerate(minutes())
        if all((strike, right) in quotes for strike, right, _ in legs)
    ]


@pytest.mark.parametrize(("trail", "confirm"), [("giveback", 2), ("percent", 1), ("step", 2), ("atr", 2)])
def test_every_spread_of_the_expiry_day_ends_as_the_second_implementation_says(
    trail: str, confirm: int
) -> None:
    """R4.2, R4.7: verticals for a credit and a debit, a condor and a ratio, entered through the day, on 2021-01-06."""
    ended = set()
    for legs in SPREADS.values():
        for entered in whole(legs)[5:320:140]:
            expected = by_history(legs, entered, TRAILS[trail], confirm)
            assert by_product(legs, entered, TRAILS[trail], confirm) == expected
            ended.add(expected[1] if expected else None)
    assert {"trailing_stop", "stop_loss"} <= ended
