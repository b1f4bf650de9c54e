"""Quarantine: kept once with its reason, told once a window, acknowledged only when it is safe."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Rejected
from stopline.model.messages import Severity
from stopline.ports import Unavailable
from stopline.service.documents.outbox import Unpublished
from stopline.service.fills.quarantine import ALERT_WINDOW_S, KEPT_BYTES, Refusal, printable

from .world import World

BAD = Rejected("BAD_JSON", "message is not JSON")


@pytest.fixture
def world() -> World:
    return World()


def kept(world: World) -> list[dict[str, object]]:
    return [d.data for d in world.shared.query("quarantine")]


def test_a_refused_message_is_kept_with_everything_that_is_needed_to_repair_it(world: World) -> None:
    """I3."""
    app, _ = world.instance()
    app.quarantine.keep("fills", "m-1", b"{oops", BAD, 3, {"broker": "kite"})
    [data] = kept(world)
    assert base64.b64decode(str(data["raw"])) == b"{oops"
    assert (data["reason"], data["detail"], data["item"]) == ("BAD_JSON", "message is not JSON", 3)
    assert json.loads(str(data["attributes"])) == {"broker": "kite"}
    assert (data["status"], data["source"], data["message_id"]) == ("open", "fills", "m-1")


def test_a_redelivery_is_kept_once(world: World) -> None:
    """F25, I3: conservation counts each refused message once."""
    for _ in range(3):
        world.instance()[0].quarantine.keep("fills", "m-1", b"x", BAD)
    assert len(kept(world)) == 1


def test_a_message_of_thousands_of_refused_items_is_kept_in_few_commits(world: World) -> None:
    """I3, I4: else its time is over before its end, at each delivery; what one kept and lost is there once."""
    app, store = world.instance()
    refusals = [Refusal(b"x", BAD, item) for item in range(1000)]
    store.faults = [None, store.applied_but_lost]
    with pytest.raises(Unavailable):
        app.quarantine.keep_all("fills", "m-1", refusals)
    assert len(kept(world)) == 200
    app, store = world.instance()
    app.quarantine.keep_all("fills", "m-1", refusals[50:])
    app.quarantine.keep_all("fills", "m-1", refusals)
    assert (len(kept(world)), len(world.bus.bodies("alerts"))) == (1000, 1)
    assert store.commits < 30


def test_other_items_messages_and_sources_are_kept_beside_it(world: World) -> None:
    app, _ = world.instance()
    for source, message, item in (
        ("fills", "m-1", 0),
        ("fills", "m-1", 1),
        ("fills", "m-2", 0),
        ("prices", "m-1", 0),
    ):
        app.quarantine.keep(source, message, b"x", BAD, item)
    assert sorted(document["source"] for document in kept(world)) == ["fills"] * 3 + ["prices"]


def test_people_are_told_once_a_window_and_reason(world: World) -> None:
    """F23: a feed gone mad sends thousands; each is kept, one alert goes out."""
    app, _ = world.instance()
    for number in range(20):
        app.quarantine.keep("fills", f"m-{number}", b"x", BAD)
    assert len({a["alert_id"] for a in world.bus.bodies("alerts")}) == 1
    app.quarantine.keep("fills", "m-x", b"x", Rejected("NOT_UTF8", "x"))
    world.wait(ALERT_WINDOW_S)
    app.quarantine.keep("fills", "m-y", b"x", BAD)
    assert len({a["alert_id"] for a in world.bus.bodies("alerts")}) == 3
    assert len(kept(world)) == 22


def test_the_alert_says_what_and_where_and_how_bad(world: World) -> None:
    """R6.2."""
    app, _ = world.instance()
    app.quarantine.keep(
        "fills", "m-1", b"x", Rejected("CONFLICTING_DUPLICATE", "x"), severity=Severity.CRITICAL
    )
    [alert] = world.bus.bodies("alerts")
    assert (alert["severity"], alert["object"], alert["account"]) == (
        "critical",
        "fills CONFLICTING_DUPLICATE",
        None,
    )
    assert "quarantine list" in alert["action"]


def test_a_message_is_acknowledged_only_when_it_is_kept_and_told(world: World) -> None:
    """F13, F17, I4."""
    app, store = world.instance()
    store.faults = [store.lost]
    with pytest.raises(Unavailable):
        app.quarantine.keep("fills", "m-1", b"x", BAD)
    assert kept(world) == []
    world.bus.down = True
    with pytest.raises(Unpublished):
        app.quarantine.keep("fills", "m-1", b"x", BAD)
    assert len(kept(world)) == 1
    world.bus.down = False
    world.instance()[0].quarantine.keep("fills", "m-1", b"x", BAD)
    assert len(world.bus.bodies("alerts")) == 1


def test_a_huge_message_is_kept_in_part_with_its_size(world: World) -> None:
    """B10, F50."""
    app, _ = world.instance()
    app.quarantine.keep(
        "fills", "m" * 5000, b"x" * 10**6, Rejected("TOO_LARGE", "y" * 5000), 0, {"a" * 999: "b" * 9999}
    )
    [data] = kept(world)
    assert len(base64.b64decode(str(data["raw"]))) == KEPT_BYTES
    assert data["bytes"] == 10**6
    assert len(json.dumps({k: str(v) for k, v in data.items()})) < 200_000


def test_a_hundred_huge_items_of_one_message_are_kept(world: World) -> None:
    """B10, I3: a commit above Firestore's size was tried again for ever, and nothing of the message was kept."""
    app, store = world.instance()
    attributes = {f"a{n}": "b" * 1000 for n in range(99)}
    app.quarantine.keep_all(
        "fills", "m-1", [Refusal(b"x" * 10**5, BAD, item) for item in range(100)], attributes
    )
    assert [len(base64.b64decode(str(one["raw"]))) for one in kept(world)] == [KEPT_BYTES] * 100
    assert store.commits < 20


@given(
    st.text(max_size=30), st.binary(max_size=30), st.dictionaries(st.text(max_size=5), st.text(max_size=5))
)
def test_whatever_was_refused_can_be_kept(detail: str, raw: bytes, attributes: dict[str, str]) -> None:
    """B08, B09, B68: the quarantine is the last place: it must take everything."""
    world = World()
    clean = {k: v for k, v in attributes.items() if _utf8(k) and _utf8(v)}
    world.instance()[0].quarantine.keep(
        "fills", "m-1", raw, Rejected("X", detail if _utf8(detail) else "?"), 0, clean
    )
    [alert] = world.bus.bodies("alerts")
    assert alert["summary"].isprintable()
    assert len(alert["summary"]) <= 500


def _utf8(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


@given(st.text())
def test_printable_text_is_on_one_line_and_says_what_it_hid(text: str) -> None:
    """B68."""
    shown = printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()
