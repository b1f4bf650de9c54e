"""People are told once, whatever fails: duplicates, crashes, twins, providers that are down."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stopline.adapters.clock import ManualClock
from stopline.adapters.memory import MemoryBus, MemoryStore
from stopline.adapters.outbox_channel import RecordingChannel
from stopline.model.account import Account
from stopline.model.errors import Rejected, Transient
from stopline.model.messages import Alert, History
from stopline.model.notices import Notice
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import canonical, decode_object, validate
from stopline.ports import (
    ChannelBusy,
    ChannelRefused,
    Outgoing,
    Path,
    Put,
    Receipt,
    Unavailable,
    Update,
    Version,
    Write,
)
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.delivery import DeliveryRecord
from stopline.service.accounts.reader import account_path
from stopline.service.alerting.dispatch_alert import LEASE, RETRY_UNDELIVERED, AlertDispatcher
from stopline.service.alerting.undelivered import republish_due
from stopline.service.documents.outbox import Relay

NOW = datetime(2026, 11, 20, 15, 2, 11, tzinfo=UTC)
HOOK = "https://discord.com/api/webhooks/1000000000000000001/a-secret-token"
OPERATOR = Recipients(sms=("+14155550199",), email=("operator@example.com",))
PATH = Path("alerts", "a1")


def alert(severity: str = "critical", account: str | None = "demo", **changes: Any) -> Alert:
    usual = {
        "alert_id": "a1",
        "account": account,
        "kind": "max_daily_loss",
        "object": "account",
        "severity": severity,
        "summary": "Daily loss limit breached",
        "raised_at": "2026-11-20T15:02:11Z",
    }
    return validate(Alert, usual | changes)


def notice(severity: str = "critical", account: str | None = "demo", **changes: Any) -> Notice:
    return Notice(alert=alert(severity, account, **changes))


class Crash(BaseException):
    """The machine is gone."""


class Misbehaving(RecordingChannel):
    """A channel that goes by a script, one step a message, and then works."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.script: list[BaseException | Callable[[], None]] = []
        self.always: BaseException | None = None
        self.tries = 0

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        self.tries += 1
        step = self.script.pop(0) if self.script else self.always
        if isinstance(step, BaseException):
            raise step
        receipt = super().send(address, alert, zone, around)
        if step is not None:
            step()
        return receipt


