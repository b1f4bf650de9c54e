"""How closings read on a phone and in a mail: every alert about one, written down. `UPDATE_GOLDEN=1` writes anew."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stopline.ledger.book import Book
from stopline.model.closing import CloseRequest, ReductionRequest
from stopline.model.closing_state import Asked, Sent, SentLeg
from stopline.model.control import Closing, ClosingStatus
from stopline.model.messages import Alert
from stopline.model.settings.closing import ClosingSettings
from stopline.rules.alerting.texts import email_parts, sms_text
from stopline.rules.closing import alerts
from stopline.rules.reduction.alert import reduction_alert
from stopline.rules.reduction.plan import LegOrder, Measure, ReductionPlan, ReductionStep
from stopline.rules.trading.cancel_alerts import refused_by

from ..make import NOON, account, at, option, trade

GOLDEN = Path(__file__).parent / "golden"
ZONE = "America/New_York"
LATER = NOON + timedelta(seconds=7)
SHORT, LONG = option(6000), option(5990)
HALT = Closing(epoch=3, status=ClosingStatus.CLOSING, since=NOON)
BOOK = Book("demo").with_fills(
    [trade(1, -2, 10, instrument=SHORT)], account().sessions.session_of, lambda _p, _f: [], at(9)
)


COVERED = BOOK.with_fills(
    [trade(2, 2, 9, instrument=SHORT)], account().sessions.session_of, lambda _p, _f: [], at(10)
)


def asked(**more: Any) -> Asked:
    facts = {
        "request_id": "r-1",
        "account": "demo",
        "strategy": "condors",
        "trade_id": "4f1c0e7a9b",
        "urgency": "normal",
    }
    facts |= {"rule": "stop_loss", "reason": "price 3.1 reached 3", "cause": "c-1", "requested_at": NOON}
    return Asked(request=CloseRequest.model_validate({**facts, **more}), since=NOON)


def sent(filled: int, price: str, **more: Any) -> Sent:
    leg = SentLeg(
        key=f"default:{LONG.symbol}", instrument=LONG, side="SELL", quantity=Decimal(2), mark=Decimal(8),
        filled=Decimal(filled), worth=filled * Decimal(price), fills=1,
    )  # fmt: skip
    facts: dict[str, Any] = {
        "command_id": "c-9",
        "strategy": "default",
        "epoch": 3,
        "round": 3,
        "units": Decimal(2),
    }
    facts |= {"legs": (leg,), "order_type": "MARKET", "issued_at": NOON, "expires_at": NOON, **more}
    return Sent(**facts)


def plan(**more: Any) -> ReductionPlan:
    legs = (
        LegOrder("default", SHORT.symbol, "BUY", Decimal(6)),
        LegOrder("default", LONG.symbol, "SELL", Decimal(6)),
    )
    step = ReductionStep("4f1c0e7a9b", "default", Decimal(10), Decimal(4), legs, Decimal(6000), Decimal(120))
    numbers: tuple[Any, ...] = (
        Measure.MARGIN,
        Decimal(4500),
        Decimal(10_000),
        Decimal(4000),
        True,
        (step,),
        (),
    )
    return ReductionPlan(*numbers) if not more else ReductionPlan(**more)


def told() -> Iterator[Alert]:
    """Yield one alert of each builder in `rules/closing/alerts.py`, and of each of its forms."""
    yield alerts.flat("demo", "account:demo", HALT, HALT.since, "", LATER)
    yield alerts.flat("demo", "strategy:demo:condors", HALT, HALT.since, "", LATER)
    yield alerts.flat("demo", "underlying:demo:SPX", HALT, HALT.since, "", LATER)
    yield alerts.flat("demo", "account:demo", HALT, HALT.since, refused_by(["ibkr"], unread=False), LATER)
    why = "nothing is known by the name SPYY in account demo; held are SPY"
    yield alerts.nothing_held("demo", "underlying:demo:SPYY", 3, why, LATER)
    yield alerts.closed(asked(), LATER)
    yield alerts.closed(asked(leave="2"), LATER)
    yield alerts.refused(asked(), LATER)
    units = {f"default:{SHORT.symbol}": Decimal(2)}
    strategy = asked(trade_id=None, strategy="default", rule="max_loss", until_resume=True)
    yield from alerts.ended([strategy, strategy], BOOK, LATER)
    yield alerts.astray(asked(), units, "the broker's fills do not name the trade", LATER)[1]
    position = next(p for p in BOOK.open_positions() if p.instrument == SHORT)
    yield alerts.resting("demo", position, Decimal(100), Decimal(50), LATER)
    yield alerts.waiting(asked().model_copy(update={"waits": "the market is closed"}), LATER)
    yield alerts.halt_waiting("demo", "strategy:demo:condors", HALT, ["no price of SPY"], LATER)
    yield alerts.denied("demo", "account:demo", HALT, "SPY: the broker holds 3, we none", LATER)
    yield alerts.stuck("demo", [sent(0, "0")], {f"default:{LONG.symbol}": "no liquidity"}, 9, LATER)
    yield alerts.unstuck("demo", 9, LATER)
    yield from (alert for _, alert in alerts.overfilled("demo", [sent(4, "8")], LATER))
    yield from (
        alert for _, alert in alerts.legs_alone("demo", [sent(2, "8", legs=lone().legs)], BOOK, LATER)
    )
    alone = [f"alone:c-9:default:{SHORT.symbol}"]
    yield from (alert for _, alert in alerts.legs_covered("demo", alone, COVERED, LATER))
    slipped = alerts.large_slippage("demo", sent(2, "7.2"), ClosingSettings(), LATER)
    assert slipped is not None
    yield slipped
    facts = {"request_id": "q", "account": "demo", "name": "max_margin_use", "by": "margin", "target": "4500"}
    request = ReductionRequest.model_validate({**facts, "reason": "margin use 10%, limit 8%", "cause": "c"})
    yield reduction_alert(account(), request, plan(), LATER)
    missing = (("4f1c0e7a9b", "no price of SPY"),)
    yield reduction_alert(
        account(),
        request,
        ReductionPlan(Measure.MARGIN, Decimal(4500), None, None, False, (), missing),
        LATER,
    )


def lone() -> Sent:
    """A long leg that was sold while the short one is open; the book still knows its position."""
    found = sent(2, "8")
    leg = found.legs[0].model_copy(update={"key": next(iter(BOOK.positions))})
    return found.model_copy(update={"legs": (leg,)})


def test_every_builder_is_written_down() -> None:
    built = {
        name for name, f in inspect.getmembers(alerts, inspect.isfunction) if f.__module__ == alerts.__name__
    }
    source = inspect.getsource(told)
    assert {name for name in built if not name.startswith("_")} == {
        n for n in built if f"alerts.{n}(" in source
    }


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_the_texts_about_closings_read_as_their_golden_file(channel: str) -> None:
    """R6.1, R6.2: what is open, what Stopline does, and what a person is to do."""
    texts = []
    for alert in told():
        if channel == "sms":
            texts.append(sms_text(alert, ZONE))
        else:
            subject, text, _ = email_parts(alert, ZONE)
            texts.append(f"Subject: {subject}\n\n{text}")
    written = "\n\n----\n\n".join(text.rstrip() for text in texts) + "\n"
    file = GOLDEN / f"closings.{channel}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(written, "utf-8")
    assert written == file.read_text("utf-8")


def test_what_people_are_told_of_closings_fits_in_two_sms() -> None:
    for alert in told():
        assert len(sms_text(alert, ZONE)) <= 306, alert.kind
