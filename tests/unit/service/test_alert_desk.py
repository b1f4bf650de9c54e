"""Alerts are taken in once, told as the rules say, and lost by nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.errors import Rejected
from stopline.model.messages import Severity, SweepKind
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import validate
from stopline.ports import ChannelRefused, Path, Receipt
from stopline.rules.alerting.delivery import mark
from stopline.runtime.embedded import Embedded
from stopline.service.alerting.records import decode_record
from stopline.service.fills.redrive import Redriver

from ..make import trade

NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)


def world(**alerting: Any) -> Embedded:
    embedded = Embedded(NOW, Recipients(email=("operator@example.com",)))
    facts = {
        "account": "demo",
        "owner": "ann",
        "currency": "USD",
        "capital": "100000",
        "recipients": {"sms": ["+14155550100"], "email": ["ann@example.com"]},
        "alerting": {"keep_firing_s": 0, **alerting},
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


def test_the_others_who_were_called_hear_who_has_it() -> None:
    """R6.3: bob, who got an SMS, and the second number of the account; the one who took it is told nothing."""
    one = world(people=[{"name": "bob", "recipients": {"sms": ["+14155550122"]}}], escalate_to=["bob"])
    both = Recipients(sms=("+14155550100", "+14155550111"), email=("ann@example.com",))
    one.app.account_writer.change("demo", lambda a: a.model_copy(update={"recipients": both}), "ann")
    raise_alert(one, "a1")
    one.run()
    sweep(one, 2)
    before = len(sent(one))
    one.app.alert_desk.acknowledge(
        "demo", "a1", "link:x", shown="sms ...0100", leave_out=mark("sms", "+14155550100")
    )
    one.run()
    assert [(m.channel, m.address) for m in one.channels["sms"].sent[-2:]] == [
        ("sms", "+14155550111"),
        ("sms", "+14155550122"),
    ]
    assert len(sent(one)) == before + 2  # one mailbox: its reader is the one who took it, or reads the SMS
    assert "sms ...0100 has it: Loss of the day" in one.channels["sms"].sent[-1].alert.summary


BOB = {"people": [{"name": "bob", "recipients": {"sms": ["+14155550122"]}}], "escalate_to": ["bob"]}


def ids_read(embedded: Embedded, kind: str = "") -> list[str]:
    """Return the short ids of the messages that people read last, by any channel."""
    found = [m for c in embedded.channels.values() for m in c.sent if not kind or m.alert.kind == kind]
    return [f"#{m.alert.alert_id[:8]}" for m in found]


def test_the_id_of_an_escalation_is_acknowledged_as_bob_reads_it() -> None:
    """R6.3: with its `#`, with spaces around it, and never by the name of another account."""
    one = world(**BOB)
    raise_alert(one, "a1")
    one.run()
    sweep(one, 2)
    (to_bob,) = (m for m in one.channels["sms"].sent if m.address == "+14155550122")
    id_ = f"#{to_bob.alert.alert_id[:8]}"
    assert id_ in to_bob.text
    desk = one.app.alert_desk
    assert desk.acknowledge(None, id_, "bob") == ()
    for nothing in ("#", " ", " # ", "#ffffffff"):  # none of these means everything
        assert (desk.acknowledge("demo", nothing, "bob"), desk.named("demo", nothing)) == ((), ())
    assert [s.alert.alert_id for s in desk.named("demo", id_)] == ["a1"]
    assert [s.alert.alert_id for s in desk.acknowledge("demo", f" {id_} ", "bob")] == ["a1"]
    assert desk.acknowledge("demo", id_, "bob") == ()
    assert [s.acknowledged_by for s in desk.named("demo", id_)] == ["bob"]


@pytest.mark.parametrize("reference", ["x" * 129, "a\ud800bc", "abc", "#abc"])
def test_what_cannot_be_an_id_is_not_looked_up(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R6.3: a store refuses a key that is too long or no text."""
    one = world()
    raise_alert(one, "a1")
    one.run()
    asked: list[object] = []
    monkeypatch.setattr(one.store, "query", lambda *args, **_: asked.append(args) or [])
    assert one.app.alert_desk.acknowledge("demo", reference, "bob") == ()
    assert asked == []


def test_the_id_of_a_digest_takes_all_that_it_told() -> None:
    """R6.3: of several incidents too; what began later in an incident of its own stays."""
    one = world(per_minute=1, quiet={"start": "09:00", "end": "10:30"})
    raise_alert(one, "w1", "warning", kind="max_exposure")
    one.run()
    sweep(one, 15)  # another incident
    raise_alert(one, "w2", "warning", kind="max_drawdown")
    one.run()
    sweep(one, 15)
    assert {s.incident for s in one.app.alert_desk.read("demo").live()} != {""}
    assert len({s.incident for s in one.app.alert_desk.read("demo").live()}) == 2
    (id_,) = ids_read(one, "digest")
    sweep(one, 15)
    raise_alert(one, "w3", "warning", kind="stale_prices")
    one.run()
    taken = one.app.alert_desk.acknowledge("demo", id_, "ann")
    assert sorted(s.alert.alert_id for s in taken) == ["w1", "w2"]


