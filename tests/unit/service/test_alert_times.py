"""Every wait of an alert's way to people ends within the wait around it."""

from __future__ import annotations

import inspect
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stopline.adapters.beacon import HttpBeacon
from stopline.adapters.clock import ManualClock
from stopline.adapters.deadline import READ_S, SEND_S, Deadline, InTime
from stopline.adapters.firestore import FirestoreStore
from stopline.adapters.outbox_channel import RecordingChannel
from stopline.model.errors import Transient
from stopline.model.messages import Alert, Severity
from stopline.model.settings.alerts import CHANNELS
from stopline.model.settings.recipients import Recipients
from stopline.ports import ChannelBusy, Receipt
from stopline.rules.alerting.around import ALONE, Around
from stopline.rules.alerting.delivery import AlertRecord, DeliveryRecord
from stopline.rules.alerting.routing import ROUTES
from stopline.runtime.envelope import Envelope
from stopline.runtime.google import channels
from stopline.runtime.handlers import receive
from stopline.runtime.settings import read_settings
from stopline.service.alerting.dispatch_alert import BUDGET, LEASE, ROUND, SLOW

from .test_alert_desk import raise_alert, sent, sweep, world
from .test_dispatch_alert import HOOK, NOW, Desk, Misbehaving, alert, notice

TOPOLOGY = json.loads((Path(__file__).parents[3] / "infra/topology.json").read_text("utf-8"))
EVERY_CHANNEL = {
    "GOOGLE_CLOUD_PROJECT": "p",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "t",
    "TWILIO_FROM": "+15005550006",
    "TWILIO_VOICE": "1",
    "TELEGRAM_TOKEN": "123456789:AAtest-token-of-a-bot-that-is-none",
    "SMTP_HOST": "127.0.0.1",
    "SMTP_FROM": "desk@example.com",
}


class Hanging(RecordingChannel):
    """A service that answers when it is let go."""

    def __init__(self) -> None:
        super().__init__("sms")
        self.go = threading.Event()

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        assert self.go.wait(60)
        return super().send(address, alert, zone, around)


def test_the_waits_fit_into_each_other_on_every_channel() -> None:
    """R6.1, F20: one read < one message < the lease; all channels but one may hang within a request's round; that, a last
    message and the write of its record < the function's time-out < Pub/Sub's deadline.
    """
    built = channels(read_settings(EVERY_CHANNEL))
    assert set(built) == set(CHANNELS)
    for channel in built.values():
        assert isinstance(channel, InTime)
        assert channel.seconds == SEND_S
        assert getattr(channel._channel, "_timeout_s") == READ_S  # noqa: B009 - each adapter's own
    write = inspect.signature(FirestoreStore).parameters["timeout_s"].default
    function, subscription = TOPOLOGY["functions"]["alerts"], TOPOLOGY["subscriptions"]["alerts-push"]
    one = timedelta(seconds=SEND_S + write)
    assert READ_S < SEND_S
    assert one < LEASE
    assert SLOW < timedelta(seconds=SEND_S) < BUDGET < ROUND
    assert timedelta(seconds=SEND_S * (len(ROUTES[Severity.CRITICAL]) - 1)) < ROUND
    assert ROUND + one < timedelta(seconds=function["timeout_seconds"])
    assert function["timeout_seconds"] < subscription["ack_seconds"]
    assert timedelta(seconds=subscription["ack_seconds"]) > LEASE


def test_a_send_that_hangs_is_given_up_and_so_many_at_a_time_are_borne() -> None:
    """R6.1: what nobody waits for any more goes on until the service lets go, and then there is room again."""
    service = Hanging()
    channel = InTime(service, seconds=0.01, stuck=1)
    with pytest.raises(ChannelBusy, match="it may have been sent"):
        channel.send("+14155550100", alert(), "UTC")
    with pytest.raises(ChannelBusy, match="still hang"):
        channel.send("+14155550100", alert(), "UTC")
    service.go.set()
    for thread in threading.enumerate():
        if thread.name == "deadline":
            thread.join(60)
    channel._deadline._seconds = 60
    assert channel.send("+14155550100", alert(), "UTC").provider_id == "sms-2"


def test_what_a_send_raises_is_raised_to_its_caller_and_its_place_is_free_again() -> None:
    """R6.1"""

    def broken() -> None:
        raise ValueError("a fault of ours")

    deadline = Deadline(60, stuck=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="of ours"):
            deadline.call(broken)


