"""What belongs to no account is told to the operator as an account's alerts are to its people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import validate
from stopline.runtime.embedded import Embedded

from .test_alert_desk import raise_alert, sent, sweep

NIGHT = datetime(2026, 11, 20, 20, 30, tzinfo=UTC)  # 02:00 in India
EVA = {"name": "eva", "recipients": {"sms": ["+4915155550100"]}}
DESK = Recipients(email=("operator@example.com",))


def world(now: datetime = NIGHT, **duty: Any) -> Embedded:
    chosen = validate(OperatorAlerts, {"time_zone": "Asia/Kolkata", "people": [EVA], **duty})
    return Embedded(now, DESK, operator_alerts=chosen)


def told(one: Embedded) -> list[tuple[str, str]]:
    return [(channel, address) for channel, address, _ in sent(one)]


def test_the_operators_quiet_hours_are_those_of_the_operators_zone() -> None:
    """R6.1: a warning waits until 07:00 in India, a critical alert does not."""
    one = world(quiet={"start": "22:00", "end": "07:00"})
    raise_alert(one, "w", "warning", account=None, kind="quarantine")
    one.run()
    sweep(one, 10)
    assert told(one) == []
    raise_alert(one, "c", account=None, kind="feed_silent")
    one.run()
    assert told(one) == [("email", "operator@example.com")]
    assert "02:10 IST" in one.channels["email"].sent[0].text
    one.app.alert_desk.acknowledge(None, "c", "eva")
    one.clock.set(NIGHT.replace(hour=23) + timedelta(hours=2, minutes=31))  # 07:01
    sweep(one)
    assert [m.alert.kind for m in one.channels["email"].sent].count("quarantine") == 1


def test_a_silent_feed_goes_the_way_that_the_operator_has_set() -> None:
    """R6.1: by kind and hour, to the person who is on duty; everything else to the desk."""
    hours = {"start": "22:00", "end": "07:00"}
    one = world(routes=[{"kinds": ["feed_silent"], "hours": hours, "channels": ["sms"], "people": ["eva"]}])
    raise_alert(one, "f", "warning", account=None, kind="feed_silent")
    raise_alert(one, "q", "warning", account=None, kind="quarantine")
    one.run()
    assert sorted(told(one)) == [("email", "operator@example.com"), ("sms", "+4915155550100")]


def test_what_nobody_at_the_desk_takes_goes_to_the_next_person() -> None:
    """R6.3: eva after a minute; then the desk again."""
    one = world(escalate_to=["eva"], escalate_after_s=[60, 300])
    raise_alert(one, "f", account=None, kind="feed_silent")
    one.run()
    sweep(one)
    assert told(one) == [("sms", "+4915155550100"), ("email", "operator@example.com")]
    sweep(one, 4)
    assert told(one).count(("email", "operator@example.com")) == 2
    assert "nobody has acknowledged it for 5 min" in one.channels["email"].sent[-1].text


def test_behind_an_account_stands_who_is_on_duty() -> None:
    """R6.3: an account that does not exist, or whose people are not reached, is the business of the one on duty."""
    one = world(routes=[{"severities": ["critical"], "channels": ["sms"], "people": ["eva"]}])
    raise_alert(one, "g", account="ghost")
    one.run()
    assert told(one) == [("sms", "+4915155550100")]
    assert "there is no account ghost" in one.channels["sms"].sent[0].text


def test_after_an_outage_the_digest_has_the_operators_time() -> None:
    """F22"""
    one = world()
    channel = one.channels.pop("email")
    for number in range(2):
        raise_alert(one, f"f{number}", account=None, kind="feed_silent", object=f"o{number}")
        one.run()
    one.channels["email"] = channel
    sweep(one, 6)
    assert any("2 alerts reached nobody since 02:00" in m.alert.summary for m in channel.sent)
