"""F22: every channel is down for half an hour. Nothing is dropped, it escalates, and the recovery is no storm."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from stopline.adapters.outbox_channel import RecordingChannel
from stopline.model.account import Account
from stopline.model.messages import Alert
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import validate
from stopline.ports import ChannelBusy, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.runtime.embedded import Embedded

NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)
KINDS = ("max_position_value", "max_symbol_exposure", "max_drawdown")
OUTAGE = 30  # minutes


class Down(RecordingChannel):
    """A channel that can be switched off."""

    down = False

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        if self.down:
            raise ChannelBusy("no answer")
        return super().send(address, alert, zone, around)


def world() -> tuple[Embedded, list[Down]]:
    embedded = Embedded(NOW, Recipients(email=("operator@example.com",)))
    channels = [Down(name) for name in embedded.channels]
    embedded.channels.update({channel.name: channel for channel in channels})
    facts = {
        "account": "ann",
        "owner": "ann",
        "currency": "USD",
        "capital": "100000",
        "time_zone": "America/New_York",
        "recipients": {"sms": ["+14155550100"], "email": ["ann@example.com"]},
    }
    embedded.app.account_writer.create(validate(Account, facts), "ann")
    embedded.run()
    return embedded, channels


def breach(n: int, at: datetime) -> dict[str, Any]:
    return {
        "type": "stopline.alert.v1",
        "alert_id": f"b{n}",
        "account": "ann",
        "kind": KINDS[n % 3],
        "object": f"S{n}",
        "severity": "warning" if n % 4 == 3 else "critical",
        "summary": f"Position value of S{n} is too much",
        "raised_at": at.isoformat(),
    }


def minute(one: Embedded) -> None:
    one.clock.set(one.clock.now() + timedelta(seconds=60))
    one.sweep()
    for _ in range(5):  # Pub/Sub comes again: five tries make a channel dead
        one.run()
        one.clock.set(one.clock.now() + timedelta(milliseconds=100))


def test_after_half_an_hour_without_a_channel_people_get_a_digest_and_nothing_is_lost() -> None:
    """F22: two breaches a minute; afterwards one message of a rule, address and minute at most."""
    one, channels = world()
    for channel in channels:
        channel.down = True
    for n in range(2 * OUTAGE):
        one.publish("alerts", breach(n, one.clock.now()))
        if n % 2:
            minute(one)
    assert not any(channel.sent for channel in channels)
    waiting = one.store.query("alerts")
    assert any(document.data["due_at"] is not None for document in waiting)
    recovered = one.clock.now()
    for channel in channels:
        channel.down = False
    when: list[tuple[str, str, str, int]] = []
    for number in range(20):
        before = {channel.name: len(channel.sent) for channel in channels}
        minute(one)
        for channel in channels:
            new = channel.sent[before[channel.name] :]
            when += [(channel.name, m.address, m.alert.kind, number) for m in new]
    records = [orjson.loads(document.data["state"]) for document in one.store.query("alerts")]
    told = {
        id_
        for record in records
        if any(d["status"] == "SENT" for d in record["deliveries"])
        for id_ in (record["covers"] or [record["alert"]["alert_id"]])
    }
    assert {f"b{n}" for n in range(2 * OUTAGE)} <= told
    assert any(record["stage"] > 0 for record in records)  # it escalated, to nobody
    storms = {key: count for key, count in Counter(when).items() if count > 1}
    assert storms == {}
    alerts, messages = 2 * OUTAGE, len(when)
    print(
        f"{alerts} alerts in {OUTAGE} min without a channel: {messages} messages on 3 channels in 20 min after"
    )
    assert messages < alerts
    assert one.clock.now() - recovered < timedelta(minutes=21)
