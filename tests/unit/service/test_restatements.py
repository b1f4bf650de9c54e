"""A day that was over and has another P&L now: somebody was told the old figure, and hears of the new one."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.model.fill import Fill

from ..make import at, fill
from .world import World

DAY = 86_400


class Desk:
    def __init__(self) -> None:
        self.world = World()
        self.world.open_account()
        self.app, _ = self.world.instance()
        self.book(fill("E-1", "BUY", 10, 100, at(-2 * DAY)), fill("E-2", "SELL", 10, 110, at(-2 * DAY + 60)))
        self.world.bus.messages.clear()

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
    [alert] = desk.book(fill("B-1", "SELL", 0, 0, at(0), kind="BUST", ref="E-2"))
    assert alert["summary"] == (
        "P&L of past days has changed: 2026-11-16 was 100, is 0 USD (a bust B-1 of E-2)"
    )
    assert (alert["object"], alert["severity"]) == ("2026-11-16", "warning")


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


def test_what_one_message_brings_is_told_together_and_without_what_is_of_today(desk: Desk) -> None:
    late = [fill(f"L-{n}", "BUY", 1, 90, at(-2 * DAY - 60 - n)) for n in range(5)]
    today = fill("T-1", "BUY", 1, 90, at(-5), strategy="other")
    [alert] = desk.book(today, *late)
    assert alert["summary"].endswith("and 2 more)")
    assert "T-1" not in alert["summary"]


def test_today_is_not_over_and_nothing_is_told_of_it(desk: Desk) -> None:
    desk.book(fill("E-3", "BUY", 10, 100, at(-60)), fill("E-4", "SELL", 10, 90, at(-50)))
    assert desk.book(fill("B-4", "SELL", 0, 0, at(-40), kind="BUST", ref="E-4")) == []
