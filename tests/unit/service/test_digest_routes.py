"""A message that tells of several alerts goes to whoever each of them goes to, and to nobody else."""

from __future__ import annotations

from typing import Any

from stopline.ports import ChannelRefused
from stopline.runtime.embedded import Embedded

from .test_alert_desk import raise_alert, sent, sweep, world
from .test_channel_failed import Dying

POSITION = {"kind": "max_position_value"}
BOB, ANN = "bob@example.com", "ann@example.com"
RECIPIENTS = {"email": [BOB], "sms": ["+14155550122"]}
TO_BOB = {"kinds": ["max_position_value", "max_exposure"], "channels": ["email"], "people": ["bob"]}


def routed(**alerting: Any) -> Embedded:
    people = [{"name": "bob", "recipients": RECIPIENTS}]
    return world(people=people, routes=[TO_BOB], escalate_after_s=[], **alerting)


def breaches(one: Embedded, number: int, severity: str = "critical") -> None:
    for n in range(number):
        what = {"object": f"S{n}", "summary": f"Position S{n} breached"}
        raise_alert(one, f"p{n}", severity, **POSITION, **what)
        one.run()


def test_what_is_over_the_budget_goes_by_the_route_of_its_kind() -> None:
    """R6.1, R6.2: whoever hears of the first five hears of the other three."""
    one = routed()
    breaches(one, 8)
    sweep(one, 2)
    assert {address for _, address, _ in sent(one)} == {BOB}
    assert sent(one)[-1] == ("email", BOB, "3 more alerts, 3 critical: max position value 3")


def test_what_quiet_hours_held_goes_by_the_route_of_its_kind() -> None:
    """R6.1"""
    one = routed(quiet={"start": "09:00", "end": "11:00"})
    raise_alert(one, "p", "warning", **POSITION)
    raise_alert(one, "e", "warning", kind="max_exposure")
    one.run()
    sweep(one, 60)
    [(channel, address, summary)] = sent(one)
    assert (channel, address) == ("email", BOB)
    assert summary.startswith("2 more alerts, 0 critical: max ")


def test_a_digest_of_two_routes_goes_to_both_each_by_its_own_channels() -> None:
    """R6.1: bob's route is mail, whatever comes with it; ann's warning rings no phone beside his critical alert."""
    one = routed()
    breaches(one, 6)
    raise_alert(one, "w", "warning", kind="stale_prices", summary="No price for A")
    one.run()
    assert {address for _, address, _ in sent(one)} == {BOB}
    sweep(one, 2)
    digest = "2 more alerts, 1 critical: max position value 1, stale prices 1"
    assert [m for m in sent(one) if "more alerts" in m[2]] == [("email", BOB, digest), ("email", ANN, digest)]


def test_a_way_without_an_address_takes_another_channel_of_its_people() -> None:
    """R6.1: nobody is left out because others of the digest can be reached."""
    one = routed()
    route = TO_BOB | {"channels": ["telegram"]}
    one.app.account_writer.change("demo", lambda a: _with_route(a, route), "ann")
    breaches(one, 6)
    raise_alert(one, "w", "warning", kind="stale_prices")
    one.run()
    sweep(one, 2)
    digests = [m[:2] for m in sent(one) if "more alerts" in m[2]]
    assert set(digests) == {("email", BOB), ("email", ANN)}


def test_after_an_outage_each_route_has_its_own_message() -> None:
    """R6.1: what bob alone hears of is not told by a message that only ann got."""
    one = routed()
    one.channels.update({name: Dying(name) for name in one.channels})
    for channel in one.channels.values():
        channel.problem = ChannelRefused("down")  # type: ignore[attr-defined]
    breaches(one, 3)
    for n in range(2):
        raise_alert(one, f"m{n}", kind="max_margin_use", object=f"M{n}")
        one.run()
    for channel in one.channels.values():
        channel.problem = None  # type: ignore[attr-defined]
    sweep(one, 6)
    found = {(a, s.split(" since")[0]) for _, a, s in sent(one) if "reached nobody" in s}
    assert found == {(BOB, "3 alerts reached nobody"), (ANN, "2 alerts reached nobody")}


def _with_route(account: Any, route: dict[str, Any]) -> Any:
    plain = account.model_dump(mode="json")
    return type(account).model_validate(plain | {"alerting": plain["alerting"] | {"routes": [route]}})