class FlakyStore(MemoryStore):
    """A store whose next commits fail as told: before the write, or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def commit(self, writes: Sequence[Write]) -> list[Version]:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise Unavailable("no answer")
        versions = super().commit(writes)
        if fault == "after":
            raise Unavailable("no answer, but written")
        if fault == "crash after":
            raise Crash
        return versions


class Desk:
    """Everything around one dispatcher; `twin()` is another instance of the function."""

    def __init__(self, recipients: Recipients | None = None) -> None:
        self.store = FlakyStore()
        self.clock = ManualClock(NOW)
        self.bus = MemoryBus()
        self.rows: list[dict[str, Any]] = []
        self.bus.subscribe("history", self._history)
        self.bus.subscribe("alerts", lambda message, _id, _attempt: self._alert(message))
        self.channels: dict[str, Any] = {name: Misbehaving(name) for name in ("sms", "email", "discord")}
        everything = Recipients(sms=("+14155550100",), email=("trader@example.com",), discord=(HOOK,))
        account = Account.model_validate(
            {
                "account": "demo",
                "owner": "ann",
                "currency": "USD",
                "capital": "100000",
                "time_zone": "America/New_York",
            }
        ).model_copy(update={"recipients": everything if recipients is None else recipients})
        text = canonical(account.model_dump(mode="json")).decode()
        self.store.commit([Put(account_path("demo"), {"account": text})])
        self.dispatcher = self.twin()

    def twin(self) -> AlertDispatcher:
        return AlertDispatcher(self.store, self.clock, self.channels, OPERATOR, Relay(self.bus))

    def _alert(self, message: Outgoing) -> None:
        self.dispatcher.deliver(validate(Notice, decode_object(message.data)))

    def sweep(self) -> int:
        """Publish what is due again and deliver it."""
        count = republish_due(self.store, self.bus, self.clock)
        self.bus.run()
        assert self.bus.dead == []
        return count

    def _history(self, message: Outgoing, _id: str, _attempt: int) -> None:
        for row in validate(History, decode_object(message.data)).rows:
            self.rows.append({"table": row.table, "event_id": row.event_id, **row.row})

    def sent(self) -> dict[str, int]:
        return {name: len(channel.sent) for name, channel in self.channels.items()}

    def document(self, path: Path = PATH) -> dict[str, Any]:
        document = self.store.get(path)
        assert document is not None
        return document.data

    def states(self) -> dict[str, str]:
        found = json.loads(self.document()["state"])["deliveries"]
        return {("operator " if d["for_operator"] else "") + d["channel"]: d["status"] for d in found}

    def until_done(self, one: Notice, deliveries: int = 30) -> int:
        """Deliver as Pub/Sub does, until acknowledged; return the number of deliveries."""
        for attempt in range(1, deliveries + 1):
            try:
                self.dispatcher.deliver(one)
            except Transient:
                self.clock.set(self.clock.now() + timedelta(seconds=70))
            else:
                return attempt
        raise AssertionError("never done")


def test_a_critical_alert_goes_out_on_every_channel_and_is_on_record() -> None:
    """R0.3, R6.1"""
    desk = Desk()
    desk.dispatcher.deliver(notice())
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}
    data = desk.document()
    assert (data["account"], data["severity"], data["kind"]) == ("demo", "critical", "max_daily_loss")
    assert (data["status"], data["lease_until"], data["due_at"]) == ("delivered", None, None)
    assert (data["outbox"], data["outbox_at"]) == ("[]", None)
    assert data["raised_at"] == NOW
    first = json.loads(data["state"])["deliveries"][0]
    assert (first["channel"], first["status"], first["attempts"], first["provider_id"]) == (
        "sms",
        "SENT",
        1,
        "sms-1",
    )


def test_what_the_provider_said_when_it_took_a_message_is_on_record() -> None:
    """R6.1: its id and its word, in the stored record and in the row of the history; older records have none."""
    desk = Desk()
    desk.dispatcher.deliver(notice())
    stored = json.loads(desk.document()["state"])["deliveries"]
    assert {(d["status"], d["provider_status"]) for d in stored} == {("SENT", "recorded")}
    del stored[0]["provider_status"]
    assert validate(DeliveryRecord, stored[0]).provider_status == ""


def test_the_history_gets_one_row_of_each_settled_alert() -> None:
    """R7.4: the trail of what was told to whom, with the provider's id as proof."""
    desk = Desk()
    desk.dispatcher.deliver(notice())
    desk.dispatcher.deliver(notice())
    desk.twin().deliver(notice())
    desk.bus.run()
    (row,) = desk.rows
    detail = json.loads(row.pop("detail"))
    assert {d["provider_id"] for d in detail["deliveries"]} == {"sms-1", "email-1", "discord-1"}
    assert row.pop("event_id")
    assert row == {
        "table": "alerts",
        "alert_id": "a1",
        "account": "demo",
        "kind": "max_daily_loss",
        "object": "account",
        "severity": "critical",
        "summary": "Daily loss limit breached",
        "status": "delivered",
        "raised_at": "2026-11-20T15:02:11Z",
        "delivered_at": "2026-11-20T15:02:11Z",
    }


def test_a_duplicate_message_sends_nothing_twice() -> None:
    """R0.3: Pub/Sub delivers at least once; people are told once."""
    desk = Desk()
    for _ in range(3):
        desk.twin().deliver(notice())
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}


