"""A Discord webhook that several accounts share: its limits are kept, and nothing is lost or told twice."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest

from stopline.adapters.clock import ManualClock
from stopline.adapters.memory import MemoryBus, MemoryStore
from stopline.adapters.outbox_channel import RecordingChannel
from stopline.model.account import Account
from stopline.model.errors import Transient
from stopline.model.messages import Alert
from stopline.model.notices import Notice
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import canonical, validate
from stopline.ports import ChannelBusy, Put, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.service.accounts.reader import account_path
from stopline.service.alerting.dispatch_alert import AlertDispatcher
from stopline.service.documents.outbox import Relay

from ..make import NOON

HOOK = "https://discord.com/api/webhooks/1000000000000000001/a-secret-token"
NAMES = tuple(f"desk{n}" for n in range(12))
ROUND = 20  # seconds: as Pub/Sub comes again


class Webhook(RecordingChannel):
    """Discord's side: 5 messages in 2 s and 30 in a minute, from whoever asks; else 429 and how long to wait."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__("discord")
        self._clock = clock
        self.taken: list[datetime] = []
        self.asked: Counter[str] = Counter()

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        now = self._clock.now()
        self.asked[alert.alert_id] += 1
        for most, seconds in ((5, 2), (30, 60)):
            lately = [at for at in self.taken if at > now - timedelta(seconds=seconds)]
            if len(lately) >= most:
                wait = (lately[-most] + timedelta(seconds=seconds) - now).total_seconds()
                raise ChannelBusy("Discord asks to wait (429)", retry_after_s=wait)
        self.taken.append(now)
        return super().send(address, alert, zone, around)


def alert(name: str, severity: str) -> Alert:
    body = {
        "account": name,
        "kind": "max_daily_loss",
        "object": "account",
        "summary": "x",
        "severity": severity,
    }
    return validate(Alert, body | {"alert_id": f"{name}-{severity}", "raised_at": NOON.isoformat()})


@pytest.mark.parametrize("severities", [["critical"], ["critical", "warning", "info"]])
def test_many_accounts_of_one_webhook_lose_nothing(severities: list[str]) -> None:
    """R6.1, F21: from two instances at one moment."""
    store, clock, bus = MemoryStore(), ManualClock(NOON), MemoryBus()
    channels = {"discord": Webhook(clock), "email": RecordingChannel("email")}
    for name in NAMES:
        facts = {"account": name, "owner": "ann", "currency": "USD", "capital": "1", "recipients": {}}
        own = Recipients(discord=(HOOK,), email=(f"{name}@example.com",))
        body = validate(Account, facts).model_copy(update={"recipients": own}).model_dump(mode="json")
        store.commit([Put(account_path(name), {"account": canonical(body).decode()})])
    instances = [AlertDispatcher(store, clock, channels, Recipients(), Relay(bus)) for _ in range(2)]
    left = [Notice(alert=alert(name, severity)) for severity in severities for name in NAMES]
    for turn in range(20):
        waiting = []
        for n, notice in enumerate(left):
            try:
                instances[(n + turn) % 2].deliver(notice)
            except Transient:
                waiting.append(notice)
        left = waiting
        clock.set(clock.now() + timedelta(seconds=ROUND))
    assert left == []
    hook, mail = channels["discord"], channels["email"]
    told = Counter(sent.alert.alert_id for sent in hook.sent)
    assert set(told.values()) == {1}
    missed = {f"{name}-{severity}" for name in NAMES for severity in severities} - told.keys()
    mailed = {sent.alert.alert_id for sent in mail.sent}
    assert missed <= mailed  # no room in five tries: by mail
    assert {id_ for id_ in mailed if id_.endswith("critical")} == {f"{name}-critical" for name in NAMES}
    assert len(severities) > 1 or not missed  # a dozen have room in time
    assert max(hook.asked.values()) <= 5