def test_the_id_of_an_hourly_repetition_and_of_a_late_ring_are_acknowledged() -> None:
    """R6.3"""
    one = world(escalate_after_s=[])
    raise_alert(one, "a1")
    one.run()
    sweep(one, 61)
    assert one.channels["sms"].sent[-1].alert.alert_id != "a1"
    assert len(one.app.alert_desk.acknowledge("demo", ids_read(one)[0], "ann")) == 1
    two = world(escalate_after_s=[])
    raise_alert(two, "a1")
    raise_alert(two, "a2", kind="max_exposure")
    two.run()
    sweep(two, 6)
    ring = two.channels["sms"].sent[-1].alert.alert_id
    assert ring not in ("a1", "a2")
    assert len(two.app.alert_desk.acknowledge("demo", ring[:8], "ann")) == 2


def test_an_id_older_than_the_last_alerts_of_its_condition_is_acknowledged() -> None:
    """R6.3: eleven moves later the first message is still on the phone."""
    one = world()
    for number in range(12):
        figure = {"current": str(3 + number), "limit": "3", "unit": "%"}
        raise_alert(one, f"move-{number}-of-it", figure=figure)
        one.run()
        sweep(one, 6)
    assert "move-0-of-it" not in one.app.alert_desk.read("demo").live()[0].seen
    assert len(one.app.alert_desk.acknowledge("demo", "#move-0-o", "ann")) == 1


def test_an_old_message_does_not_take_a_later_onset() -> None:
    """R6.3: bob's message of this morning names what is over; what begins anew is nobody's."""
    one = world(**BOB)
    raise_alert(one, "a1")
    one.run()
    sweep(one, 2)
    id_ = next(m.alert.alert_id for m in one.channels["sms"].sent if m.address == "+14155550122")[:8]
    raise_alert(one, "a2", "info", resolved=True)
    one.run()
    sweep(one, 60)
    raise_alert(one, "a3")
    one.run()
    assert one.app.alert_desk.acknowledge("demo", id_, "bob") == ()


def test_the_link_of_a_merged_escalation_takes_both() -> None:
    """R6.3: two criticals of two incidents in one message."""
    one = world(**BOB)
    raise_alert(one, "w1", "warning", kind="max_margin_use")
    one.run()
    sweep(one, 15)
    raise_alert(one, "c1")
    raise_alert(one, "c2", kind="max_margin_use")
    one.run()
    sweep(one, 2)
    (to_bob,) = (m for m in one.channels["sms"].sent if m.address == "+14155550122")
    record = one.app.alert_desk.delivered(to_bob.alert.alert_id)
    taken = one.app.alert_desk.acknowledge("demo", record.incident, "link", message=record)
    assert sorted(s.alert.alert_id for s in taken) == ["c1", "c2"]


def test_who_stops_the_account_by_hand_has_taken_what_stands() -> None:
    """R6.3: the kill is told to all, and nobody is called for it or for the breach behind it."""
    one = world()
    raise_alert(one, "a1")
    one.run()
    sweep(one, 2)
    kill = {"request_id": "k1", "scope": "account:demo", "action": "kill", "actor": "ann", "reason": "out"}
    one.app.trading.set(validate(ControlRequest, kill))
    one.run()
    operator = one.channels["email"].sent[-1]
    assert (operator.address, operator.alert.summary[:11]) == ("operator@example.com", "ann has it:")
    states = {
        s.alert.kind: (s.state.value, s.acknowledged_by) for s in one.app.alert_desk.read("demo").live()
    }
    assert states == {
        "max_daily_loss": ("acknowledged", "ann"),
        "trading_state": ("acknowledged", "ann"),
    }
    sweep(one, 20)
    assert len([m for m in sent(one) if "nobody has acknowledged" in m[2]]) == 1
    raise_alert(one, "a2", kind="closing_stuck", object="AAPL")
    one.run()
    sweep(one, 2)
    assert (
        len([m for m in sent(one) if "nobody has acknowledged" in m[2]]) == 2
    )  # what comes later is called out


def test_a_breaker_that_stops_the_account_has_taken_nothing() -> None:
    """R6.3: a machine reads no messages."""
    one = world()
    kill = {
        "request_id": "k1",
        "scope": "account:demo",
        "action": "kill",
        "actor": "breaker:x",
        "reason": "out",
    }
    one.app.trading.set(validate(ControlRequest, kill))
    one.run()
    sweep(one, 2)
    assert [m for m in sent(one) if "nobody has acknowledged" in m[2]]


