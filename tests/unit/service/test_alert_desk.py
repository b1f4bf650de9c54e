"""Alerts are taken in once, told as the rules say, and lost by nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stopline.model.account import Account
from stopline.model.errors import Rejected
from stopline.model.messages import SweepKind
from stopline.model.recipients import Recipients
from stopline.model.wire import validate
from stopline.ports import Path
from stopline.runtime.embedded import Embedded

NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)


def world(**alerting: Any) -> Embedded:
    embedded = Embedded(NOW, Recipients(email=("operator@example.com",)))
    facts = {
        "account": "demo",
        "owner": "ann",
        "currency": "USD",
        "capital": "100000",
        "recipients": {"sms": ["+14155550100"], "email": ["ann@example.com"]},
        "alerting": alerting,
    }
    embedded.app.account_writer.create(validate(Account, facts), "ann")
    embedded.run()
    return embedded


def raise_alert(embedded: Embedded, id_: str, severity: str = "critical", **changes: Any) -> None:
    usual = {
        "type": "stopline.alert.v1",
        "alert_id": id_,
        "account": "demo",
        "kind": "max_daily_loss",
        "object": "account",
        "severity": severity,
        "summary": "Loss of the day is 3.2%, limit 3%: breached",
        "raised_at": embedded.clock.now().isoformat(),
    }
    embedded.publish("alerts", usual | changes)


def sweep(embedded: Embedded, minutes: int = 1) -> None:
    for _ in range(minutes):
        embedded.clock.set(embedded.clock.now() + timedelta(seconds=60))
        embedded.sweep()
        embedded.run()


def sent(embedded: Embedded) -> list[tuple[str, str, str]]:
    return [(m.channel, m.address, m.alert.summary) for c in embedded.channels.values() for m in c.sent]


def state(embedded: Embedded, name: str = "demo") -> dict[str, Any]:
    document = embedded.store.get(Path("incidents", name))
    assert document is not None
    return document.data


def test_the_next_person_is_told_by_the_sweep() -> None:
    """R6.3, F24: after two minutes the partner, after five the operator."""
    one = world(people=[{"name": "bob", "recipients": {"sms": ["+14155550122"]}}], escalate_to=["bob"])
    raise_alert(one, "a1")
    one.run()
    assert [(c, a) for c, a, _ in sent(one)] == [("sms", "+14155550100"), ("email", "ann@example.com")]
    assert (state(one)["live"], state(one)["unacknowledged"]) == (1, 1)
    sweep(one, 2)
    assert sent(one)[1][:2] == ("sms", "+14155550122")
    assert "nobody has acknowledged it for 2 min" in sent(one)[1][2]
    sweep(one, 3)
    assert ("email", "operator@example.com") in [(c, a) for c, a, _ in sent(one)]


def test_an_acknowledgement_ends_the_escalation_and_is_on_record() -> None:
    """R6.3, R7.4"""
    one = world()
    raise_alert(one, "a1")
    one.run()
    taken = one.app.alert_desk.acknowledge("demo", "a1", "ann")
    assert [s.alert.kind for s in taken] == ["max_daily_loss"]
    assert one.app.alert_desk.acknowledge("demo", "a1", "ann") == ()
    count = len(sent(one))
    sweep(one, 20)
    assert len(sent(one)) == count
    rows = [r for r in one.history.rows["audit"] if r["event"] == "alerts_acknowledged"]
    assert [(r["actor"], r["scope"]) for r in rows] == [("ann", "account:demo")]


def test_what_is_not_told_is_on_record_too() -> None:
    """R7.4: each alert has a row, whatever became of it."""
    one = world()
    raise_alert(one, "a1")
    raise_alert(one, "a2")
    raise_alert(one, "a3", "warning", kind="max_drawdown")
    one.run()
    assert {r["alert_id"]: r["status"] for r in one.history.rows["alerts"]} == {
        "a1": "delivered",
        "a2": "repeated",
        "a3": "silenced",
    }


def test_an_id_that_was_used_for_another_alert_is_refused() -> None:
    """R0.3"""
    one = world()
    raise_alert(one, "a1")
    one.run()
    with pytest.raises(Rejected, match="ALERT_ID_REUSED"):
        one.app.alert_desk.receive(
            one.channels["sms"].sent[0].alert.model_copy(update={"kind": "other", "alert_id": "a1"})
        )


def test_alerts_of_no_account_have_a_life_too() -> None:
    """R6.2: the operator's."""
    one = world()
    raise_alert(one, "a1", account=None, kind="quarantine", object="fills BAD_MESSAGE")
    one.run()
    assert [a for _, a, _ in sent(one)] == ["operator@example.com"]
    assert state(one, "=40operator")["live"] == 1
    assert one.app.alert_desk.read(None).live()[0].alert.kind == "quarantine"


def test_the_evening_heartbeat_does_not_pile_up() -> None:
    """R6.2"""
    one = world()
    for _ in range(3):
        one.clock.set(one.clock.now() + timedelta(days=1))
        one.sweep(SweepKind.END_OF_DAY)
        one.run()
    assert len([m for m in sent(one) if "Stopline is running" in m[2]]) == 3
