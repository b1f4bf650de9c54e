"""A channel that dies while another works is told by that one: once an episode, and never by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from stopline.adapters.outbox_channel import RecordingChannel
from stopline.model.messages import Alert
from stopline.model.settings.recipients import Recipients
from stopline.ports import ChannelBusy, ChannelRefused, Path, Receipt, StoplineError
from stopline.rules.alerting.around import ALONE, Around
from stopline.runtime.embedded import Embedded

from .test_alert_desk import raise_alert, sweep, world

HOOK = "https://discord.com/api/webhooks/1000000000000000001/a-secret-token"
PHONE, MAIL = "+14155550100", "ann@example.com"
GONE = ChannelRefused("Discord says 404 (the webhook was deleted)")
OPTED_OUT = ChannelRefused("Twilio says 400, error 21610 (the number has opted out)")
LOCKED = ChannelRefused("the mail server refused for good (535)")
DOWN = ChannelBusy("Discord says 503: it may have been posted")


class Dying(RecordingChannel):
    """A channel that can be told to fail."""

    problem: StoplineError | None = None

    def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
        if self.problem:
            raise self.problem
        return super().send(address, alert, zone, around)


@pytest.fixture
def one() -> Iterator[Embedded]:
    embedded = world()
    embedded.channels.update({name: Dying(name) for name in embedded.channels})
    people = Recipients(sms=(PHONE,), email=(MAIL,), discord=(HOOK,))
    embedded.app.account_writer.change("demo", lambda a: a.model_copy(update={"recipients": people}), "ann")
    yield embedded
    assert embedded.bus.dead == []


def told(one: Embedded, kind: str = "channel_failed") -> list[tuple[str, str, bool]]:
    found = [(m.channel, m.alert, m.alert.resolved) for c in one.channels.values() for m in c.sent]
    return [(channel, alert.summary, over) for channel, alert, over in found if alert.kind == kind]


def fail(one: Embedded, channel: str, problem: StoplineError | None) -> None:
    one.channels[channel].problem = problem  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("channel", "problem", "others", "words"),
    [
        ("discord", GONE, {"email"}, "Alerts do not arrive by discord webhook 1000000000000000001"),
        ("sms", OPTED_OUT, {"email", "discord"}, "Alerts do not arrive by sms ...0100"),
        ("email", LOCKED, {"discord"}, "Alerts do not arrive by email a...@example.com"),
        ("discord", DOWN, {"email"}, "Alerts do not arrive by discord webhook 1000000000000000001"),
    ],
    ids=["webhook deleted", "opted out", "log-in refused", "down"],
)
def test_the_others_hear_of_a_channel_that_died(
    one: Embedded, channel: str, problem: StoplineError, others: set[str], words: str
) -> None:
    """R6.1, F20, F21: as a warning, by the channels of warnings that are left."""
    fail(one, channel, problem)
    raise_alert(one, "a1")
    one.run()
    sweep(one, 2)  # it waits a minute beside what is critical
    assert {(c, text) for c, text, _ in told(one)} == {(c, words) for c in others}
    document = next(d for d in one.store.query("alerts") if d.data["kind"] == "channel_failed")
    assert (document.data["severity"], document.data["status"]) == ("warning", "delivered")
    assert str(problem) in document.data["state"]


def test_it_is_told_once_until_it_works_again_and_then_that_is_told(one: Embedded) -> None:
    """R6.1: an episode is one story, however many alerts it meets; the next episode is a new one."""
    for episode in (1, 2):
        fail(one, "discord", GONE)
        for number in range(3):
            raise_alert(one, f"a{episode}{number}", kind=f"max_k{episode}{number}", severity="warning")
            one.run()
            sweep(one, 3)
        assert [over for _, _, over in told(one)].count(False) == episode
        fail(one, "discord", None)
        raise_alert(one, f"b{episode}", kind=f"max_b{episode}", severity="warning")
        one.run()
        sweep(one, 3)
        over = [(c, text) for c, text, resolved in told(one) if resolved]
        assert over == [("discord", "Alerts arrive by discord webhook 1000000000000000001 again")] * episode
        one.clock.set(one.clock.now() + timedelta(minutes=30))


def test_it_never_tells_of_itself(one: Embedded) -> None:
    """R6.1: mail and Discord die together: each is told, by SMS; the tries to tell it raise nothing more."""
    for channel in ("discord", "email"):
        fail(one, channel, GONE)
    raise_alert(one, "a1")
    one.run()
    sweep(one, 5)
    standing = [s.alert.object for s in one.app.alert_desk.read("demo").live()]
    assert len(standing) == 3  # the loss and the two channels
    assert told(one) == []  # in one digest: they came within a minute
    assert [(c, text) for c, text, _ in told(one, "digest")] == [
        ("sms", "2 more alerts, 0 critical: channel failed 2 (email failed)")
    ]


def test_the_operators_channel_is_the_operators_business(one: Embedded) -> None:
    """R6.1: an alert of no account, told by mail while the operator's webhook is gone."""
    operator = Recipients(email=("operator@example.com",), discord=(HOOK,))
    again = Embedded(one.clock.now(), operator)
    again.channels.update({name: Dying(name) for name in again.channels})
    fail(again, "discord", GONE)
    raise_alert(again, "a1", severity="warning", account=None, kind="feed_silent")
    again.run()
    sweep(again, 2)
    assert [c for c, _, _ in told(again)] == ["email"]
    assert again.app.alert_desk.failing(None)
    assert again.store.get(Path("incidents", "demo")) is None


def test_while_nobody_is_told_there_is_no_such_alert(one: Embedded) -> None:
    """F22: without any channel the alert itself is kept and tried again."""
    for channel in one.channels:
        fail(one, channel, GONE)
    raise_alert(one, "a1")
    one.run()
    assert one.app.alert_desk.failing("demo") == {}


def test_the_address_stays_a_secret(one: Embedded) -> None:
    """R8.3"""
    fail(one, "discord", GONE)
    raise_alert(one, "a1")
    one.run()
    sweep(one, 2)
    texts: list[Any] = [m.text + m.alert.model_dump_json() for c in one.channels.values() for m in c.sent]
    assert "a-secret-token" not in "".join(texts)


def test_an_address_that_somebody_took_away_meanwhile_has_not_failed(one: Embedded) -> None:
    """R6.1: Discord asks to wait a moment; before the next try the webhook is no longer the account's."""

    def taken_away() -> None:
        people = Recipients(sms=(PHONE,), email=(MAIL,))
        one.app.account_writer.change("demo", lambda a: a.model_copy(update={"recipients": people}), "ann")
        one.clock.set(one.clock.now() + timedelta(seconds=60))  # settings hold within 30 s

    class Waits(Dying):
        def send(self, address: str, alert: Alert, zone: str, around: Around = ALONE) -> Receipt:
            taken_away()
            raise ChannelBusy("Discord asks to wait (429)", retry_after_s=2)

    one.channels["discord"] = Waits("discord")
    raise_alert(one, "a1")
    one.run()
    sweep(one, 3)
    record = next(d.data["state"] for d in one.store.query("alerts") if d.path.id == "a1")
    assert "the address was removed" in record
    assert one.app.alert_desk.failing("demo") == {}
