"""A day that was over and has another P&L now: somebody was told the old figure, and hears of the new one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from stopline.ledger.amend import target_key
from stopline.model.fill import Fill
from stopline.ports import Path, Put
from stopline.service.fills.books import fill_create
from stopline.service.fills.outcome import Result

from ..make import NOON, at, fill
from .world import World

DAY = 86_400


class Desk:
    def __init__(self) -> None:
        self.world = World()
        self.world.open_account()
        self.app, _ = self.world.instance()
        self.world.clock.set(NOON - timedelta(days=2))
        self.book(fill("E-1", "BUY", 10, 100, at(-2 * DAY)), fill("E-2", "SELL", 10, 110, at(-2 * DAY + 60)))
        self.world.clock.set(NOON)

    def book(self, *fills: Fill) -> list[dict[str, Any]]:
        """Book fills twice, as a message that comes again; return what is told of it."""
        self.world.bus.messages.clear()
        for _ in range(2):
            outcomes = self.app.recorder.record(fills, f"m-{fills[0].fill_id}")
            assert all(outcome.refused is None for outcome in outcomes)
        return [body for body in self.world.bus.bodies("alerts") if body["kind"] == "day_restated"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_bust_of_a_past_day_tells_the_day_both_figures_and_the_cause_once(desk: Desk) -> None:
    """R8.6, domain 3.8: emit the restatement of the day."""
    bust = fill("B-1", "SELL", 0, 0, at(0), kind="BUST", ref="E-2")
    [alert] = desk.book(bust)
    assert alert["cause"] == bust.key
    assert alert["summary"] == (
        "P&L of past days has changed: 2026-11-16 was 100, is 0 USD (a bust B-1 of E-2)"
    )
    assert (alert["object"], alert["severity"]) == ("account", "warning")


@pytest.mark.parametrize(
    ("late", "told"),
    [
        (
            fill("C-1", "SELL", 10, 111, at(0), kind="CORRECT", ref="E-2"),
            "is 110 USD (a correction C-1 of E-2)",
        ),
        (fill("E-0", "BUY", 10, 90, at(-2 * DAY - 60)), "is 200 USD (a late fill E-0)"),
    ],
    ids=["correction", "late fill"],
)
def test_a_correction_and_a_late_fill_are_told_likewise(desk: Desk, late: Fill, told: str) -> None:
    [alert] = desk.book(late)
    assert told in alert["summary"]
    assert alert["severity"] == "warning"


def test_a_late_fee_is_news_and_no_warning_and_less_than_a_cent_is_neither(desk: Desk) -> None:
    def fee(id_: str, amount: str) -> Fill:
        return fill(id_, "SELL", 0, 0, at(-2 * DAY + 90), kind="FEE", ref="E-2", fee=amount)

    [alert] = desk.book(fee("F-1", "1.25"))
    assert "was 100, is 98.75 USD (a late fee F-1 of E-2)" in alert["summary"]
    assert alert["severity"] == "info"
    assert desk.book(fee("F-2", "0.004")) == []
    [alert] = desk.book(fee("F-3", "0.004"))
    assert "is 98.742 USD" in alert["summary"], "together they are nearly a cent"


def test_what_one_message_brings_is_told_together_and_without_what_is_of_today(desk: Desk) -> None:
    late = [fill(f"L-{n}", "BUY", 1, 90, at(-2 * DAY - 60 - n)) for n in range(5)]
    today = fill("T-1", "BUY", 1, 90, at(-5), strategy="other")
    [alert] = desk.book(today, *late)
    assert alert["summary"].endswith("and 2 more)")
    assert "T-1" not in alert["summary"]


def test_today_is_not_over_and_nothing_is_told_of_it(desk: Desk) -> None:
    desk.book(fill("E-3", "BUY", 10, 100, at(-60)), fill("E-4", "SELL", 10, 90, at(-50)))
    assert desk.book(fill("B-4", "SELL", 0, 0, at(-40), kind="BUST", ref="E-4")) == []


def numbered(id_: str, side: str, price: int, seconds: float, **more: Any) -> Fill:
    """Return a fill as FIX tells it: numbers begin anew each day."""
    return fill(id_, side, 10, price, at(seconds), order_id="O", **more)


def with_yesterday() -> Desk:
    """Yesterday bought at 100 and sold at 110, the sale being number 1 of order O."""
    desk = Desk()
    desk.world.clock.set(NOON - timedelta(days=1) + timedelta(minutes=2))
    desk.book(
        fill("SPY:20261117:2", "BUY", 10, 100, at(-DAY)), numbered("SPY:20261117:1", "SELL", 110, 60 - DAY)
    )
    desk.world.clock.set(NOON)
    return desk


BUST = numbered("SPY:20261118:9", "SELL", 0, -60, kind="BUST", ref="SPY:20261118:1", ref_day="assumed")


def test_a_fill_of_today_that_takes_a_bust_back_is_booked_and_told() -> None:
    """R8.6, domain 3.7: the bust said no day and may mean either; yesterday is as it was, by no late fill."""
    desk = with_yesterday()
    [alert] = desk.book(BUST)
    assert "2026-11-17 was 100, is 0 USD" in alert["summary"]
    [alert] = desk.book(numbered("SPY:20261118:1", "SELL", 120, -120))
    assert "2026-11-17 was 0, is 100 USD" in alert["summary"]
    assert "since fill SPY:20261118:1" in alert["summary"]


def test_any_fill_is_booked_with_the_amendment_that_an_older_version_left_beside_its_fill() -> None:
    """R8.6: the next commit applies it, whatever that is about."""
    desk = with_yesterday()
    document = desk.world.document("books", "demo")
    assert document is not None
    state = orjson.loads(document["state"])
    state["held"] = [[target_key(BUST), [BUST.model_dump(mode="json")]]]
    state["fills"] += 1
    left = {**document, "state": orjson.dumps(state).decode(), "fills": state["fills"]}
    desk.world.shared.commit([Put(Path("books", "demo"), left), fill_create(BUST, "m-old", NOON)])
    desk.world.bus.messages.clear()
    app, _ = desk.world.instance()
    [outcome] = app.recorder.record([fill("Q-1", "BUY", 1, 90, at(-5), strategy="other")], "m-new")
    assert outcome.result is Result.APPLIED
    [alert] = [body for body in desk.world.bus.bodies("alerts") if body["kind"] == "day_restated"]
    assert "2026-11-17 was 100, is 0 USD" in alert["summary"]


def test_days_that_were_over_before_the_first_fill_was_booked_are_news_to_nobody() -> None:
    """A first import: thirty fills of the past month, one a message."""
    desk = Desk.__new__(Desk)
    desk.world = World()
    desk.world.open_account()
    desk.app, _ = desk.world.instance()
    for n in range(30):
        side, price = ("BUY", 100) if n % 2 == 0 else ("SELL", 90)
        assert desk.book(fill(f"I-{n}", side, 10, price, at((n - 31) * DAY))) == []
    desk.world.clock.set(NOON + timedelta(days=1))
    desk.app, _ = desk.world.instance()  # the book's document says since when
    assert desk.book(fill("B-1", "SELL", 0, 0, at(DAY), kind="BUST", ref="I-29")) == []
    assert desk.book(fill("I-30", "SELL", 1, 80, at(-9)), fill("I-31", "BUY", 1, 70, at(-8)))