def test_an_account_without_a_phone_hears_nothing_twice() -> None:
    """R6.1: a late ring is for phones; without one it is not a second mail."""
    one = world(escalate_after_s=[])
    mail = Recipients(email=("ann@example.com",))
    one.app.account_writer.change("demo", lambda a: a.model_copy(update={"recipients": mail}), "ann")
    raise_alert(one, "a1")
    raise_alert(one, "a2", kind="max_drawdown")
    one.run()
    sweep(one, 20)
    assert [m.alert.kind for m in one.channels["email"].sent] == ["max_daily_loss", "max_drawdown"]


def test_a_phone_that_is_all_there_is_hears_what_needs_no_ring() -> None:
    """R6.1: without another address the update comes as an SMS."""
    one = world(escalate_after_s=[])
    phone = Recipients(sms=("+14155550100",))
    one.app.account_writer.change("demo", lambda a: a.model_copy(update={"recipients": phone}), "ann")
    raise_alert(one, "a1")
    raise_alert(one, "a2", kind="max_drawdown")
    one.run()
    assert [m.alert.kind for m in one.channels["sms"].sent] == ["max_daily_loss", "max_drawdown"]


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


def test_a_breach_tells_how_its_number_rose() -> None:
    """R6.1: a loss that grows for five minutes; the alert has the readings from half of the limit on."""
    one = world()
    one.app.recorder.record([trade(1, 1000, 100, executed_at=NOW)], "m-1")
    for minute, price in enumerate((98.6, 98.4, 98.2, 97.8, 97.4, 96.9)):
        one.clock.set(NOW + timedelta(minutes=minute))
        batch = {"as_of": one.clock.now().isoformat(), "symbols": ["SPY"], "last": [price]}
        one.publish("prices", {"type": "stopline.prices.v1", **batch})
        one.run()
    [told] = [m.alert for m in one.channels["email"].sent if m.alert.kind == "max_daily_loss"]
    assert [str(point.current.normalize()) for point in told.trend] == ["1.6", "1.8", "2.2", "2.6", "3.1"]


def refuse(one: Embedded, number: int) -> str:
    """Have a fill refused as critical, and return the id that it has in quarantine."""
    why = Rejected("CONFLICTING_DUPLICATE", f"fill {number} came with another content")
    one.app.quarantine.keep("fills", f"m{number}", b"{}", why, severity=Severity.CRITICAL)
    one.run()
    return one.store.query("quarantine", order_by=["kept_at"])[-1].path.id


def test_each_refused_fill_is_an_alert_and_its_redrive_ends_it() -> None:
    """R2.12, I3: two in one minute are two; who brings one back is called for the other alone."""
    one = world()
    first = refuse(one, 1)
    sweep(one)
    refuse(one, 2)
    assert [text for _, _, text in sent(one)] == [
        f"A message on fills was refused and kept: fill {n} came with another content" for n in (1, 2)
    ]
    redriver = Redriver(one.store, one.app.ports.bus, one.app.relay, one.clock)
    redriver.settle_quarantined(first, b"{}", "ann", "the broker says so")
    one.run()
    assert "ann has dropped the message on fills: fill 1" in sent(one)[-1][2]
    [left] = one.app.alert_desk.read(None).live()
    assert "fill 2" in left.alert.summary
    sweep(one, 2)
    assert "fill 2 came with another content (nobody has acknowledged it" in sent(one)[-1][2]


def switched_off(one: Embedded) -> list[Callable[..., Receipt]]:
    """Let every channel fail, and return their ways to send."""
    usual = [channel.send for channel in one.channels.values()]

    def down(*_: Any) -> Receipt:
        raise ChannelRefused("down")

    for channel in one.channels.values():
        channel.send = down  # type: ignore[method-assign]
    return usual


@pytest.mark.parametrize(
    ("ending", "words"), [("resolved", "over by now"), ("taken", "ann has it by now"), ("stands", "")]
)
@pytest.mark.parametrize("alerts", [1, 2])
def test_after_an_outage_what_is_over_or_taken_rings_nobody(ending: str, words: str, alerts: int) -> None:
    """F22: it is told, as what it has become; what still stands and nobody has is as critical as it was."""
    one = world(escalate_after_s=[])
    usual = switched_off(one)
    for n in range(alerts):
        raise_alert(one, f"a{n}", object=f"S{n}")
    one.run()
    sweep(one)
    if ending == "taken":
        one.app.alert_desk.acknowledge("demo", "", "ann")
    for n in range(alerts if ending == "resolved" else 0):
        raise_alert(one, f"r{n}", "warning", object=f"S{n}", resolved=True, summary="clear")
    one.run()
    for channel, send in zip(one.channels.values(), usual, strict=True):
        channel.send = send  # type: ignore[method-assign]
    sweep(one, 12)
    told = [m for c in one.channels.values() for m in c.sent if m.address != "operator@example.com"]
    severities = {m.alert.severity.value for m in told if m.alert.kind != "acknowledged"}
    assert ("critical" in severities) is (ending == "stands")
    lines = [line for d in one.store.query("alerts") for line in decode_record(d).lines]
    assert any(words in line for line in lines) is (ending != "stands" or alerts > 1)
    assert any(m.channel == "email" for m in told)
