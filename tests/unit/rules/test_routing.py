"""Who is told, by which channel, and who instead when a channel fails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stopline.model.messages import Alert, Severity
from stopline.model.settings.recipients import Recipients
from stopline.rules.alerting.delivery import (
    MAX_ATTEMPTS,
    AlertRecord,
    DeliveryRecord,
    DeliveryStatus,
    People,
    fall_over,
    hint,
    plan,
)
from stopline.rules.alerting.routing import EVERY, ROUTES, Routes, channels_for, deliveries

NOW = datetime(2026, 11, 20, 15, 2, 11, tzinfo=UTC)
HOOK = "https://discord.com/api/webhooks/1000000000000000001/a-secret-token"
TRADER = Recipients(sms=("+14155550100",), email=("trader@example.com",), discord=(HOOK,))
OPERATOR = Recipients(sms=("+14155550199",), email=("operator@example.com",))
NOBODY = Recipients()


def alert(severity: str = "critical", account: str | None = "demo", **changes: Any) -> Alert:
    return Alert(
        alert_id="a1",
        account=account,
        kind="k",
        object="o",
        severity=Severity(severity),
        summary="s",
        raised_at=NOW,
    ).model_copy(update=changes)


def routed(one: Alert, own: Recipients, operator: Recipients = OPERATOR) -> list[tuple[str, str]]:
    return [(d.channel, d.address) for d in deliveries(one, own, operator)]


def test_severity_decides_the_channels() -> None:
    """R6.1: critical -> SMS, e-mail, Discord; warning -> e-mail, Discord; info -> Discord."""
    assert channels_for(Severity.CRITICAL) == ("sms", "email", "discord", "telegram", "apprise")
    assert channels_for(Severity.WARNING) == ("email", "discord", "telegram", "apprise")
    assert channels_for(Severity.INFO) == ("discord", "telegram", "apprise")
    assert [c for c, _ in routed(alert("critical"), TRADER)] == ["sms", "email", "discord"]
    assert [c for c, _ in routed(alert("info"), TRADER)] == ["discord"]


def test_the_routes_can_be_set() -> None:
    """R6.1: configurable."""
    routes = {Severity.CRITICAL: ("sms",), Severity.WARNING: ("sms",), Severity.INFO: ("email",)}
    assert [d.channel for d in deliveries(alert("info"), TRADER, OPERATOR, routes)] == ["email"]


def test_everybody_on_a_channel_is_told() -> None:
    """R6.1"""
    two = Recipients(sms=("+14155550100", "+14155550101"))
    assert routed(alert(), two) == [("sms", "+14155550100"), ("sms", "+14155550101")]


def test_an_alert_of_no_account_goes_to_the_operator() -> None:
    """R6.1, R6.2: system health has no account."""
    assert routed(alert(account=None), TRADER) == [("sms", "+14155550199"), ("email", "operator@example.com")]


@pytest.mark.parametrize("severity", ["info", "warning"])
def test_without_an_address_on_the_route_another_channel_of_the_account_is_used(severity: str) -> None:
    """R6.1: nobody goes untold because a channel is not set up."""
    (only,) = deliveries(alert(severity), Recipients(sms=("+14155550100",)), OPERATOR)
    assert (only.channel, only.address) == ("sms", "+14155550100")
    assert only.note == ("" if severity == "info" else "demo has no address on the usual channels")


def test_without_any_address_the_operator_is_told_and_why() -> None:
    """R6.1"""
    found = deliveries(alert("warning"), NOBODY, OPERATOR)
    assert [(d.channel, d.address) for d in found] == [("email", "operator@example.com")]
    assert found[0].note == "demo has no address to tell"
    assert deliveries(alert(), NOBODY, NOBODY) == []


# --- fail-over ---


def settle(record: AlertRecord, channel: str, status: DeliveryStatus) -> AlertRecord:
    return record.changed(
        *(d.model_copy(update={"status": status}) for d in record.deliveries if d.channel == channel)
    )


def channels(record: AlertRecord, status: DeliveryStatus = DeliveryStatus.PENDING) -> list[str]:
    return [
        ("operator " if d.for_operator else "") + d.channel for d in record.deliveries if d.status is status
    ]


def test_a_dead_channel_is_replaced_once_by_one_that_was_not_used() -> None:
    """R6.1: e-mail of a warning fails, so an SMS goes out; a second dead address changes nothing more."""
    own = Recipients(sms=("+14155550100",), email=("a@example.com", "b@example.com"), discord=(HOOK,))
    people = People(own, OPERATOR)
    record = plan(AlertRecord(alert=alert("warning")), people)
    assert channels(record) == ["email", "email", "discord"]
    record = fall_over(settle(record, "email", DeliveryStatus.DEAD), people)
    assert channels(record) == ["discord", "sms"]
    assert {d.replaced_by for d in record.deliveries if d.channel == "email"} == {"sms"}
    assert record.deliveries[-1].note == "email failed"
    assert fall_over(record, people) == record


def test_where_all_channels_are_in_use_the_rest_say_which_one_failed() -> None:
    """R6.1: whoever reads the mail learns that his phone did not ring."""
    own = Recipients(sms=("+14155550100",), email=("a@example.com",), discord=(HOOK,))
    people = People(own, OPERATOR)
    record = plan(AlertRecord(alert=alert()), people)
    record = fall_over(settle(record, "sms", DeliveryStatus.REFUSED), people)
    assert [(d.channel, d.note) for d in record.deliveries if d.status is DeliveryStatus.PENDING] == [
        ("email", "sms failed"),
        ("discord", "sms failed"),
    ]
    assert fall_over(record, people) == record


def test_a_dead_sms_of_a_critical_alert_becomes_a_call() -> None:
    """R6.3: where people can be called."""
    own = Recipients(sms=("+14155550100",), email=("a@example.com",))
    people = People(own, OPERATOR, voice=True)
    record = plan(AlertRecord(alert=alert()), people)
    record = fall_over(settle(record, "sms", DeliveryStatus.REFUSED), people)
    assert channels(record) == ["email", "voice"]
    assert record.deliveries[-1].note == "sms failed"


CALLED = Recipients(voice=("+14155550100",))


@pytest.mark.parametrize("routes", [ROUTES, EVERY])
def test_whoever_has_a_number_to_call_and_nothing_else_is_called_when_it_is_critical(routes: Routes) -> None:
    """R6.3: an account's own people, the next person of an escalation, and the operator."""

    def told(
        severity: str, account: str | None = "demo", *, own: Recipients = CALLED, voice: bool = True
    ) -> list[str]:
        people = People(
            own if account else NOBODY, OPERATOR if account else CALLED, routes=routes, voice=voice
        )
        return channels(plan(AlertRecord(alert=alert(severity, account)), people))

    assert told("critical") == ["voice"]
    assert told("critical", None) == ["operator voice"]
    assert told("critical", voice=False) == ["operator sms", "operator email"]
    assert "voice" not in told("warning")  # nobody is called at night for that: the operator has it
    assert told("critical", own=CALLED.model_copy(update={"email": ("a@example.com",)})) == ["email"]


