"""Options on their way out of a book: the sweep tells, a person may settle, nothing settles by itself."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stopline.brokers import read
from stopline.cli.main import main
from stopline.model.calendars import calendar
from stopline.model.errors import Rejected
from stopline.model.messages import Sweep, SweepKind
from stopline.model.prices import PriceBatch, Quote
from stopline.runtime.app import App

from ..make import at, fill, option
from .world import World

CLOSE = calendar("XNYS").close_of(date(2026, 11, 18))
SHORT, LONG = option(6000), option(5990)


def opened(world: World) -> App:
    """Return an instance with a put spread that expires today."""
    world.open_account()
    app, _ = world.instance()
    app.recorder.record(
        [
            fill("E-1", "SELL", 2, "3", at(-60), SHORT, group_id="G"),
            fill("E-2", "BUY", 2, "2", at(-60), LONG, group_id="G"),
        ],
        "m-1",
    )
    return app


def swept(app: App, world: World, moment: datetime) -> list[dict[str, Any]]:
    """Run a sweep at a moment; return the lifecycle alerts that it published."""
    world.clock.set(moment)
    told = {
        alert["alert_id"] for alert in world.bus.bodies("alerts")
    }  # what was not delivered goes out again
    app.sweeper.run(Sweep(kind=SweepKind.RISK), moment, f"s-{moment}")
    kinds = {"pin_risk", "orphan_leg", "expired_unsettled"}
    alerts = world.bus.bodies("alerts")
    return [alert for alert in alerts if alert["kind"] in kinds and alert["alert_id"] not in told]


def booked_from_bus(app: App, world: World) -> None:
    """Deliver what was published to `fills`."""
    for number, message in enumerate(m for m in world.bus.messages if m.topic == "fills"):
        items = read(message.data, message.attributes)
        app.recorder.record([item.fill for item in items if item.fill], f"f-{number}")


def test_the_sweep_tells_once_what_is_expired_and_once_when_it_is_settled() -> None:
    """Issue 4.5: without a settlement price nothing settles and someone is told."""
    world = World()
    app = opened(world)
    assert swept(app, world, CLOSE + timedelta(minutes=29)) == []
    [alert] = swept(app, world, CLOSE + timedelta(minutes=30))
    assert (alert["kind"], alert["resolved"]) == ("expired_unsettled", False)
    assert swept(app, world, CLOSE + timedelta(minutes=31)) == []
    book = world.book()
    assert book is not None
    assert len(book.open_positions()) == 2
    app.settler.settle("demo", "SPXW", date(2026, 11, 18), Decimal("5996.4"), None, "ann", "Cboe")
    booked_from_bus(app, world)
    [over] = swept(app, world, CLOSE + timedelta(minutes=32))
    assert (over["kind"], over["resolved"]) == ("expired_unsettled", True)
    book = world.book()
    assert book is not None
    assert book.open_positions() == []
    assert book.total("USD").realised == -520


def test_another_instance_does_not_tell_again() -> None:
    """The risk document remembers."""
    world = World()
    app = opened(world)
    assert len(swept(app, world, CLOSE + timedelta(minutes=30))) == 1
    other, _ = world.instance()
    assert swept(other, world, CLOSE + timedelta(minutes=31)) == []


def test_pin_risk_is_seen_at_the_marks_of_the_underlying() -> None:
    """Issue 4.5: and the expected assignment stands in the status."""
    world = World()
    app = opened(world)
    late = CLOSE - timedelta(minutes=10)
    world.clock.set(late)
    app.marker.mark(PriceBatch("feed", late, {"SPXW": Quote(5995.0)}, ()))
    alerts = [a for a in world.bus.bodies("alerts") if a["kind"] == "pin_risk"]
    assert [alert["figure"]["current"] for alert in alerts] == ["0.0834"]
    state = app.risk_states.read("demo")
    assert state is not None
    assert state.shown["assignment"] == {
        "exposure": {"USD": "1000"},
        "positions": [
            {
                "position": f"default:{SHORT.symbol}",
                "expected": True,
                "units": "0",
                "money": "-1000",
                "settlement": "cash",
                "decided_at": "2026-11-18T21:00:00Z",
                "early": False,
                "dividend_risk": False,
            }
        ],
    }


def test_a_settlement_that_was_taken_back_is_made_again_and_one_after_a_late_fill_settles_the_rest() -> None:
    """Issue 4: a wrong price is busted and settled right, as often as it takes; the same command again is a duplicate."""
    world = World()
    app = opened(world)
    world.clock.set(CLOSE)

    def settle(price: str) -> list[str]:
        told = app.settler.settle("demo", "SPXW", date(2026, 11, 18), Decimal(price), None, "ann", "Cboe")
        return [id_ for _, id_ in told]

    def realised() -> Decimal:
        booked_from_bus(app, world)
        book = world.book()
        assert book is not None
        assert book.open_positions() == []
        return book.total("USD").realised

    def bust(ids: list[str]) -> None:
        for id_, (side, contract) in zip(ids, [("BUY", SHORT), ("SELL", LONG)], strict=True):
            app.recorder.record(
                [fill(f"B-{id_}", side, 2, "0", CLOSE, contract, kind="BUST", ref=id_)], f"b-{id_}"
            )

    wrong = settle("5900")
    assert settle("5900") == wrong
    assert realised() == -1800
    for _ in range(2):  # the second one was busted by mistake
        bust(wrong)
        wrong = settle("5996.4")
        assert realised() == -520
    app.recorder.record([fill("E-3", "SELL", 1, "3", at(-30), SHORT)], "m-3")
    assert len(settle("5996.4")) == 1
    assert realised() == -580


def test_a_settlement_is_on_record_with_who_gave_the_price() -> None:
    """R8.5."""
    world = World()
    app = opened(world)
    world.clock.set(CLOSE)
    world.bus.messages.clear()
    app.settler.settle("demo", "SPXW", date(2026, 11, 18), Decimal("5996.4"), None, "ann", "Cboe page")
    rows = [row for body in world.bus.bodies("history") for row in body["rows"]]
    [row] = [row for row in rows if row["row"]["event"] == "options_settled"]
    assert (row["table"], row["row"]["event"], row["row"]["actor"], row["row"]["reason"]) == (
        "audit",
        "options_settled",
        "ann",
        "Cboe page",
    )
    assert '"price":"5996.4"' in row["row"]["detail"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"broker": "other"}, "UNKNOWN_BROKER"),
        ({"reason": " "}, "NO_REASON"),
        ({"root": "NDXP"}, "NOTHING_TO_SETTLE"),
    ],
)
def test_a_settlement_that_cannot_be_is_refused(more: dict[str, str], reason: str) -> None:
    world = World()
    app = opened(world)
    world.clock.set(CLOSE)
    facts: dict[str, Any] = {"root": "SPXW", "broker": None, "reason": "Cboe", **more}
    with pytest.raises(Rejected) as refused:
        app.settler.settle("demo", expiry=date(2026, 11, 18), price=Decimal(5990), actor="ann", **facts)
    assert refused.value.reason == reason
    assert not [m for m in world.bus.messages if m.topic == "fills"]


def command(app: App, *args: str) -> Result:
    return CliRunner().invoke(main, ["settle", *args], obj=lambda: app)


def test_a_person_settles_from_the_command_line() -> None:
    world = World()
    app = opened(world)
    world.clock.set(CLOSE)
    terms = ["--root", "SPXW", "--expiry", "2026-11-18", "--reason", "Cboe"]
    done = command(app, "demo", *terms, "--price", "5996.40")
    assert done.exit_code == 0, done.stderr
    fills = [fill for body in world.bus.bodies("fills") for fill in body["fills"]]
    *each, said = done.stdout.splitlines()
    assert each == [f"{one['instrument']['symbol']} {one['fill_id']}" for one in fills]
    assert said.startswith(
        "published 2 at 5996.4: `stopline accounts show demo` holds none of them when they are booked"
    )
    for price in ("x", "0"):
        refused = command(app, "demo", *terms, "--price", price)
        assert refused.exit_code == 2
        assert refused.stderr.count("\n") == 1
