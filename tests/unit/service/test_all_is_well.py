"""The daily word that Stopline runs: to the operator and to each account's people, once each, saying what was checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from stopline.model.account import Account
from stopline.model.control import ControlRequest
from stopline.model.fill import Fill
from stopline.model.messages import SweepKind
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import validate
from stopline.runtime.embedded import Embedded

from ..make import raw_fill

NIGHT = datetime(2026, 11, 21, 0, 5, tzinfo=UTC)
HOOK = "https://discord.com/api/webhooks/12345/abcdefghijklmnop"
OPERATOR = {"email": ("operator@example.com",)}


def desk(
    *accounts: Mapping[str, Any], operator: Mapping[str, Any] = OPERATOR, at: datetime = NIGHT
) -> Embedded:
    one = Embedded(at, Recipients(**operator))
    for number, more in enumerate(accounts):
        name = "abcdefghij"[number] * 3
        facts = {"account": name, "owner": "ann", "currency": "USD", "capital": "100000", **more}
        one.app.account_writer.create(validate(Account, facts), "ann")
        fill = validate(Fill, raw_fill(f"E-{name}", executed_at=at) | {"account": name})
        one.app.recorder.record([fill], f"m-{name}")
    one.sweep()
    one.run()
    for channel in one.channels.values():
        channel.sent.clear()
    return one


def told(one: Embedded) -> list[tuple[str, str, str]]:
    """End the day; return channel, address and words of each heartbeat."""
    one.sweep(SweepKind.END_OF_DAY)
    one.run()
    return sorted(
        (channel.name, sent.address, sent.alert.summary)
        for channel in one.channels.values()
        for sent in channel.sent
        if sent.alert.kind == "heartbeat"
    )


def to(*channels: str, **more: Any) -> dict[str, Any]:
    every = {"sms": ["+15550100"], "email": ["ann@example.com"], "discord": [HOOK]}
    return {"recipients": {c: every[c] for c in channels}, **more}


def test_an_accounts_people_hear_what_was_checked() -> None:
    """R6.1, R5.4: news go to Discord; the operator hears of all accounts."""
    one = desk(to("sms", "email", "discord"))
    [mine, operator] = told(one)
    assert mine[:2] == ("discord", HOOK)
    assert mine[2].startswith("Stopline is running and watches aaa. 1 position, all priced; ")
    assert mine[2].endswith(" limits, all kept; nothing silent; trading ACTIVE")
    assert operator[:2] == ("email", "operator@example.com")
    assert operator[2].startswith("Stopline is running, accounts watched: 1. 1 position, all priced; ")
    assert told(one) == [mine, operator]  # the same day again: nobody hears it twice


def test_what_is_not_well_is_in_its_words() -> None:
    """R5.4: a limit that is breached, trading that is stopped, a price that nobody has."""
    one = desk(to("discord", limits={"max_position_value": {"limit": "0.5"}}))
    request = {"request_id": "k-1", "scope": "account:aaa", "action": "kill", "actor": "ann", "reason": "x"}
    one.app.trading.set(validate(ControlRequest, request | {"flatten": False}))
    text = told(one)[0][2]
    assert "breached" in text
    assert text.endswith("trading HALTED")


@pytest.mark.parametrize(
    ("settings", "channel", "address"),
    [
        ({"routes": [{"kinds": ["heartbeat"], "channels": ["sms"]}]}, "sms", "+15550100"),
        ({"routes": [{"kinds": ["heartbeat"], "channels": ["email"]}]}, "email", "ann@example.com"),
    ],
)
def test_a_route_of_its_own_decides(settings: dict[str, Any], channel: str, address: str) -> None:
    """R6.1"""
    one = desk(to("sms", "email", "discord", alerting=settings))
    assert [t[:2] for t in told(one) if t[1] != "operator@example.com"] == [(channel, address)]


def test_it_can_be_switched_off_and_rings_no_phone_by_itself() -> None:
    off, phone = to("discord", alerting={"heartbeat": False}), to("sms")
    assert [t[1] for t in told(desk(off, phone, {}))] == ["operator@example.com"]


def test_people_of_several_accounts_hear_it_once() -> None:
    """R6.1: ten accounts of one webhook are one message."""
    one = desk(*([to("discord")] * 9), to("email"))
    [shared, mail, _] = told(one)
    assert shared[:2] == ("discord", HOOK)
    assert "watches aaa, bbb, ccc and 6 more. 9 positions, all priced; " in shared[2]
    assert mail[1] == "ann@example.com"
    assert "watches jjj. 1 position" in mail[2]


def test_who_is_the_operator_too_hears_it_once() -> None:
    one = desk(to("discord"), operator={"discord": (HOOK,)})
    assert len(told(one)) == 1


def test_quiet_hours_hold_it_back() -> None:
    """R6.1: it is news."""
    quiet = {"quiet": {"start": "18:00", "end": "08:00"}}
    one = desk(to("discord", alerting=quiet))
    assert [t[1] for t in told(one)] == ["operator@example.com"]
