"""R6.2, trading opportunity: a price that somebody waits for, or a message that a program of the account publishes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stopline.model.account import Account
from stopline.model.errors import Rejected
from stopline.model.wire import validate
from stopline.runtime.embedded import Embedded

from ..make import trade
from .test_alert_desk import NOW, raise_alert, sent, world

CALL = {"name": "breakout", "symbol": "QQQ", "side": "above", "price": "500", "note": "Sell a put spread"}
DIP = {"name": "dip", "symbol": "QQQ", "side": "below", "price": "480", "severity": "warning"}


def watching(*levels: dict[str, Any]) -> Embedded:
    """An account that holds SPY and asks to be told of prices of QQQ."""
    one = world()
    fresh = validate(Account, {**one.app.accounts.require("demo").model_dump(mode="json"), "levels": levels})
    one.app.account_writer.change("demo", lambda a: a.model_copy(update={"levels": fresh.levels}), "ann")
    one.app.recorder.record([trade(1, 1, 100, executed_at=NOW)], "m-1")
    one.clock.set(NOW + timedelta(minutes=1))  # settings hold within 30 s
    return one


def price(one: Embedded, value: float, symbol: str = "QQQ") -> None:
    one.clock.set(one.clock.now() + timedelta(seconds=20))
    batch = {"as_of": one.clock.now().isoformat(), "symbols": [symbol], "last": [value]}
    one.publish("prices", {"type": "stopline.prices.v1", **batch})
    one.run()


def told(one: Embedded) -> list[str]:
    return [text for _, _, text in sent(one) if "QQQ" in text]


def test_a_level_that_is_reached_is_told_at_once_and_once_until_the_price_has_gone_back() -> None:
    """R6.2: at the level, not beyond it only; half a percent back re-arms it. What is not held is watched too."""
    one = watching(CALL)
    for value in (499.9, 500, 503, 499, 500.5):  # 499 is not half a percent below
        price(one, value)
    note = "QQQ is 500, at or above 500: Sell a put spread"
    assert told(one) == [note]  # without Discord: by mail
    assert one.channels["sms"].sent == []
    price(one, 497.4)
    price(one, 501)
    assert len(told(one)) == 2
    [alert] = {
        m.alert.alert_id: m.alert for m in one.channels["email"].sent if "501" in m.alert.summary
    }.values()
    assert (alert.kind, alert.object, alert.severity.value) == ("opportunity", "breakout", "info")
    assert alert.action == "Nothing was traded."
    assert "QQQ is 501" in one.channels["email"].sent[-1].text


def test_a_level_below_and_its_severity() -> None:
    one = watching(CALL, DIP)
    price(one, 490)
    price(one, 479.5)
    assert told(one) == ["QQQ is 479.5, at or below 480"]  # a warning goes by mail as it is
    standing = one.app.alert_desk.read("demo").standing
    (level,) = (s for s in standing.values() if s.alert.object == "dip")
    assert level.state.value == "resolved"  # it has happened: nothing to take, nothing to repeat


def test_without_a_price_nothing_is_reached_and_nothing_left() -> None:
    """I7: UNKNOWN is no crossing: after a silence the same level is not told again."""
    one = watching(CALL)
    price(one, 501)
    assert len(told(one)) == 1
    one.clock.set(one.clock.now() + timedelta(minutes=30))
    price(one, 100, "SPY")  # the account is valued, QQQ is stale
    price(one, 502)
    assert len(told(one)) == 1


def test_another_price_is_another_level() -> None:
    one = watching(CALL)
    price(one, 501)
    facts = one.app.accounts.require("demo").model_dump(mode="json")
    moved = validate(Account, {**facts, "levels": [CALL | {"price": "501"}]})
    one.app.account_writer.change("demo", lambda a: a.model_copy(update={"levels": moved.levels}), "ann")
    one.clock.set(one.clock.now() + timedelta(minutes=1))
    price(one, 501)
    assert [text.split(":")[0] for text in told(one)] == [
        "QQQ is 501, at or above 500",
        "QQQ is 501, at or above 501",
    ]


@pytest.mark.parametrize(
    "wrong", [{"price": "0"}, {"price": "-1"}, {"side": "at"}, {"symbol": ""}, {"name": "A B"}]
)
def test_a_level_that_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    facts = {"account": "demo", "owner": "ann", "currency": "USD", "capital": "1"}
    with pytest.raises(Rejected):
        validate(Account, {**facts, "levels": [CALL | wrong]})


def test_a_program_of_the_account_may_publish_one() -> None:
    """R6.2: the same message as Stopline's own, on topic `alerts`: routed, each id once, on record."""
    one = world()
    for _ in range(2):
        raise_alert(
            one,
            "signal",
            "info",
            kind="opportunity",
            object="QQQ iron condor",
            summary="QQQ iron condor: IV rank 62, credit 1.45, risk-reward 1.9",
        )
    one.run()
    assert len(told(one)) == 1
    assert one.history.rows["alerts"][-1]["kind"] == "opportunity"