def test_the_same_id_for_another_alert_is_refused_and_not_swallowed() -> None:
    """R0.3: an all-clear that reused the alarm's id would be taken for a duplicate and lost."""
    desk = Desk()
    desk.dispatcher.deliver(notice())
    with pytest.raises(Rejected, match="ALERT_ID_REUSED"):
        desk.dispatcher.deliver(notice(resolved=True))


@pytest.mark.parametrize("crash_at", ["sms", "email", "discord"])
def test_a_crash_between_send_and_record_repeats_that_message_at_most(crash_at: str) -> None:
    """R0.3, R6.1"""
    desk = Desk()

    def crash() -> None:
        raise Crash

    desk.channels[crash_at].script = [crash]
    with pytest.raises(Crash):
        desk.dispatcher.deliver(notice())
    desk.dispatcher = desk.twin()
    assert desk.until_done(notice()) == 2  # the lease of the dead instance runs out first
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1} | {crash_at: 2}
    assert desk.document()["status"] == "delivered"


@pytest.mark.parametrize("kind", ["before", "after", "crash after"])
@pytest.mark.parametrize("commit", range(5))
def test_a_store_that_fails_at_any_write_costs_no_message_and_repeats_none(commit: int, kind: str) -> None:
    """R0.3: create, three records (the last settles), emptying the outbox: each fails in each way once."""
    desk = Desk()
    desk.store.faults = [""] * commit + [kind]
    try:
        desk.dispatcher.deliver(notice())
    except (Crash, Transient):
        desk.dispatcher = desk.twin()
        desk.clock.set(NOW + LEASE)
        desk.until_done(notice())
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}
    assert desk.document()["status"] == "delivered"
    desk.dispatcher.deliver(notice())
    desk.bus.run()
    assert {row["alert_id"] for row in desk.rows} == {"a1"}
    assert len({row["event_id"] for row in desk.rows}) == 1


@pytest.mark.parametrize("kind", ["before", "after"])
def test_a_lease_whose_write_got_no_answer_delays_nobody(kind: str) -> None:
    """R0.3: the message came again and waited for the lease of nobody, a minute each time, also when it was taken over."""
    desk = Desk()
    desk.store.faults = [kind]
    desk.dispatcher.deliver(notice())
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}
    desk = Desk()
    desk.store.faults = ["crash after"]
    with pytest.raises(Crash):
        desk.dispatcher.deliver(notice())
    desk.clock.set(NOW + LEASE)
    desk.store.faults = [kind]
    desk.twin().deliver(notice())
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}


def test_a_live_lease_blocks_the_twin() -> None:
    """R0.3: two instances with the same message do not tell twice."""
    desk = Desk()
    twin = desk.twin()

    def meanwhile() -> None:
        with pytest.raises(Transient, match="another instance"):
            twin.deliver(notice())

    desk.channels["sms"].script = [meanwhile]
    desk.channels["discord"].script = [meanwhile]
    desk.dispatcher.deliver(notice())
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}


def test_an_instance_that_lost_its_lease_stops() -> None:
    """R0.3: one that slept for longer than its lease writes nothing over what the other did."""
    desk = Desk()
    twin = desk.twin()

    def oversleep() -> None:
        desk.clock.set(desk.clock.now() + LEASE)
        twin.deliver(notice())

    desk.channels["sms"].script = [oversleep]
    with pytest.raises(Transient, match="another instance"):
        desk.dispatcher.deliver(notice())
    assert desk.sent() == {"sms": 2, "email": 1, "discord": 1}
    assert desk.document()["status"] == "delivered"


def test_a_busy_channel_does_not_hold_up_the_others_and_is_tried_again() -> None:
    """R6.1: SMS is down for two tries; e-mail and Discord go out at once."""
    desk = Desk()
    desk.channels["sms"].script = [ChannelBusy("429"), ChannelBusy("500")]
    with pytest.raises(Transient, match=r"sms \.\.\.0100: 429"):
        desk.dispatcher.deliver(notice())
    assert desk.sent() == {"sms": 0, "email": 1, "discord": 1}
    desk.until_done(notice())
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}


