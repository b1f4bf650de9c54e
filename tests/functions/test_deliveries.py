"""What a delivery tells beside its message: a dead letter, and a clock that is behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from stopline.model.messages import CONTROL_TYPE, Severity

from .conftest import NOON, Serve, Served, open_accounts, raw_fill


def dead(subscription: str) -> dict[str, str]:
    """What Pub/Sub adds to a message that it gives up."""
    return {
        "CloudPubSubDeadLetterSourceSubscription": subscription,
        "CloudPubSubDeadLetterSourceDeliveryCount": "50",
        "broker": "paper",
    }


def told(served: Served, kind: str) -> list[tuple[Severity, str]]:
    served.world.run()
    sent = served.world.channels["email"].sent
    return [(s.alert.severity, s.alert.summary) for s in sent if s.alert.kind == kind]


@pytest.mark.parametrize(
    ("subscription", "severity"),
    [
        ("fills-push", Severity.CRITICAL),
        ("orders-broker", Severity.CRITICAL),
        ("history-push", Severity.WARNING),
    ],
)
def test_people_are_told_of_dead_letters_once_for_all_of_an_outage(
    serve: Serve, subscription: str, severity: Severity
) -> None:
    """F25, F17: whatever the message is; 204, so that it is not pushed again."""
    alerts = serve("alerts")
    for number, message in enumerate((b"poison", b"{}", b'{"type": "stopline.alert.v1"}')):
        assert alerts.push(message, dead(subscription), f"m-{number}").status_code == 204
    topic = subscription.partition("-")[0]
    assert told(alerts, "dead_letter") == [
        (severity, f"Messages on {topic} were given up after every try, and are kept")
    ]
    assert alerts.quarantined() == []


def test_the_name_of_a_subscription_may_be_anything(serve: Serve) -> None:
    """F25: what is no name is told all the same."""
    alerts = serve("alerts")
    assert alerts.push(b"poison", dead("fills-" + "x" * 1000), "m-1").status_code == 204
    assert len(told(alerts, "dead_letter")) == 1
    assert alerts.quarantined() == []


def test_the_prefix_of_a_deployment_is_no_topic(serve: Serve) -> None:
    """F25: several environments may be in one project."""
    alerts = serve("alerts")
    alerts.app.ports = replace(alerts.app.ports, subscriptions="projects/p/subscriptions/dev-")
    body = {"message": {"data": "", "messageId": "m", "attributes": dead("dev-history-push")}}
    body["subscription"] = "projects/p/subscriptions/dev-alerts-dead-history"
    assert alerts.client.post("/", json=body).status_code == 204
    [(severity, text)] = told(alerts, "dead_letter")
    assert severity is Severity.WARNING
    assert text.startswith("Messages on history were")


def test_the_clock_of_a_replay_is_not_held_against_pubsub(serve: Serve) -> None:
    """The demo plays a day of 2018."""
    fills = serve("fills")
    open_accounts(fills, "demo")
    fills.app.ports = replace(fills.app.ports, replayed=True)
    assert fills.push(raw_fill(), published="2026-11-21T10:00:00Z").status_code == 204
    assert len(fills.world.store.query("fills")) == 1


def test_people_are_told_again_when_it_goes_on(serve: Serve) -> None:
    alerts = serve("alerts")
    for number in range(2):
        assert alerts.push(b"poison", dead("fills-push"), f"m-{number}").status_code == 204
        alerts.world.clock.set(NOON + timedelta(seconds=600))
    texts = [text for _, text in told(alerts, "dead_letter") if "nobody has acknowledged" not in text]
    assert len(texts) == 2


@pytest.mark.parametrize("name", ["fills", "prices", "sweep"])
def test_an_instance_whose_clock_is_behind_takes_nothing_and_says_so(serve: Serve, name: str) -> None:
    """F35, B34: another instance books it; a fill would be of the future here, a sweep of a minute that is to come."""
    served = serve(name)
    open_accounts(served, "demo")
    for number in range(2):
        answer = served.push(raw_fill(), message_id=f"m-{number}", published="2026-11-18T17:01:01Z")
        assert answer.status_code == 503
    assert served.world.store.query("fills") == []
    assert served.quarantined() == []
    source = "sweeps" if name == "sweep" else name
    text = f"The clock of an instance of {source} is more than a minute behind Pub/Sub's"
    assert told(served, "clock_skew") == [(Severity.CRITICAL, text)]


def test_a_kill_that_waits_to_be_stored_waits_for_no_clock(serve: Serve) -> None:
    """R0.4, I6: people were told that it holds."""
    sweep = serve("sweep")
    open_accounts(sweep, "demo")
    request = {"request_id": "k", "scope": "account:demo", "action": "kill", "actor": "ann", "reason": "test"}
    message = orjson.dumps({"type": CONTROL_TYPE, "request": request})
    assert sweep.push(message, published="2026-11-18T17:05:00Z").status_code == 204
    assert [d.data["trading_state"] for d in sweep.world.store.query("controls")] == ["HALTED"]
    named = orjson.dumps({"type": "stopline.sweep.v1", "kind": "risk", "x": CONTROL_TYPE})
    assert sweep.push(named, message_id="m-2", published="2026-11-18T17:05:00Z").status_code == 503


def test_a_minute_of_skew_and_a_message_that_waited_are_taken(serve: Serve) -> None:
    """F35."""
    fills = serve("fills")
    open_accounts(fills, "demo")
    for number, published in enumerate(("2026-11-18T17:01:00Z", "2026-11-15T17:00:00Z")):
        answer = fills.push(raw_fill(f"E-{number}"), message_id=f"m-{number}", published=published)
        assert answer.status_code == 204
    assert len(fills.world.store.query("fills")) == 2
    assert told(fills, "clock_skew") == []


def test_a_fill_of_the_future_is_told_as_what_it_is_a_position_that_is_wrong(serve: Serve) -> None:
    """B34."""
    fills = serve("fills")
    open_accounts(fills, "demo")
    assert fills.push(raw_fill(executed_at="2026-11-18T17:10:00Z")).status_code == 204
    [(severity, text)] = told(fills, "quarantine")
    assert severity is Severity.CRITICAL
    assert "executed at 2026-11-18T17:10:00Z" in text


def test_refused_messages_of_a_source_are_one_alert_of_one_text(serve: Serve) -> None:
    """I5: whichever of them is first."""
    fills = serve("fills")
    for number in range(3):
        assert fills.push({"n": number}, message_id=f"m-{number}").status_code == 204
    assert len(fills.quarantined()) == 3
    [(severity, text)] = told(fills, "quarantine")
    reasons = {kept["reason"] for kept in fills.quarantined()}
    assert severity is Severity.WARNING
    assert {text} == {f"Messages on fills are refused and kept: {reason}" for reason in reasons}
