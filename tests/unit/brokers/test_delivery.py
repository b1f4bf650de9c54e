"""A broker's message from delivery to book: every dialect through the function of topic fills."""

from __future__ import annotations

import json

import pytest

from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import receive
from stopline.service.fills.quarantine import COLLECTION

from ..make import account
from ..service.world import World
from .test_fix import SHARE, text
from .test_ibkr import ORIGINAL, statement


@pytest.fixture
def world() -> World:
    world = World()
    world.open_account(account(brokers=["paper", "fix", "ibkr", "kite"]))
    return world


def deliver(world: World, data: bytes, message: str = "m-1", **attributes: str) -> None:
    app, _ = world.instance()
    receive(app, "fills", Envelope(data, message, {"account": "demo", **attributes}))


def reasons(world: World) -> list[str]:
    return [document.data["reason"] for document in world.shared.query(COLLECTION)]


def fix(**tags: str) -> bytes:
    return text("\x01").replace(b"20261120", b"20261118").split(b"10=")[0] + b"".join(
        f"{tag.removeprefix('t')}={value}\x01".encode() for tag, value in tags.items()
    )


def test_text_of_a_broker_is_booked_once(world: World) -> None:
    for number in range(3):
        deliver(world, fix(), f"m-{number}", broker="fix")
    book = world.book()
    assert book is not None
    assert reasons(world) == []
    assert [(p.key, p.quantity) for p in book.positions.values()] == [("default:SPY", -4)]


def share(exec_id: str, at: str, state: str = "F", **tags: str) -> bytes:
    return json.dumps({**SHARE, "17": exec_id, "60": at, "150": state} | tags).encode()


@pytest.mark.parametrize("state", ["H", "G"])
@pytest.mark.parametrize("told", [{}, {"75": "20261116"}])
def test_a_cancel_or_correction_on_a_later_day_finds_its_trade(
    world: World, state: str, told: dict[str, str]
) -> None:
    """Issue 4.2: ExecIDs are unique on a day only, and not every broker says of which day the trade was (75)."""
    other = {"37": "ORD8", "31": "500"}
    messages = [
        share("EX122", "20261113-15:00:00", **other),  # the same number on an earlier day, of another order
        share("EX122", "20261116-15:00:00"),
        share("EX122", "20261117-15:00:00", **other),
        share("EX7", "20261118-09:00:00", state, **{"32": "1", **told}),
    ]
    for number, message in enumerate([*messages, messages[3]]):
        deliver(world, message, f"m-{number}", broker="fix")
    book = world.book()
    assert book is not None
    assert reasons(world) == []
    assert not book.held
    [position] = book.positions.values()
    left = [-4, -4] if state == "H" else [-4, -1, -4]
    assert [lot.quantity for lot in position.lots] == left


def test_a_cancel_of_the_same_day_before_its_trade_waits_for_it(world: World) -> None:
    messages = [
        share("EX122", "20261117-15:00:00", **{"37": "ORD8"}),
        share("EX7", "20261118-10:00:00", "H"),
        share("EX122", "20261118-09:00:00"),
    ]
    for number, message in enumerate(messages):
        deliver(world, message, f"m-{number}", broker="fix")
    book = world.book()
    assert book is not None
    assert (book.net_quantity("SPY"), dict(book.held)) == (-4, {})


def test_xml_of_a_broker_is_booked(world: World) -> None:
    now = ORIGINAL.replace("20260717;12", "20261118;11")
    deliver(world, statement(now), broker="ibkr")
    assert reasons(world) == ["EXPIRED"]  # the option of the sample expired in August
    deliver(
        world,
        statement(now.replace("20260821", "20261218")),
        "m-2",
        broker="ibkr",
    )
    book = world.book()
    assert book is not None
    assert [p.quantity for p in book.positions.values()] == [2]


def test_a_state_of_an_order_leaves_no_trace(world: World) -> None:
    deliver(world, b"8=FIX.4.4|35=8|150=0|", broker="fix")
    assert (world.book(), reasons(world)) == (None, [])


def test_what_is_refused_is_kept_as_it_came(world: World) -> None:
    deliver(world, b"8=FIX.4.4|35=8|150=?|", broker="fix")
    deliver(world, b"<x", "m-2", broker="ibkr")
    deliver(
        world,
        json.dumps({"order_id": "1", "status": "COMPLETE", "filled_quantity": 1}).encode(),
        "m-3",
        broker="kite",
    )
    assert sorted(reasons(world)) == ["BAD_XML", "CUMULATIVE", "UNKNOWN_STATUS"]


def test_a_signed_postback_is_checked_with_the_secret_of_the_instance(world: World) -> None:
    app, _ = world.instance()
    app.ports.broker_secrets["kite"] = "s3cret"  # type: ignore[index]
    body = json.dumps({"order_id": "1", "status": "REJECTED", "order_timestamp": "t", "checksum": "0"})
    receive(app, "fills", Envelope(body.encode(), "m-1", {"broker": "kite"}))
    assert reasons(world) == ["BAD_CHECKSUM"]
