"""The client of adapters: with a lease, and no longer than it runs, an order may add risk; what is not known adds none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from stopline.adapters.clock import ManualClock
from stopline.client import Beside, Client, Order
from stopline.model.control import TradingState
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.lease import Lease
from stopline.ports import Put
from stopline.service.sweep.heartbeat import HEARTBEAT, unwatched_text

from .client_calls import SPY, act, ask, client_of, lease_at, order
from .conftest import NOON, Served, raw_fill, wait


def test_without_a_lease_nothing_adds_risk_and_reducing_goes_on(swept: Served) -> None:
    """F42, fail table: closed for what adds risk, open for what reduces it."""
    client = client_of(swept)
    assert client.refusal(order()) is not None
    assert client.refusal(order(10, 4)) is None
    assert client.renew()
    assert client.refusal(order()) is None
    wait(swept, 59)
    assert client.refusal(order()) is None
    wait(swept, 1)
    assert client.refusal(order()) is not None
    assert client.refusal(order(-10, -4)) is None


def test_a_failed_renewal_keeps_the_lease_to_its_end_and_no_longer(swept: Served) -> None:
    """Fail table: Firestore unreadable."""
    client = client_of(swept)
    client.renew()
    swept.outage()
    wait(swept, 40)
    assert not client.renew()
    assert client.refusal(order()) is None
    wait(swept, 20)
    assert "503" in str(client.refusal(order()))


def test_a_slow_answer_makes_no_lease_longer() -> None:
    clock = ManualClock(NOON)

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        granted = clock.now()
        clock.set(granted + timedelta(seconds=50))
        lease = Lease(
            account="demo",
            state=TradingState.ACTIVE,
            epoch=0,
            size=Decimal(1),
            granted_at=granted,
            expires_at=granted + timedelta(seconds=600),
        )
        return 200, lease.model_dump(mode="json")

    client = Client("demo", "a", post, clock)
    assert client.renew()
    assert client.is_leased()
    clock.set(NOON + timedelta(seconds=60))
    assert not client.is_leased()


def test_an_older_answer_that_comes_later_takes_nothing_back() -> None:
    """R5.5: programs were switched off, which begins no epoch; two renewals overtake each other on the way."""
    client = Client("demo", "a", lambda path, body: (500, {}), ManualClock(NOON))

    def overtaken(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = 200, lease_at(NOON)
        client.post = lambda path, body: (200, lease_at(NOON, auto=False))
        assert client.renew()
        return answer

    client.post = overtaken
    assert not client.renew()
    assert ", 3 holds" in client.fault
    assert client.refusal(order()) == "automatic trading is off for core"
    assert client.is_leased(), "the newer one holds"
    client.post = lambda path, body: (200, lease_at(NOON))
    assert client.renew()
    assert client.refusal(order()) is None


def test_a_lease_of_an_instance_whose_clock_is_ahead_shuts_out_no_other_one() -> None:
    """F35: one such answer kept every later one from being believed, until the right clocks were where it had been."""
    clock = ManualClock(NOON)
    client = Client("demo", "a", lambda path, body: (200, lease_at(clock.now() + timedelta(hours=1))), clock)
    assert client.renew()
    client.post = lambda path, body: (200, lease_at(clock.now()))
    clock.set(NOON + timedelta(seconds=20))
    assert client.renew()
    clock.set(NOON + timedelta(seconds=79))
    assert client.is_leased()


def test_a_stopline_of_before_is_not_told_how_many_orders_were_sent(swept: Served) -> None:
    """F47: it refuses the field, and its lease is had without."""

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if "orders" in body:
            return 400, {"title": "BAD_MESSAGE", "detail": "orders: is not known"}
        return 200, ask(swept, dict(body)).get_json()

    client = Client("demo", "a", post, swept.world.clock)
    assert client.renew()
    assert client.refusal(order()) is None


def test_a_lease_tells_how_many_orders_were_let_through_since_the_last_answer(swept: Served) -> None:
    """R5.4: the client counts; what was refused, or only looked at, was not sent; what nobody heard is told again."""
    client, asked = client_of(swept), list[Any]()
    post = client.post
    client.post = lambda path, body: (asked.append(body["orders"]), post(path, body))[1]
    client.renew()
    for _ in range(3):
        assert client.refusal(order()) is None
    assert client.refusal(order(), is_sent=False) is None
    act(swept, "pause", "p")
    swept.outage()
    assert not client.renew()
    swept.store.fault = None
    assert client.renew()
    assert client.refusal(order()) is not None
    assert client.renew()
    assert client.renew(orders=7)
    assert asked == [0, 3, 3, 0, 7]


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ({"latency_ms": -5}, {}),  # of a clock that was set back: unknown
        ({"latency_ms": float("nan")}, {}),
        ({"latency_ms": 12.5}, {"latency_ms": 12}),
        ({"latency_ms": 9e7}, {"latency_ms": 86_400_000}),
        ({"latency_ms": float("inf")}, {"latency_ms": 86_400_000}),
        ({"errors": -1}, {}),
        ({"errors": 10**9}, {"errors": 1_000_000}),
    ],
    ids=str,
)
def test_what_no_lease_can_tell_keeps_no_lease_from_being_had(
    swept: Served, told: dict[str, Any], heard: dict[str, Any]
) -> None:
    """R5.4: an adapter's own measuring stops no trading, and loses no count of orders; what is beyond a threshold adds no
    risk.
    """
    client, asked = client_of(swept), list[Any]()
    client.renew()
    assert client.refusal(order()) is None
    post = client.post
    client.post = lambda path, body: (asked.append(dict(body)), post(path, body))[1]
    assert client.renew(**told)
    assert client.renew(**told)  # of slow answers two running count
    assert asked == [{"adapter": "a", "orders": n, **heard} for n in (1, 0)]
    is_bad = heard.get("latency_ms", 0) > 2000 or heard.get("errors", 0) > 4
    assert client.refusal(order()) == ("core in SPY is REDUCING" if is_bad else None)
    assert client.refusal(order(10, 4)) is None
    assert client.renew(orders=1)
    assert client.refusal(order()) is None
    with pytest.raises(TypeError):
        client.renew(latency_ms="soon")  # type: ignore[arg-type]
    assert client.renew()
    assert asked[-1]["orders"] == 1


def test_two_renewals_at_once_tell_each_order_once(swept: Served) -> None:
    """R5.4: one overtakes the other on its way; the next asks all the same."""
    client, told = client_of(swept), list[int]()
    post = client.post

    def slow(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        told.append(body["orders"])
        if len(told) == 2:
            assert client.renew()
        return post(path, body)

    client.post = slow
    assert client.renew()
    for _ in range(3):
        assert client.refusal(order()) is None
    assert not client.renew(), "another one was asked for later, and that one holds"
    assert client.refusal(order(), is_sent=False) is None
    assert client.renew()
    assert told == [0, 3, 0, 0]


class Wall(ManualClock):
    """A clock that may be set back, and ticks that are not."""

    passed = 0.0

    def ticks(self) -> float:
        return self.passed


@pytest.mark.parametrize("back", [5, 40, 90])
def test_a_clock_that_is_set_back_makes_no_lease_longer(swept: Served, back: int) -> None:
    """F42: 60 s, as they pass; and not a moment of before it was asked for."""
    client, clock = client_of(swept), Wall(swept.world.clock.now())
    client.clock = clock
    assert client.renew()
    clock.set(clock.now() + timedelta(seconds=50 - back))
    clock.passed = 50
    assert client.is_leased() is (back <= 50)
    clock.set(clock.now() + timedelta(seconds=9))
    clock.passed = 59
    assert client.is_leased() is (back <= 50)
    clock.set(clock.now() + timedelta(seconds=1))
    clock.passed = 60
    assert not client.is_leased()
    assert client.renew()


def test_the_long_leg_of_a_spread_is_not_sold_in_a_pause_or_without_a_lease(swept: Served) -> None:
    """R5.1, R2.2: it would leave a naked short. The same option alone may always be sold."""
    facts = {"kind": "option", "currency": "USD", "multiplier": "100", "underlying": "SPXW", "right": "P"}
    long, short = (
        Instrument.model_validate(
            {**facts, "symbol": f"SPXW261118P0{strike}000", "expiry": "2026-11-18", "strike": str(strike)}
        )
        for strike in (5990, 6000)
    )
    spread = Order.of("core", long, Decimal(10), Decimal(-10), [], [Beside(short, Decimal(-10))])
    alone = Order.of("core", long, Decimal(10), Decimal(-10), [], [])
    client = client_of(swept)
    assert str(client.refusal(spread)).startswith("there is no lease")
    assert client.refusal(alone) is None
    act(swept, "pause", "p")
    client.renew()
    assert client.refusal(spread) == "core in SPXW is REDUCING"
    assert client.refusal(alone) is None


def test_what_is_paused_or_halted_or_switched_off_is_refused(swept: Served) -> None:
    """R5.1, R5.5: by account, strategy, underlying, and for programs."""
    client = client_of(swept)
    act(swept, "pause", "p", "strategy:demo:core")
    client.renew()
    assert client.refusal(order()) is not None
    assert client.refusal(order(10, 5)) is None
    assert client.refusal(order(10, -5)) is not None, "through zero is no reduction"
    assert client.refusal(order(strategy="other")) is None
    act(swept, "kill", "k", "underlying:demo:SPY")
    client.renew()
    assert client.refusal(order(10, 5, strategy="other")) == "underlying:demo:SPY is HALTED"
    assert client.size("other", "QQQ") == 1
    account = swept.world.app.accounts.require("other")
    off = account.trading.model_copy(update={"auto_trading": False})
    swept.world.app.account_writer.change("demo", lambda a: a.model_copy(update={"trading": off}), "ann")
    wait(swept, 31)  # accounts are kept for 30 s
    client.renew()
    qqq = Instrument.model_validate({"symbol": "QQQ", "kind": "equity", "currency": "USD"})
    assert client.refusal(Order("other", qqq, Decimal(0), Decimal(1))) is not None
    assert client.refusal(Order("other", qqq, Decimal(0), Decimal(1), automatic=False)) is None


def test_an_account_that_the_sweep_cannot_look_after_trades_at_half(swept: Served) -> None:
    """Fail table: an outbox that is stuck is told by the sweep that cannot empty it; others trade on at full size."""
    store, clock = swept.world.store, swept.world.clock
    swept.world.sweep()
    swept.world.run()
    client = client_of(swept)
    assert (client.renew(), client.size("core", "SPY")) == (True, 1)
    beat = store.get(HEARTBEAT)
    assert beat is not None
    for unwatched, size in ((["demo"], Decimal("0.5")), (["other"], Decimal(1))):
        text = unwatched_text(dict.fromkeys(unwatched, clock.now()))
        store.commit([Put(HEARTBEAT, {**beat.data, "unwatched": text})])
        assert (client.renew(), client.size("core", "SPY")) == (True, size)


@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, []), (200, None), (200, {}), (200, {"approved": "yes"}), (502, None), ("200", {}), (204, "x")],
)
def test_whatever_else_answers_adds_no_risk(status: Any, answer: Any) -> None:
    """Fail table: a portal, a proxy, a cut-off answer; nothing is raised in the middle of an order."""
    client = Client("demo", "a", lambda path, body: (status, answer), ManualClock(NOON))
    assert not client.renew()
    assert client.refusal(order()) is not None
    assert client.check({})["approved"] is False
    assert client.refusal(order(10, 4)) is None


def test_a_check_says_nothing_about_the_lease(swept: Served) -> None:
    client = client_of(swept)
    client.renew()
    client.check({"no": "order"})
    wait(swept, 60)
    assert client.refusal(order()) == "there is no lease: the last one has run out"


def test_a_lease_of_another_account_is_none(swept: Served) -> None:
    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, ask(swept, dict(body), account="other").get_json()

    client = Client("demo", "a", post, swept.world.clock)
    assert not client.renew()
    assert "the lease is of epoch 0 of other" in str(client.refusal(order()))


def test_a_lease_that_has_run_out_says_so(swept: Served) -> None:
    client = client_of(swept)
    client.renew()
    wait(swept, 60)
    assert client.refusal(order()) == "there is no lease: the last one has run out"


def test_a_lease_of_a_later_version_is_read(swept: Served) -> None:
    """F47: what a field means that is not known here, nobody needs to know who did without it."""
    asked: list[Mapping[str, Any]] = []

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        asked.append(body)
        return 200, {**ask(swept, dict(body)).get_json(), "of_tomorrow": 1}

    client = Client("demo", "a", post, swept.world.clock)
    assert client.renew()
    assert "stored" not in ask(swept).get_json(), "nor is an earlier client told what it would refuse"
    assert asked == [{"adapter": "a", "orders": 0}]


def test_a_fill_is_published_as_stopline_takes_it(swept: Served) -> None:
    client = client_of(swept)
    client.publish(Fill.model_validate(raw_fill()))
    client.publish(Fill.model_validate(raw_fill()))
    swept.world.run()
    book = swept.world.app.books.read("demo")
    assert book is not None
    assert book.fills == 1


def test_a_decision_that_cannot_be_had_is_a_refusal(swept: Served) -> None:
    """R2.6: said in the words of a decision that was had."""
    order = {"legs": [{"instrument": SPY.model_dump(mode="json"), "side": "BUY"}], "quantity": "1"}
    had = client_of(swept).check(order)
    swept.outage()
    decision = client_of(swept).check(order)
    assert (decision["approved"], decision["largest"]) == (False, "0")
    assert decision.keys() <= had.keys()
    assert "503" in decision["reasons"][0]["detail"]