def test_a_beacon_that_drips_does_not_hold_up_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """R5.4"""
    go = threading.Event()
    monkeypatch.setattr(HttpBeacon, "_called", lambda _self, _ok: 200 if go.wait(60) else 500)
    HttpBeacon("https://watch.example.com/ping/1", send_s=0.01).beat(ok=True)
    go.set()


class Stalled(RecordingChannel):
    """A service that lets every message hang until it is given up."""

    def __init__(self, name: str, clock: ManualClock) -> None:
        super().__init__(name)
        self._clock = clock

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        self._clock.set(self._clock.now() + timedelta(seconds=SEND_S))
        raise ChannelBusy("no end after 10 s: it may have been sent")


@pytest.mark.parametrize(
    "hanging",
    [("sms",), ("sms", "email"), ("sms", "discord", "telegram"), ("sms", "email", "discord", "telegram")],
)
def test_the_first_request_serves_every_channel_that_works_whatever_hangs(hanging: tuple[str, ...]) -> None:
    """R6.1: each channel has two addresses; a second one of a channel that hangs waits for the others."""
    desk = Desk(
        Recipients(
            sms=("+14155550100", "+14155550101"),
            email=("ann@example.com", "bob@example.com"),
            discord=(HOOK, HOOK + "-2"),
            telegram=("123456789", "123456780"),
            apprise=("pover://user@token-1", "pover://user@token-2"),
        )
    )
    for name in ROUTES[Severity.CRITICAL]:
        desk.channels[name] = Stalled(name, desk.clock) if name in hanging else Misbehaving(name)
    with pytest.raises(Transient, match="still to be told by sms"), desk.dispatcher.one_request():
        desk.dispatcher.deliver(notice())
    sent = desk.sent()
    assert all(sent[name] for name in sent if name not in hanging)
    assert desk.clock.now() - NOW < ROUND + timedelta(seconds=SEND_S)


def test_what_hangs_for_one_alert_comes_last_for_the_next_of_its_request() -> None:
    """R6.1: an alert with two numbers that hang has cost 20 s; the digest that is due with it still comes by mail."""
    desk = Desk(Recipients(sms=("+14155550100", "+14155550101"), email=("ann@example.com",), discord=(HOOK,)))
    desk.channels["sms"] = Stalled("sms", desk.clock)
    with desk.dispatcher.one_request():
        for id_ in ("a1", "a2"):
            with pytest.raises(Transient, match="still to be told by sms"):
                desk.dispatcher.deliver(notice(alert_id=id_))
    assert desk.sent() == {"sms": 0, "email": 2, "discord": 2}
    assert desk.clock.now() - NOW == timedelta(seconds=2 * SEND_S)


def test_after_a_hang_the_second_number_has_its_turn_first() -> None:
    """R6.1: the fewest tries first."""
    now = alert().raised_at
    two = [DeliveryRecord(channel="sms", to=to, hint=to) for to in ("one", "two")]
    record = AlertRecord(alert=alert(), deliveries=(two[0].put_off("no end", now, None), two[1]))
    due = record.due(now, frozenset())
    assert due is not None
    assert due.to == "two"


def test_all_messages_of_a_request_share_its_time_and_what_is_left_comes_again() -> None:
    """R6.1: an alert and the digest that is due with it, each 17 s of waiting: no third message is begun, nothing is lost
    and nothing comes twice.
    """
    one = world(per_minute=1)
    for id_ in ("a", "b", "c"):  # the second and third are over the budget of their kind: a digest
        raise_alert(one, id_, kind="max_drawdown", object=id_)
    one.run()
    usual = one.channels["email"].send

    def slow(*args: Any) -> Receipt:
        one.clock.set(one.clock.now() + timedelta(seconds=17))
        return usual(*args)

    one.clock.set(one.clock.now() + timedelta(seconds=31))
    started = one.clock.now()
    one.channels["email"].send = slow  # type: ignore[method-assign]
    before = len(sent(one))
    body = alert(alert_id="d", kind="closing_stuck", raised_at=started.isoformat())
    two = Recipients(email=("ann@example.com", "bob@example.com"))
    one.app.account_writer.change("demo", lambda a: a.model_copy(update={"recipients": two}), "ann")
    with pytest.raises(Transient, match="has had its time"):
        receive(one.app, "alerts", Envelope(body.model_dump_json().encode(), "m-4"))
    assert one.clock.now() - started == timedelta(seconds=34)  # the second began before the 18th second
    one.publish("alerts", body.model_dump(mode="json"))
    one.run()
    sweep(one)
    told = sent(one)[before:]
    assert sum("2 more alerts" in text for _, _, text in told) == 2  # to each of the two
    assert len(told) == len(set(told))  # what was told to one was not told again with the other
