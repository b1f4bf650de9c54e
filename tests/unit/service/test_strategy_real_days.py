"""A strategy on real days: its MTM, peak and stop as a broker's statement and a pencil would have them."""

from __future__ import annotations

import csv
import gzip
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stopline.model.instrument import Instrument
from stopline.model.prices import PriceBatch, Quote

from ..make import account, fill
from .world import World

DATA = Path(os.environ.get("STOPLINE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
FILE = "lean/nifty50_1m_IST_20190101_04.csv.gz"
INDIA = ZoneInfo("Asia/Kolkata")
NIFTY = Instrument.model_validate(
    {"symbol": "NIFTY50", "kind": "future", "currency": "INR", "multiplier": "1"}
)
FEE = 20
EVERY = 3  # minutes
ORDERS = {0: 50, 60: -30, 130: -60, 170: 20, 260: 70, 330: -90, 420: 100}  # at which reading how many units


def readings() -> list[tuple[datetime, Fraction]]:
    path = DATA / FILE
    if not path.is_file():
        pytest.skip(f"{FILE} is not in {DATA}: STOPLINE_TEST_DATA names the folder of market data")
    with gzip.open(path, "rt", newline="") as stream:
        found = [
            (datetime.fromisoformat(row["bar_start_local"]).replace(tzinfo=INDIA), Fraction(row["close"]))
            for row in csv.DictReader(stream)
        ]
    return [(at.astimezone(UTC), price) for at, price in found if at.strftime("%H:%M") >= "09:15"][::EVERY]


def exact(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


def by_product(some: dict[str, Any]) -> list[tuple[int, str, Fraction]]:
    """Let prices and fills come as they came, each reading to a process that may have just started; return the stops."""
    world = World()
    path = readings()
    world.clock.set(path[0][0])
    world.open_account(
        account(
            exits={"strategies": {"trend": some}},
            calendar="XNSE",
            time_zone="Asia/Kolkata",
            currency="INR",
            capital="10000000",
            price_max_age_s=86_400,
        )
    )
    app, found = world.instance()[0], []
    for n, (at, price) in enumerate(path):
        world.clock.set(at)
        if n in ORDERS:
            made = fill(
                f"E-{n}",
                "BUY" if ORDERS[n] > 0 else "SELL",
                abs(ORDERS[n]),
                exact(price),
                at,
                NIFTY,
                strategy="trend",
                fee=str(FEE),
                fee_currency="INR",
            )
            app.recorder.record([made], f"m-{n}")
        later = at + timedelta(seconds=30)
        world.clock.set(later)
        app = world.instance()[0] if n % 40 == 0 else app
        app.marker.mark(PriceBatch("feed", later, {"NIFTY50": Quote(float(price))}, ()))
        told = [a for a in world.bus.bodies("alerts") if a["kind"] == "strategy_stopped"]
        world.bus.messages.clear()
        for alert in told:
            rule = alert["summary"].partition("is stopped: ")[2].partition(": MTM")[0]
            found.append((n, rule, Fraction(alert["figure"]["limit"])))
        if found:
            break
    return found


def by_pencil(
    giveback: int, arm: int, most: int, confirm: int, carry: bool
) -> list[tuple[int, str, Fraction]]:
    """Return the same from cash and units alone: what was paid and received, and what is held at the price of now."""
    cash, held, base, peak = Fraction(0), 0, Fraction(0), Fraction(0)
    last, day = Fraction(0), None
    values: list[Fraction] = []
    for n, (at, price) in enumerate(readings()):
        if n in ORDERS:
            cash -= ORDERS[n] * price + FEE
            held += ORDERS[n]
        today: date = at.astimezone(INDIA).date()
        if today != day and not carry:
            base, peak, values = (last if day else base), Fraction(0), []
        day, last = today, cash + held * price
        values.append(last - base)
        span = values[-confirm:]
        if len(span) < confirm:
            continue
        peak = max(peak, *[min(span)])
        if peak > 0 and peak >= arm and max(span) <= peak * (100 - giveback) / 100:
            return [(n, "trailing stop of the MTM", peak * (100 - giveback) / 100)]
        if max(span) <= -most:
            return [(n, "most loss", Fraction(-most))]
    return []


@pytest.mark.parametrize(
    ("giveback", "arm", "most", "day", "stopped"),
    [
        (90, 500, 5000, "carry", 240),
        (90, 1000, 5000, "session", 413),
        (60, 3000, 4000, "session", 312),
    ],
)
def test_a_strategy_on_real_days_stops_where_cash_and_units_say(
    giveback: int, arm: int, most: int, day: str, stopped: int
) -> None:
    """R4.1: NIFTY 50, 1 to 4 January 2019, turned from long to short and back; restarts in between change nothing."""
    expected = by_pencil(giveback, arm, most, 2, day == "carry")
    assert [n for n, _, _ in expected] == [stopped]
    some = {"giveback": str(giveback), "arm": str(arm), "max_loss": str(most), "confirm": 2, "day": day}
    assert by_product(some) == expected