def test_a_wait_that_the_provider_asked_for_is_kept() -> None:
    """R6.1: Discord says 20 s; coming earlier counts as no try and bothers nobody."""
    desk = Desk()
    desk.channels["discord"].script = [ChannelBusy("429", retry_after_s=20)]
    for seconds in (0, 5, 15):
        desk.clock.set(NOW + timedelta(seconds=seconds))
        with pytest.raises(Transient):
            desk.dispatcher.deliver(notice("info"))
    assert desk.channels["discord"].tries == 1
    desk.clock.set(NOW + timedelta(seconds=20))
    desk.dispatcher.deliver(notice("info"))
    assert desk.sent() == {"sms": 0, "email": 0, "discord": 1}


def test_an_hour_of_waiting_is_a_dead_channel() -> None:
    """F21, R6.1: Discord asks for 3,600 s: e-mail tells it now."""
    desk = Desk()
    desk.channels["discord"].always = ChannelBusy("429", retry_after_s=3600)
    desk.dispatcher.deliver(notice("info"))
    assert desk.sent() == {"sms": 0, "email": 1, "discord": 0}
    assert desk.states() == {"discord": "DEAD", "email": "SENT"}


def test_a_dead_channel_fails_over_after_five_tries() -> None:
    """R6.1: the e-mail server is down: the warning comes by SMS and says why."""
    desk = Desk()
    desk.channels["email"].always = ChannelBusy("time-out")
    desk.until_done(notice("warning"))
    assert desk.channels["email"].tries == 5
    assert desk.sent() == {"sms": 1, "email": 0, "discord": 1}
    assert desk.states() == {"email": "DEAD", "discord": "SENT", "sms": "SENT"}
    assert "(email failed)" in desk.channels["sms"].sent[0].text


def test_a_refusal_fails_over_at_once() -> None:
    """R6.1: the trader has opted out of SMS and has nothing else, so the operator is told."""
    desk = Desk(Recipients(sms=("+14155550100",)))
    desk.channels["sms"].script = [ChannelRefused("21610")]
    desk.dispatcher.deliver(notice())
    assert desk.states() == {"sms": "REFUSED", "operator sms": "SENT", "operator email": "SENT"}
    (message,) = desk.channels["email"].sent
    assert message.address == "operator@example.com"
    assert "demo could not be reached" in message.text


def test_an_error_nobody_thought_of_silences_one_channel_only(caplog: pytest.LogCaptureFixture) -> None:
    """R8.5: and its text, which may hold a secret, is neither logged nor stored."""
    desk = Desk()
    desk.channels["discord"].always = KeyError(HOOK)
    desk.until_done(notice())
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 0}
    assert "a-secret-token" not in caplog.text + desk.document()["state"]
    assert "KeyError at test_dispatch_alert.py" in desk.document()["state"]