def test_a_call_is_the_last_way_to_tell_what_is_critical() -> None:
    """R6.3: the mail server is down, and there is a number that was never tried."""
    own = CALLED.model_copy(update={"email": ("a@example.com",)})
    for severity, way in (("critical", ["voice"]), ("warning", ["operator email"])):
        people = People(own, OPERATOR, voice=True)
        record = plan(AlertRecord(alert=alert(severity)), people)
        assert channels(fall_over(settle(record, "email", DeliveryStatus.DEAD), people)) == way


def test_two_dead_addresses_of_a_channel_wake_one_other_channel_only() -> None:
    """R6.1: two deleted webhooks of an info send an e-mail, not an SMS on top."""
    own = Recipients(
        sms=("+14155550100",), email=("a@example.com",), discord=(HOOK, HOOK.replace("a-", "b-"))
    )
    people = People(own, OPERATOR)
    record = plan(AlertRecord(alert=alert("info")), people)
    record = fall_over(settle(record, "discord", DeliveryStatus.REFUSED), people)
    assert channels(record) == ["email"]


def test_when_nobody_of_the_account_can_be_reached_the_operator_is_told() -> None:
    """R6.3: a critical alert that reaches nobody is escalated."""
    people = People(Recipients(sms=("+14155550100",), email=("a@example.com",)), OPERATOR)
    record = plan(AlertRecord(alert=alert()), people)
    record = fall_over(settle(record, "sms", DeliveryStatus.REFUSED), people)
    assert channels(record) == ["email"]
    record = fall_over(settle(record, "email", DeliveryStatus.DEAD), people)
    assert channels(record) == ["operator sms", "operator email"]
    assert "demo could not be reached" in record.deliveries[-1].note
    record = settle(record, "sms", DeliveryStatus.DEAD)
    record = fall_over(settle(record, "email", DeliveryStatus.DEAD), people)
    assert not record.pending
    assert not record.delivered


