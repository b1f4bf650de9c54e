"""Samples out of the product itself: a day of one account is run, and the alerts are what the product raised.

An alert that is written by hand drifts from what people receive; these cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.fill import Fill
from stopline.model.messages import Alert, TrendPoint
from stopline.model.times import parse_utc, utc_text
from stopline.model.wire import decode_object, validate
from stopline.rules.limits.limit import Level, Reading
from stopline.rules.limits.registry import LIMITS
from stopline.rules.limits.watch import Watched, limit_alerts
from stopline.runtime.embedded import Embedded

AT = parse_utc("2026-11-20T15:02:11Z")
MORNING = parse_utc("2026-11-20T14:40:00Z")
RISE = (52, 55, 58, 57, 61, 66, 64, 70, 73, 79, 81, 84, 83, 88, 92, 97, 101)  # % of the limit, a minute each


def limit_alert(
    name: str,
    current: str,
    threshold: str,
    levels: tuple[Level, Level] = (Level.OK, Level.BREACH),
    account: str = "demo",
    currency: str = "USD",
    object_: str = "account",
    at: datetime = AT,
    rise: bool = False,
) -> Alert:
    """Return the alert of a limit whose level goes from one to another; `rise`: after a quarter of an hour."""
    old, new = levels
    reading = Reading(LIMITS[name], object_, Decimal(current), Decimal(threshold), new, currency)
    shares = [share for share in RISE if share * reading.threshold <= 100 * Decimal(current)]
    first = at - timedelta(minutes=len(shares))
    points = [
        TrendPoint(at=first + timedelta(minutes=n), current=reading.threshold * share / 100)
        for n, share in enumerate(shares)
        if n != 7  # no price came
    ]
    before, after = (
        {} if level is Level.OK else {reading.key: Watched(level, at, reading.current)}
        for level in (old, new)
    )
    trends = {reading.key: tuple(points)} if rise else {}
    [alert] = limit_alerts(account, [reading], before, after, "batch-77", at, trends)
    return alert


def _fill(number: int, side: str, quantity: str, price: str, strike: str, at: datetime, **more: Any) -> Fill:
    contract = {
        "symbol": f"SPXW261120P0{strike}000",
        "kind": "option",
        "currency": "USD",
        "multiplier": "100",
        "underlying": "SPX",
        "expiry": "2026-11-20",
        "strike": strike,
        "right": "P",
    }
    body = {
        "fill_id": f"E-{number}",
        "broker": "paper",
        "account": "demo",
        "strategy": "condors",
        "instrument": contract,
        "side": side,
        "quantity": quantity,
        "price": price,
        "executed_at": utc_text(at),
        **more,
    }
    return validate(Fill, body)


class _Day:
    """A Stopline with one account, and every alert that it raised."""

    def __init__(self, start: datetime) -> None:
        self.world = Embedded(start)
        self.alerts: list[Alert] = []
        self.world.bus.subscribe("alerts", lambda message, _id, _attempt: self._note(message.data))
        facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "100000"}
        self.world.app.account_writer.create(validate(Account, facts), "ann")

    def _note(self, data: bytes) -> None:
        body = decode_object(data)
        if body["type"] == "stopline.alert.v1":
            self.alerts.append(validate(Alert, body))

    def at(self, moment: datetime, prices: Mapping[str, float]) -> None:
        """Let a price batch and a sweep come at a moment."""
        self.world.clock.set(moment)
        if prices:
            batch = {
                "type": "stopline.prices.v1",
                "as_of": utc_text(moment),
                "symbols": list(prices),
                "last": list(prices.values()),
            }
            self.world.publish("prices", batch)
        self.world.sweep()
        self.world.run()

    def first(self, kind: str) -> Alert:
        """Return the first alert of a kind."""
        return next(alert for alert in self.alerts if alert.kind == kind)

    def last(self, kind: str) -> Alert:
        """Return the last one."""
        return next(alert for alert in reversed(self.alerts) if alert.kind == kind)


def _options() -> dict[str, Alert]:
    """A put credit spread of which the long leg is sold, and that expires near its strike and is not settled."""
    day = _Day(MORNING)
    group = {"group_id": "G-1"}
    opening = [
        _fill(1, "SELL", "2", "4.1", "6000", MORNING, **group),
        _fill(2, "BUY", "2", "3", "5990", MORNING, **group),
    ]
    day.world.app.recorder.record(opening, "m-1")
    prices = {"SPX": 6010.0, "SPXW261120P06000000": 4.0, "SPXW261120P05990000": 3.0}
    day.at(MORNING + timedelta(seconds=5), prices)
    day.world.clock.set(AT)
    day.world.app.recorder.record([_fill(3, "SELL", "2", "2.8", "5990", AT)], "m-2")
    for seconds in (5, 45, 65):
        day.at(AT + timedelta(seconds=seconds), prices)
    for minute in range(2):
        day.at(parse_utc("2026-11-20T20:30:00Z") + timedelta(minutes=minute), prices | {"SPX": 6006.0})
    day.at(parse_utc("2026-11-20T23:00:00Z"), {})
    found = {"orphan": "orphan_leg", "pin": "pin_risk", "unsettled": "expired_unsettled"}
    found["operator"] = "sweep_silent"  # the day jumps: prices come, and no sweep was there
    return {name: day.first(kind) for name, kind in found.items()}


def _stopped() -> dict[str, Alert]:
    """A kill, of which one position cannot be closed; a feed that falls silent, until nothing is held any more."""
    day = _Day(MORNING)
    short = _fill(1, "SELL", "5", "4.1", "6000", MORNING)
    day.world.app.recorder.record([short], "m-1")
    prices = {"SPX": 6010.0, "SPXW261120P06000000": 4.0}
    day.at(AT - timedelta(seconds=20), prices)
    request = {
        "request_id": "k-1",
        "scope": "account:demo",
        "action": "kill",
        "flatten": True,
        "actor": "trader",
        "reason": "VIX spike, get me out",
    }
    day.world.clock.set(AT)
    day.world.app.trading.set(validate(ControlRequest, request))
    day.world.run()
    for minute in range(1, 5):
        day.at(AT + timedelta(minutes=minute), prices)
    for minute in range(5, 9):
        day.at(AT + timedelta(minutes=minute), {})
    day.world.app.recorder.record([_fill(2, "BUY", "5", "3.9", "6000", day.world.clock.now())], "m-2")
    day.at(AT + timedelta(minutes=9), {})
    found = {
        "kill": "trading_state",
        "stuck": "closing_stuck",
        "feed": "feed_silent",
        "blind": "stale_prices",
    }
    return {name: day.first(kind) for name, kind in found.items()} | {"feed_ended": day.last("feed_silent")}


STORIES = {**_options(), **_stopped()}
