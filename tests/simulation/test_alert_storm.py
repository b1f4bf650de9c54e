"""Thousands of breaches in a minute: people hear of every critical one, in a number of messages that they can read.

`make test` sends 2,000, which is each condition twice; `STOPLINE_BREACHES=10000` as many as are promised.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from stopline.adapters.outbox_channel import RecordingChannel
from stopline.model.account import Account
from stopline.model.messages import Alert
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import validate
from stopline.ports import ChannelBusy, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.runtime.embedded import Embedded

BREACHES = int(os.environ.get("STOPLINE_BREACHES", "2000"))
NOW = datetime(2026, 11, 20, 15, 2, tzinfo=UTC)
ACCOUNTS = ("ann", "bob", "cay", "dan")
KINDS = ("max_position_value", "max_symbol_exposure")


def world() -> Embedded:
    embedded = Embedded(NOW, Recipients(email=("operator@example.com",)))
    for name in ACCOUNTS:
        facts = {
            "account": name,
            "owner": "ann",
            "currency": "USD",
            "capital": "100000",
            "recipients": {"email": [f"{name}@example.com"]},
        }
        embedded.app.account_writer.create(validate(Account, facts), "ann")
    return embedded


class Doubtful(RecordingChannel):
    """A mail server of which every 10th answer is lost after it took the mail."""

    lost = 0

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        receipt = super().send(address, alert, zone, around)
        if len(self.sent) % 10 == 0:
            self.lost += 1
            raise ChannelBusy("no answer: it may have been sent")
        return receipt


def breach(n: int, at: datetime) -> dict[str, Any]:
    if n % 50 == 49:
        return news(n, at)
    return {
        "type": "stopline.alert.v1",
        "alert_id": f"b{n}",
        "account": ACCOUNTS[n % 4],
        "kind": KINDS[n // 4 % 2],
        "object": f"S{n // 8 % 120}",
        "severity": "critical" if n // 8 % 3 else "warning",
        "summary": f"Position value of S{n // 8 % 120} is too much",
        "raised_at": at.isoformat(),
    }


def news(n: int, at: datetime) -> dict[str, Any]:
    return {
        "type": "stopline.alert.v1",
        "alert_id": f"b{n}",
        "account": ACCOUNTS[n // 50 % 4],
        "kind": "closed",
        "object": f"S{n // 50 % 120}",
        "severity": "info",
        "summary": f"S{n // 50 % 120} is closed",
        "raised_at": at.isoformat(),
    }


@pytest.mark.slow
@pytest.mark.timeout(0)  # its work is bounded by the number of breaches, whatever else the machine does
def test_every_critical_breach_is_told_and_the_messages_are_bounded() -> None:
    """F23: five of a kind in a minute, then one digest; critical ones are named or counted; news in between crowds out none;
    no message twice but one for each answer that was lost.
    """
    one = world()
    mail = Doubtful("email")
    one.channels["email"] = mail
    critical = set()
    for n in range(BREACHES):
        body = breach(n, one.clock.now())
        if body["severity"] == "critical":
            critical.add((body["account"], body["kind"], body["object"]))
        one.publish("alerts", body)
        if (n + 1) % (BREACHES // 20) == 0:
            one.clock.set(one.clock.now() + timedelta(seconds=3))
            one.run()
    assert one.clock.now() - NOW == timedelta(seconds=60)
    for _ in range(2):
        one.clock.set(one.clock.now() + timedelta(seconds=60))
        one.sweep()
        one.run()
    assert not one.bus.dead
    mails = mail.sent
    twice = sum(n - 1 for n in Counter((m.alert.alert_id, m.address) for m in mails).values())
    assert mail.lost
    assert twice <= mail.lost
    assert len(mails) - twice == len({m.alert.alert_id for m in mails})

    named, counted = set(), 0
    minutes: Counter[tuple[str, str, int]] = Counter()
    for document in one.store.query("alerts"):
        record = orjson.loads(document.data["state"])
        counted += record["more"]
        named |= {breach_key(id_) for id_ in record["covers"]}
        if record["stage"] == 0:
            at = datetime.fromisoformat(record["decided_at"])
            minutes[
                document.data["account"], document.data["kind"], int((at - NOW).total_seconds() // 60)
            ] += 1
    missing = len(critical - named)
    print(
        f"{BREACHES} breaches, {len(critical)} critical conditions: {len(critical) - missing} named, {counted} only "
        f"counted; {len(mails)} mails to {len(ACCOUNTS)} people, {twice} of them twice "
        f"for {mail.lost} answers that were lost"
    )
    assert missing == counted == 0
    assert max(minutes.values()) <= 5


def breach_key(id_: str) -> tuple[str, str, str]:
    body = breach(int(id_[1:]), NOW)
    return body["account"], body["kind"], body["object"]