def settle_one(record: AlertRecord, number: int) -> AlertRecord:
    failed = record.deliveries[number].model_copy(update={"status": DeliveryStatus.DEAD})
    return record.changed(failed)


TWO_MAILS = Recipients(email=("a@example.com", "b@example.com"))


@pytest.mark.parametrize("severity", ["warning", "critical"])
def test_when_the_addresses_of_the_last_channel_fail_one_by_one_the_operator_is_told(severity: str) -> None:
    """R6.3: the first mail fails while the second is still to go out; that one fails too."""
    people = People(TWO_MAILS, OPERATOR)
    record = plan(AlertRecord(alert=alert(severity)), people)
    record = fall_over(settle_one(record, 0), people)
    assert channels(record) == ["email"]
    record = fall_over(settle_one(record, 1), people)
    told = ["operator email"] if severity == "warning" else ["operator sms", "operator email"]
    assert channels(record) == told
    assert [d.replaced_by for d in record.deliveries if not d.for_operator] == ["operator", "operator"]
    assert fall_over(record, people) == record


@pytest.mark.parametrize("account", ["demo", None])
def test_when_the_addresses_of_the_last_channel_fail_one_by_one_a_critical_alert_is_a_call(
    account: str | None,
) -> None:
    """R6.3: for an account's own people as for the operator."""
    whom = TWO_MAILS.model_copy(update={"voice": ("+14155550100",)})
    people = People(whom if account else NOBODY, OPERATOR if account else whom, voice=True)
    record = plan(AlertRecord(alert=alert(account=account)), people)
    for number in (0, 1):
        record = fall_over(settle_one(record, number), people)
    assert channels(record) == ["voice" if account else "operator voice"]


def test_a_stored_alert_that_nobody_was_told_of_reaches_the_operator_with_its_next_try() -> None:
    """R6.3: as an earlier version left it: each address replaced by nobody, the operator never told."""
    people = People(TWO_MAILS, OPERATOR)
    record = plan(AlertRecord(alert=alert("warning")), people)
    left = (d.model_copy(update={"replaced_by": "nobody"}) for d in record.deliveries)
    record = settle(record.changed(*left), "email", DeliveryStatus.DEAD).reopened()
    for number in (0, 1):
        record = fall_over(settle_one(record, number), people)
    assert channels(record) == ["operator email"]


def test_an_account_that_was_told_by_one_channel_does_not_wake_the_operator() -> None:
    """R6.1"""
    people = People(TRADER, OPERATOR)
    record = settle(plan(AlertRecord(alert=alert()), people), "discord", DeliveryStatus.SENT)
    record = settle(settle(record, "sms", DeliveryStatus.DEAD), "email", DeliveryStatus.DEAD)
    assert not fall_over(record, people).pending


def test_a_trader_who_is_the_operator_gets_one_message_for_each_address() -> None:
    """R6.1"""
    people = People(TRADER, TRADER)
    record = plan(AlertRecord(alert=alert()), people)
    for channel in ("sms", "email", "discord"):
        record = settle(record, channel, DeliveryStatus.DEAD)
    assert len(fall_over(record, people).deliveries) == 3


def test_an_address_that_was_removed_is_given_up() -> None:
    """R6.1: the account's settings hold at the moment of sending."""
    record = plan(AlertRecord(alert=alert("info")), People(TRADER, OPERATOR))
    moved = People(Recipients(email=("new@example.com",)), OPERATOR)
    record = plan(record, moved)
    assert channels(record, DeliveryStatus.DEAD) == ["discord"]
    assert channels(record) == ["email"]


def test_five_tries_or_a_wait_beyond_thirty_seconds_make_a_delivery_dead() -> None:
    """R6.1"""
    delivery = DeliveryRecord(channel="sms", to="m", hint="...0100")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        delivery = delivery.put_off("busy", NOW, 2.0)
        assert delivery.attempts == attempt
        assert delivery.failed is (attempt == MAX_ATTEMPTS)
    assert DeliveryRecord(channel="discord", to="m", hint="").put_off("429", NOW, 3600).failed


def test_stored_state_and_hints_hold_no_address() -> None:
    """R8.3: a webhook is a secret, and a record needs no phone numbers."""
    stored = plan(AlertRecord(alert=alert()), People(TRADER, OPERATOR)).model_dump_json()
    assert not any(word in stored for word in ("a-secret-token", "4155550100", "trader@"))
    assert hint("sms", "+14155550100") == "...0100"
    assert hint("email", "trader@example.com") == "t...@example.com"
    assert hint("discord", HOOK) == "webhook 1000000000000000001"
