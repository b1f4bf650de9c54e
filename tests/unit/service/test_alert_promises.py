"""What is promised beside the messages: nothing twice after a quiet night, links that do something, one episode."""

from __future__ import annotations

import json

import pytest

from stopline.rules.alerting.ack_links import AckLinks
from stopline.rules.alerting.texts import plain_text
from stopline.runtime.embedded import Embedded

from .test_alert_desk import raise_alert, sent, sweep, world
from .test_watchdog import Round

LINKS = AckLinks("https://alerts.example.com", "0123456789abcdef0123456789abcdef")
NIGHT = {"start": "09:00", "end": "11:00"}  # in New York; the tests begin at 10:02


def morning(one: Embedded, minutes: int = 90) -> list[str]:
    """Let the quiet hours end, and more than half an hour pass; return what was told."""
    before = len(sent(one))
    sweep(one, minutes)
    return [text for _, _, text in sent(one)[before:]]


def test_what_waited_for_the_morning_comes_once_in_one_message() -> None:
    """R6.1: warnings that were raised again and again, one that ended, one that was told before the night."""
    one = world(quiet={**NIGHT, "start": "10:04"})
    raise_alert(one, "early", "warning", kind="max_leverage", summary="Leverage is 4.4x")
    one.run()
    assert len(sent(one)) == 1
    sweep(one, 3)
    for turn in range(3):
        for symbol in ("AAPL", "MSFT"):
            raise_alert(
                one,
                f"{symbol}{turn}",
                "warning",
                kind="max_position_value",
                object=symbol,
                summary=f"{symbol} is large",
            )
        raise_alert(one, f"lev{turn}", "warning", kind="max_leverage", summary="Leverage is 4.4x")
        one.run()
        sweep(one, 2)
    raise_alert(one, "short", "warning", kind="stale_prices", object="prices", summary="No price")
    one.run()
    raise_alert(
        one, "over", "info", kind="stale_prices", object="prices", summary="Prices again", resolved=True
    )
    one.run()
    assert len(sent(one)) == 1
    assert morning(one) == ["2 more alerts, 0 critical: max position value 2"]
    [digest] = [d.data for d in one.store.query("alerts") if d.data["kind"] == "digest"]
    assert json.loads(digest["state"])["lines"] == ["WARNING AAPL is large", "WARNING MSFT is large"]


def test_a_critical_alert_of_the_night_is_not_told_again_in_the_morning() -> None:
    """R6.1: it went out at once and somebody has it; only what waited comes."""
    one = world(quiet=NIGHT)
    raise_alert(one, "w", "warning", kind="max_leverage", summary="Leverage is 4.4x")
    raise_alert(one, "c")
    one.run()
    one.app.alert_desk.acknowledge("demo", "c", "ann")
    assert morning(one) == ["Leverage is 4.4x"]


@pytest.mark.parametrize(
    ("severity", "resolved", "has"),
    [("critical", False, True), ("critical", True, False), ("warning", False, False), ("info", False, False)],
)
def test_a_message_has_a_link_where_taking_it_ends_something(
    severity: str, resolved: bool, has: bool
) -> None:
    """R6.3: an escalation ends by it; of a warning, of news and of what is over there is nothing to end."""
    one = world()
    found: list[str] = []
    one.app.dispatcher._links = LINKS
    for channel in one.channels.values():
        usual = channel.send

        def keeping(address, alert, zone, around, usual=usual):  # type: ignore[no-untyped-def]
            found.append(plain_text(alert, zone, around))
            return usual(address, alert, zone, around)

        channel.send = keeping  # type: ignore[method-assign]
    raise_alert(one, "a1", severity, resolved=resolved)
    one.run()
    assert found
    assert all((LINKS.base_url in text) is has for text in found)
    if has:
        assert one.app.alert_desk.acknowledge("demo", "a1", "link:x")


def test_suppressed_protection_is_one_alert_an_episode_however_long_it_lasts() -> None:
    """R5.4: an hour without prices, with every limit of losses blind, is one alert and its end; so is the next hour."""
    one = Round()
    one.minutes(2)
    for episode in (1, 2):
        one.minutes(60, price=False)
        told = [over for kind, over in one.alerts if kind == "protection_suppressed"]
        assert told == [False, True] * (episode - 1) + [False]
        one.minutes(10)
    told = [over for kind, over in one.alerts if kind == "protection_suppressed"]
    assert told == [False, True, False, True]
