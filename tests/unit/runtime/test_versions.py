"""Messages of another version at the handlers of this one (F47): what is not understood is kept, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.runtime.embedded import Embedded

from ..make import NOON, account, equity

FILL = {
    "type": "stopline.fill.v1",
    "fill_id": "F-1",
    "broker": "paper",
    "account": "demo",
    "instrument": equity("SPY").model_dump(mode="json", exclude_none=True),
    "side": "BUY",
    "quantity": "1",
    "price": "100",
    "fee": "0",
    "executed_at": NOON.isoformat(),
}
PRICES = {"type": "stopline.prices.v1", "as_of": NOON.isoformat(), "symbols": ["SPY"], "last": [100.0]}
SWEEP = {"type": "stopline.sweep.v1", "kind": "risk"}
ALERT = {
    "type": "stopline.alert.v1",
    "alert_id": "a-1",
    "account": "demo",
    "kind": "test",
    "object": "x",
    "severity": "warning",
    "summary": "y",
    "raised_at": NOON.isoformat(),
}
REQUEST = {
    "request_id": "k",
    "scope": "account:demo",
    "action": "kill",
    "actor": "ann",
    "reason": "x",
}
MESSAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "fill": ("fills", FILL),
    "fills": ("fills", {"type": "stopline.fills.v1", "fills": [FILL]}),
    "statement": ("fills", {"type": "stopline.statement.v1", "account": "demo", "broker": "paper"}),
    "report": (
        "fills",
        {"type": "stopline.report.v1", "command_id": "c", "account": "demo", "broker": "paper"},
    ),
    "prices": ("prices", PRICES),
    "sweep": ("sweeps", SWEEP),
    "control": ("sweeps", {"type": "stopline.control.v1", "request": REQUEST}),
    "alert": ("alerts", ALERT),
    "history": ("history", {"type": "stopline.history.v1", "rows": []}),
}


@pytest.fixture
def desk() -> Embedded:
    made = Embedded(NOON)
    made.app.account_writer.create(account(), "ann")
    made.run()
    return made


def counts(desk: Embedded) -> dict[str, int]:
    names = ("fills", "marks", "controls", "heartbeats", "incidents", "statements", "quarantine")
    return {name: len(desk.store.query(name)) for name in names}


@pytest.mark.parametrize("name", MESSAGES)
def test_another_major_version_is_quarantined_and_changes_nothing(desk: Embedded, name: str) -> None:
    """F47: neither guessed at nor retried for ever."""
    topic, body = MESSAGES[name]
    before = counts(desk)
    body = {**body, "type": body["type"].replace(".v1", ".v2")}
    attributes = {"account": "demo", "broker": "paper"} if topic == "fills" else {}
    desk.publish(topic, body, attributes)
    desk.run()
    after = counts(desk)
    told = {"incidents": after["incidents"]}  # the operator hears of it
    assert after == {**before, **told, "quarantine": before["quarantine"] + 1}
    assert not desk.bus.dead


def test_a_field_that_a_later_version_added_is_kept_of_a_fill(desk: Embedded) -> None:
    """F47, B13, docs/messages.md: brokers add fields as they like."""
    desk.publish("fills", {**FILL, "venue_of_tomorrow": "X"}, {"account": "demo", "broker": "paper"})
    desk.run()
    [fill] = desk.store.query("fills")
    assert "venue_of_tomorrow" in str(fill.data)


@pytest.mark.parametrize("name", ["prices", "sweep", "alert"])
def test_such_a_field_of_our_own_messages_is_refused(desk: Embedded, name: str) -> None:
    """F47, B12, docs/messages.md: deploy who reads before who writes."""
    topic, body = MESSAGES[name]
    desk.publish(topic, {**body, "of_tomorrow": 1})
    desk.run()
    assert counts(desk)["quarantine"] == 1