def test_an_alert_that_reaches_nobody_is_logged_as_critical_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F22, R6.3: every provider is down for half an hour; then everybody is told, late but told."""
    desk = Desk()
    for channel in desk.channels.values():
        channel.always = ChannelBusy("down")
    desk.until_done(notice())
    assert desk.document()["status"] == "undelivered"
    assert set(desk.states().values()) == {"DEAD"}
    (line,) = [r for r in caplog.records if r.levelno == logging.CRITICAL]
    assert "critical alert a1 of demo was told to nobody" in line.getMessage()

    desk.dispatcher.deliver(notice())  # a duplicate does not start it all over
    desk.clock.set(desk.clock.now() + RETRY_UNDELIVERED)
    assert desk.sweep() == 1
    assert desk.sweep() == 0  # not before the next five minutes
    assert desk.document()["status"] == "undelivered"

    for channel in desk.channels.values():
        channel.always = None
    desk.clock.set(desk.clock.now() + RETRY_UNDELIVERED)
    assert desk.sweep() == 1
    assert desk.document()["status"] == "delivered"
    assert {(m.channel, m.address) for c in desk.channels.values() for m in c.sent} >= {
        ("sms", "+14155550100"),
        ("email", "trader@example.com"),
        ("discord", HOOK),
    }
    desk.clock.set(desk.clock.now() + timedelta(days=1))
    assert desk.sweep() == 0
    desk.bus.run()
    assert [row["status"] for row in desk.rows][-1] == "delivered"


def test_what_was_refused_for_a_wrong_setting_is_told_once_the_setting_is_right() -> None:
    """R6.3: every provider refuses our credentials; somebody corrects them."""
    desk = Desk()
    for channel in desk.channels.values():
        channel.always = ChannelRefused("401")
    desk.dispatcher.deliver(notice())
    assert desk.document()["status"] == "undelivered"
    for channel in desk.channels.values():
        channel.always = None
    desk.clock.set(NOW + RETRY_UNDELIVERED)
    assert desk.sweep() == 1
    assert desk.document()["status"] == "delivered"
    assert "sms" in desk.states()


def test_an_alert_that_pubsub_gave_up_is_taken_up_again() -> None:
    """R0.3: the message is in the dead letter, the document is not forgotten."""
    desk = Desk()
    desk.channels["sms"].script = [ChannelBusy("busy")]
    with pytest.raises(Transient):
        desk.dispatcher.deliver(notice())
    assert desk.sweep() == 0
    desk.clock.set(NOW + timedelta(minutes=16))
    assert desk.sweep() == 1
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}


@pytest.mark.parametrize("crash", [False, True])
def test_several_that_reached_nobody_come_in_one_message(crash: bool) -> None:
    """F22: one digest, in one commit; a crash before it is published costs a round of the sweep and nothing else."""
    desk = Desk()
    for channel in desk.channels.values():
        channel.always = ChannelRefused("no")
    for number in range(1, 4):
        desk.dispatcher.deliver(notice(alert_id=f"a{number}", object=f"S{number}"))
    for channel in desk.channels.values():
        channel.always = None
    desk.clock.set(NOW + RETRY_UNDELIVERED)
    if crash:
        with pytest.raises(Crash):
            republish_due(desk.store, _Lost(), desk.clock)
    assert desk.sweep() == 1
    [told] = desk.channels["sms"].sent
    assert told.alert.summary == "3 alerts reached nobody since 10:02: max daily loss 3"
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}
    record = json.loads(desk.document(Path("alerts", told.alert.alert_id))["state"])
    assert record["covers"] == ["a1", "a2", "a3"]
    for id_ in record["covers"]:
        single = desk.document(Path("alerts", id_))
        assert (single["status"], single["told_by"], single["outbox"]) == (
            "told_by_digest",
            told.alert.alert_id,
            "[]",
        )
    rows = [(r["alert_id"], r["delivered_at"]) for r in desk.rows if r["status"] == "told_by_digest"]
    assert sorted(rows) == [(id_, "2026-11-20T15:07:11Z") for id_ in record["covers"]]
    assert [line[:14] for line in record["lines"]] == ["10:02 CRITICAL"] * 3
    desk.dispatcher.deliver(notice())  # one of them comes once more: it was told
    desk.clock.set(NOW + timedelta(hours=1))
    assert desk.sweep() == 0
    assert desk.sent()["sms"] == 1


def test_what_an_undelivered_digest_stood_for_is_told_by_the_digest_that_arrives() -> None:
    """F22: two rounds without a channel: the second digest stands for the first one and all that it told."""
    desk = Desk()
    for channel in desk.channels.values():
        channel.always = ChannelRefused("no")
    for number in range(1, 3):
        desk.dispatcher.deliver(notice(alert_id=f"a{number}", object=f"S{number}"))
    desk.clock.set(NOW + RETRY_UNDELIVERED)
    assert desk.sweep() == 1
    desk.dispatcher.deliver(notice(alert_id="a3", object="S3"))
    assert {desk.document(Path("alerts", id_))["status"] for id_ in ("a1", "a2", "a3")} == {"undelivered"}
    for channel in desk.channels.values():
        channel.always = None
    desk.clock.set(NOW + 2 * RETRY_UNDELIVERED)
    assert desk.sweep() == 1
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}
    statuses = {d.path.id: d.data["status"] for d in desk.store.query("alerts")}
    assert sorted(statuses.values()) == ["delivered"] + ["told_by_digest"] * 4
    assert {statuses[id_] for id_ in ("a1", "a2", "a3")} == {"told_by_digest"}


class _Lost(MemoryBus):
    def publish(self, messages: Sequence[Outgoing]) -> list[str]:
        raise Crash


def test_after_a_day_an_undelivered_alert_is_left_to_the_record() -> None:
    """R6.3"""
    desk = Desk(Recipients())
    dispatcher = AlertDispatcher(desk.store, desk.clock, desk.channels, Recipients(), Relay(desk.bus))
    desk.clock.set(NOW + timedelta(days=1))
    dispatcher.deliver(notice())
    assert (desk.document()["status"], desk.document()["due_at"]) == ("undelivered", None)


def test_an_unknown_account_is_the_operators_business() -> None:
    """R6.1: an alert for an account that does not exist is told, with that fact."""
    desk = Desk()
    desk.dispatcher.deliver(notice(account="ghost"))
    assert desk.states() == {"operator sms": "SENT", "operator email": "SENT"}
    assert "there is no account ghost" in desk.channels["sms"].sent[0].text


def test_settings_that_cannot_be_read_do_not_silence_an_alert() -> None:
    """R8.5"""
    desk = Desk()
    desk.store.commit([Put(account_path("demo"), {"account": '{"account":"demo"}'})])
    desk.dispatcher.deliver(notice())
    assert desk.states() == {"operator sms": "SENT", "operator email": "SENT"}


def test_a_channel_that_is_not_set_up_counts_as_failed() -> None:
    """R6.1: without Twilio credentials the e-mail goes out, and the record says why no SMS did."""
    desk = Desk()
    del desk.channels["sms"]
    desk.dispatcher.deliver(notice())
    assert desk.states() == {"sms": "REFUSED", "email": "SENT", "discord": "SENT"}
    assert "sms is not set up" in desk.document()["state"]


def test_texts_are_in_the_zone_of_the_account() -> None:
    """R2.12"""
    desk = Desk()
    desk.dispatcher.deliver(notice())
    assert "10:02 EST" in desk.channels["sms"].sent[0].text


def test_an_outbox_that_could_not_be_published_is_published_by_the_next_delivery() -> None:
    """R7.4: a settled alert whose row got lost on the way is not lost."""
    desk = Desk()
    publish, desk.bus.publish = desk.bus.publish, _no_bus  # type: ignore[method-assign]
    with pytest.raises(Transient):
        desk.dispatcher.deliver(notice())
    assert desk.document()["outbox_at"] == NOW
    desk.bus.publish = publish  # type: ignore[method-assign]
    desk.dispatcher.deliver(notice())
    desk.bus.run()
    assert len(desk.rows) == 1
    assert desk.document()["outbox_at"] is None
    assert desk.sent() == {"sms": 1, "email": 1, "discord": 1}


def _no_bus(messages: Sequence[Outgoing]) -> list[str]:
    raise Unavailable("Pub/Sub did not answer")


def test_a_sweep_that_empties_the_outbox_first_is_no_fault() -> None:
    """R0.3"""
    desk = Desk()
    real = desk.bus.publish

    def publish(messages: Sequence[Outgoing]) -> list[str]:
        document = desk.store.get(PATH)
        assert document is not None
        desk.store.commit([Update(PATH, {"outbox": "[]", "outbox_at": None}, document.version)])
        return real(messages)

    desk.bus.publish = publish  # type: ignore[method-assign]
    desk.dispatcher.deliver(notice())
    assert desk.document()["status"] == "delivered"
