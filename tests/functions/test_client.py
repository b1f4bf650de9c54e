"""Adapters: the lease over HTTP, and a client that adds no risk by what it does not know."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from stopline.adapters.clock import ManualClock
from stopline.adapters.memory import MemoryBus
from stopline.client import Beside, Client, Order, OtherAccount, http
from stopline.model.control import ControlRequest, TradingState
from stopline.model.fill import Fill
from stopline.model.instrument import Instrument
from stopline.model.lease import Lease
from stopline.model.messages import Command
from stopline.model.wire import canonical, validate
from stopline.model.working import Working
from stopline.ports import Outgoing, Put
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import receive
from stopline.service.sweep.heartbeat import HEARTBEAT, unwatched_text
from stopline.service.trading.emergency_halt import halt_unpersisted

from .conftest import NOON, Served, open_accounts, raw_fill

Serve = Callable[[str], Served]
ANN, EVE = "ann-token-0001", "eve-token-0003"
ROOT = Path(__file__).parents[2]
SPY = Instrument.model_validate({"symbol": "SPY", "kind": "equity", "currency": "USD"})


@pytest.fixture
def api(serve: Serve) -> Served:
    served = serve("api")
    open_accounts(served, "demo", "other")
    served.world.sweep()
    served.world.run()
    return served


def ask(served: Served, body: Any = None, account: str = "demo", token: str = ANN) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return served.client.post(f"/v1/accounts/{account}/lease", json=body or {"adapter": "a"}, headers=headers)


def client_of(served: Served, token: str = ANN, kept_in: Path | None = None) -> Client:
    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = served.client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code, answer.get_json()

    return Client("demo", "a", post, served.world.clock, served.world.bus, kept_in=kept_in)


def act(served: Served, action: str, id_: str, scope: str = "account:demo", **more: Any) -> None:
    facts = {"request_id": id_, "scope": scope, "action": action, "actor": "ann", "reason": "test"}
    served.world.app.trading.set(ControlRequest.model_validate({**facts, **more}))


def wait(served: Served, seconds: float) -> None:
    served.world.clock.set(served.world.clock.now() + timedelta(seconds=seconds))


def order(held: int = 0, after: int = 10, strategy: str = "core", automatic: bool = True) -> Order:
    return Order(strategy, SPY, Decimal(held), Decimal(after), automatic)


# --- the lease ---


def test_a_lease_says_what_holds_for_a_minute(api: Served) -> None:
    """Issue 6.5: at most 60 s, renewed every 20."""
    act(api, "pause", "p", "strategy:demo:core")
    lease = validate(Lease, ask(api).get_json())
    assert (lease.state, lease.epoch, lease.size, lease.renew_s) == (TradingState.ACTIVE, 1, 1, 20)
    assert lease.expires_at - lease.granted_at == timedelta(seconds=60)
    assert [(p.scope, p.state) for p in lease.parts] == [("strategy:demo:core", TradingState.REDUCING)]


def test_a_silent_sweep_ends_leases(api: Served) -> None:
    """R5.4, F42: silence of the sweep stops trading within its three rounds: no lease outlives them."""
    wait(api, 170)
    lease = validate(Lease, ask(api).get_json())
    assert lease.expires_at - lease.granted_at == timedelta(seconds=10)
    wait(api, 11)
    answer = ask(api)
    assert (answer.status_code, answer.get_json()["title"]) == (423, "SWEEP_SILENT")
    api.world.sweep()
    api.world.run()
    assert ask(api).status_code == 200


def test_a_lease_needs_the_right_to_trade(api: Served) -> None:
    """B64: and says nothing about accounts of others."""
    assert ask(api, token=EVE).status_code == 403  # she sees the account, and may not trade in it
    answers = [ask(api, account=name, token=EVE) for name in ("other", "nobody")]
    assert {a.status_code for a in answers} == {404}
    assert len({a.data for a in answers}) == 1


@pytest.mark.parametrize(
    "body", [{"adapter": "A"}, {"adapter": "a", "errors": -1}, {"adapter": "a", "state": "ACTIVE"}, {"x": 1}]
)
def test_a_bad_request_is_refused(api: Served, body: dict[str, Any]) -> None:
    assert ask(api, body).status_code == 400


def test_a_lease_is_not_made_up_when_the_store_is_down(api: Served) -> None:
    api.outage()
    assert ask(api).status_code == 503


def test_a_broker_that_is_down_makes_the_account_reduce_only_until_it_is_well(api: Served) -> None:
    """R5.3, R5.4: told by the adapter, read by the sweep, three good readings to clear."""

    def sweep(ok: bool) -> TradingState:
        wait(api, 30)
        ask(api, {"adapter": "a", "broker_ok": ok, "latency_ms": 40})
        api.world.sweep()
        api.world.run()
        return api.world.app.trading.read("account:demo").state

    found = [sweep(ok) for ok in (True, False, True, True, True)]
    assert [s.value for s in found] == ["ACTIVE", "REDUCING", "REDUCING", "REDUCING", "ACTIVE"]
    told = [s.alert.summary for s in api.world.channels["email"].sent if s.alert.kind == "breaker"]
    assert any("number of failures of the broker is 1" in text for text in told)


# --- the client ---


def test_without_a_lease_nothing_adds_risk_and_reducing_goes_on(api: Served) -> None:
    """F42, fail table: closed for what adds risk, open for what reduces it."""
    client = client_of(api)
    assert client.refusal(order()) is not None
    assert client.refusal(order(10, 4)) is None
    assert client.renew()
    assert client.refusal(order()) is None
    wait(api, 59)
    assert client.refusal(order()) is None
    wait(api, 1)
    assert client.refusal(order()) is not None
    assert client.refusal(order(-10, -4)) is None


def test_a_failed_renewal_keeps_the_lease_to_its_end_and_no_longer(api: Served) -> None:
    """Fail table: Firestore unreadable."""
    client = client_of(api)
    client.renew()
    api.outage()
    wait(api, 40)
    assert not client.renew()
    assert client.refusal(order()) is None
    wait(api, 20)
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


def lease_at(granted: datetime, auto: bool = True) -> dict[str, Any]:
    facts = {"account": "demo", "state": "ACTIVE", "epoch": 3, "size": "1", "auto_trading": auto}
    times = {"granted_at": granted, "expires_at": granted + timedelta(seconds=60)}
    return validate(Lease, {**facts, **times}).model_dump(mode="json")


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


def test_a_stopline_of_before_is_not_told_how_many_orders_were_sent(api: Served) -> None:
    """F47: it refuses the field, and its lease is had without."""

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if "orders" in body:
            return 400, {"title": "BAD_MESSAGE", "detail": "orders: is not known"}
        return 200, ask(api, dict(body)).get_json()

    client = Client("demo", "a", post, api.world.clock)
    assert client.renew()
    assert client.refusal(order()) is None


def test_a_lease_tells_how_many_orders_were_let_through_since_the_last_answer(api: Served) -> None:
    """R5.4: the client counts; what was refused, or only looked at, was not sent; what nobody heard is told again."""
    client, asked = client_of(api), list[Any]()
    post = client.post
    client.post = lambda path, body: (asked.append(body["orders"]), post(path, body))[1]
    client.renew()
    for _ in range(3):
        assert client.refusal(order()) is None
    assert client.refusal(order(), is_sent=False) is None
    act(api, "pause", "p")
    api.outage()
    assert not client.renew()
    api.store.fault = None
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
    api: Served, told: dict[str, Any], heard: dict[str, Any]
) -> None:
    """R5.4: an adapter's own measuring stops no trading, and loses no count of orders; what is beyond a threshold adds no
    risk.
    """
    client, asked = client_of(api), list[Any]()
    client.renew()
    assert client.refusal(order()) is None
    post = client.post
    client.post = lambda path, body: (asked.append(dict(body)), post(path, body))[1]
    assert client.renew(**told)
    assert asked == [{"adapter": "a", "orders": 1, **heard}]
    is_bad = heard.get("latency_ms", 0) > 2000 or heard.get("errors", 0) > 4
    assert client.refusal(order()) == ("core in SPY is REDUCING" if is_bad else None)
    assert client.refusal(order(10, 4)) is None
    assert client.renew(orders=1)
    assert client.refusal(order()) is None
    with pytest.raises(TypeError):
        client.renew(latency_ms="soon")  # type: ignore[arg-type]
    assert client.renew()
    assert asked[-1]["orders"] == 1


def test_two_renewals_at_once_tell_each_order_once(api: Served) -> None:
    """R5.4: one overtakes the other on its way; the next asks all the same."""
    client, told = client_of(api), list[int]()
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
def test_a_clock_that_is_set_back_makes_no_lease_longer(api: Served, back: int) -> None:
    """F42: 60 s, as they pass; and not a moment of before it was asked for."""
    client, clock = client_of(api), Wall(api.world.clock.now())
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


def test_the_long_leg_of_a_spread_is_not_sold_in_a_pause_or_without_a_lease(api: Served) -> None:
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
    client = client_of(api)
    assert str(client.refusal(spread)).startswith("there is no lease")
    assert client.refusal(alone) is None
    act(api, "pause", "p")
    client.renew()
    assert client.refusal(spread) == "core in SPXW is REDUCING"
    assert client.refusal(alone) is None


def test_what_is_paused_or_halted_or_switched_off_is_refused(api: Served) -> None:
    """R5.1, R5.5: by account, strategy, underlying, and for programs."""
    client = client_of(api)
    act(api, "pause", "p", "strategy:demo:core")
    client.renew()
    assert client.refusal(order()) is not None
    assert client.refusal(order(10, 5)) is None
    assert client.refusal(order(10, -5)) is not None, "through zero is no reduction"
    assert client.refusal(order(strategy="other")) is None
    act(api, "kill", "k", "underlying:demo:SPY")
    client.renew()
    assert client.refusal(order(10, 5, strategy="other")) == "underlying:demo:SPY is HALTED"
    assert client.size("other", "QQQ") == 1
    account = api.world.app.accounts.require("other")
    off = account.trading.model_copy(update={"auto_trading": False})
    api.world.app.account_writer.change("demo", lambda a: a.model_copy(update={"trading": off}), "ann")
    wait(api, 31)  # accounts are kept for 30 s
    client.renew()
    qqq = Instrument.model_validate({"symbol": "QQQ", "kind": "equity", "currency": "USD"})
    assert client.refusal(Order("other", qqq, Decimal(0), Decimal(1))) is not None
    assert client.refusal(Order("other", qqq, Decimal(0), Decimal(1), automatic=False)) is None


def command(**more: Any) -> bytes:
    facts = {
        "command_id": "c-1",
        "account": "demo",
        "action": "close",
        "epoch": 1,
        "strategy": "core",
        "instrument": SPY.model_dump(mode="json"),
        "side": "SELL",
        "quantity": "10",
        "issued_at": NOON,
        "expires_at": NOON + timedelta(seconds=30),
        **more,
    }
    return canonical(validate(Command, facts).model_dump(mode="json"))


def test_a_command_is_taken_once_in_time_and_not_of_an_epoch_that_is_over(api: Served) -> None:
    """F06, F39, F44, I6."""
    client = client_of(api)
    assert client.take(command()).command is not None
    assert client.take(command()).dropped == "it was carried out"
    assert client.take(command(command_id="c-2", epoch=0)).dropped == "epoch 0 is over, 1 holds"
    assert client.take(b"{oops").command is None
    wait(api, 30)
    assert client.take(command(command_id="c-4")).dropped == "it has expired"
    assert client.epoch == 1
    assert client.take(command(command_id="c-5", epoch=2)).dropped == "it has expired"
    assert client.epoch == 2, "late as it is, it tells that the state has changed"


def test_what_is_for_another_account_is_not_taken_and_not_done(api: Served) -> None:
    """F44: whoever acknowledged it would keep that account's cancel, close or halt from the adapter that it is for."""
    client = client_of(api)
    for message in (command(account="other"), halt_message(api, kill_request(scope="strategy:other:core"))):
        for _ in range(2):
            with pytest.raises(OtherAccount, match="other"):
                client.take(message)
    assert client.epoch == 0, "and it tells nothing of this account"
    assert client.halts == {}
    assert client.take(halt_message(api, kill_request(scope="global"))).halt is not None


@pytest.mark.parametrize("flatten", [True, False])
def test_the_cancel_of_a_kill_is_taken_however_late_it_comes(api: Served, flatten: bool) -> None:
    """F40: the bus was down for an hour, and the kill still holds."""
    client = client_of(api)
    act(api, "kill", "k", flatten=flatten)
    sent: list[bytes] = []
    api.world.bus.subscribe("orders", lambda message, id_, attempt: sent.append(message.data))
    api.world.sweep()
    api.world.run()
    wait(api, 3600)
    [cancel] = [client.take(data).command for data in sent]
    assert cancel is not None
    assert cancel.action == "cancel_all"


def test_a_command_of_a_newer_epoch_ends_the_lease(api: Served) -> None:
    """I6: a kill that is heard of on `orders` counts at once, not only at the next renewal."""
    client = client_of(api)
    client.renew()
    client.take(command(epoch=5))
    assert not client.is_leased()
    assert not client.renew(), "an answer from before the kill is not believed"
    assert client.refusal(order()) is not None


def kill_request(id_: str = "k", scope: str = "account:demo") -> ControlRequest:
    facts = {"request_id": id_, "scope": scope, "action": "kill", "actor": "ann", "reason": "x"}
    return ControlRequest.model_validate(facts)


def second_path(served: Served, request: ControlRequest) -> tuple[bytes, Callable[[], None]]:
    """Return what adapters get of a kill that could not be stored, and what lets the sweep store it."""
    sent: dict[str, Outgoing] = {}
    bus = MemoryBus()
    for topic in ("orders", "sweeps"):
        bus.subscribe(topic, lambda message, id_, attempt: sent.update({message.topic: message}))
    halt_unpersisted(bus, request, served.world.clock.now())
    bus.run()
    journal = sent["sweeps"]
    envelope = Envelope(journal.data, "m-1", journal.attributes)
    return sent["orders"].data, lambda: receive(served.world.app, "sweeps", envelope)


def halt_message(served: Served, request: ControlRequest) -> bytes:
    return second_path(served, request)[0]


def test_a_halt_that_was_not_stored_holds_until_it_is(api: Served) -> None:
    """F41: through leases that do not know of it yet."""
    client = client_of(api)
    client.renew()
    halt, store = second_path(api, kill_request())
    assert client.take(halt).halt is not None
    assert client.renew(), "Firestore is back, the kill is not stored yet"
    assert client.refusal(order()) == "account:demo is HALTED"
    store()
    client.renew()
    assert client.halts == {}
    assert client.refusal(order()) == "account:demo is HALTED"


def test_another_kill_does_not_end_a_halt_that_was_not_stored(api: Served) -> None:
    """F41: a strategy's halt outlives the halt of its account, which people lift before the strategy's is stored."""
    client = client_of(api)
    strategy = kill_request("k-1", "strategy:demo:core")
    halt, store = second_path(api, strategy)
    client.take(halt)
    api.world.app.trading.set(kill_request("k-2"))
    assert client.renew()
    wait(api, 61)
    act(api, "resume", "r", expected_epoch=1, confirm="RESUME account:demo")
    api.world.sweep()
    api.world.run()
    assert client.renew()
    assert client.refusal(order()) == "strategy:demo:core is HALTED"
    assert client.refusal(order(strategy="other")) is None
    store()
    client.renew()
    assert client.halts == {}


@pytest.mark.parametrize(
    "before",
    [{}, {"reason": "another"}, {"scope": "strategy:demo:core"}, {"action": "pause", "flatten": True}],
    ids=str,
)
def test_a_kill_under_a_used_id_that_could_not_be_stored_holds_all_the_same(
    api: Served, before: dict[str, Any]
) -> None:
    """F41: an id that was used before, resumed or for something else, must not let a lease, or the sweep, believe that the
    kill is stored.
    """
    client, scope = client_of(api), str(before.get("scope", "account:demo"))
    trading = api.world.app.trading
    first = kill_request().model_copy(update=before)
    trading.set(first)
    wait(api, 61)
    act(api, "resume", "r", scope=scope, expected_epoch=1, confirm=f"RESUME {scope}")
    wait(api, 600)
    halt, store = second_path(api, kill_request())
    client.take(halt)
    api.world.sweep()
    api.world.run()
    assert client.renew(), "Firestore is back, the kill is not stored yet"
    assert client.refusal(order()) == "account:demo is HALTED"
    store()
    assert trading.standing("account:demo").state is TradingState.HALTED
    epoch = trading.standing("account:demo").epoch
    store()
    assert trading.standing("account:demo").epoch == epoch
    client.renew()
    assert client.halts == {}
    assert client.refusal(order()) == "account:demo is HALTED"


def test_a_halt_that_comes_while_others_are_looked_through_disturbs_nobody(api: Served) -> None:
    """Issue 6: orders are checked in one thread while the halts come in another."""
    client = client_of(api)
    client.take(halt_message(api, kill_request("k-1", "strategy:demo:other")))
    looked_through = iter(client.halts.values())
    client.take(halt_message(api, kill_request("k-2", "strategy:demo:more")))
    assert [halt.scope for halt in looked_through] == ["strategy:demo:other"]
    assert len(client.halts) == 2


def test_an_account_that_the_sweep_cannot_look_after_trades_at_half(api: Served) -> None:
    """Fail table: an outbox that is stuck is told by the sweep that cannot empty it; others trade on at full size."""
    store, clock = api.world.store, api.world.clock
    api.world.sweep()
    api.world.run()
    client = client_of(api)
    assert (client.renew(), client.size("core", "SPY")) == (True, 1)
    beat = store.get(HEARTBEAT)
    assert beat is not None
    for unwatched, size in ((["demo"], Decimal("0.5")), (["other"], Decimal(1))):
        text = unwatched_text(dict.fromkeys(unwatched, clock.now()))
        store.commit([Put(HEARTBEAT, {**beat.data, "unwatched": text})])
        assert (client.renew(), client.size("core", "SPY")) == (True, size)


def test_a_kill_that_was_stored_by_the_first_path_meanwhile_is_not_stored_again_after_its_resume(
    api: Served,
) -> None:
    """F41: its message of the second path may come as late as it likes."""
    client, trading = client_of(api), api.world.app.trading
    halt, store = second_path(api, kill_request())
    client.take(halt)
    trading.set(kill_request())
    wait(api, 61)
    act(api, "resume", "r", expected_epoch=1, confirm="RESUME account:demo")
    store()
    assert (trading.standing("account:demo").state, trading.standing("account:demo").epoch) == (
        TradingState.ACTIVE,
        2,
    )
    api.world.sweep()
    api.world.run()
    client.renew()
    assert (client.halts, client.refusal(order())) == ({}, None)


def test_a_restarted_adapter_still_knows_a_halt_that_was_not_stored(api: Served, tmp_path: Path) -> None:
    """F41: `kept_in`; the lease that says that it is stored ends it, and empties the file."""
    kept = tmp_path / "halts.json"
    halt, store = second_path(api, kill_request())
    client_of(api, kept_in=kept).take(halt)
    again = client_of(api, kept_in=kept)
    assert again.renew(), "Firestore is back, the kill is not stored yet"
    assert again.refusal(order()) == "account:demo is HALTED"
    assert again.refusal(order(10, 5)) is not None
    store()
    assert again.renew()
    assert again.halts == {}
    assert client_of(api, kept_in=kept).halts == {}
    assert [path.name for path in tmp_path.iterdir()] == ["halts.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"h": {}}', '{"h": 1}'])
def test_a_file_of_halts_that_cannot_be_read_lets_nothing_add_risk(
    api: Served, tmp_path: Path, text: str
) -> None:
    """Fail table: UNKNOWN is not free; reducing goes on, and the file stays for people to look at."""
    kept = tmp_path / "halts.json"
    kept.write_text(text)
    client = client_of(api, kept_in=kept)
    assert client.renew()
    assert "halts.json cannot be read" in str(client.refusal(order()))
    assert client.size("core", "SPY") == 0
    assert client.refusal(order(10, 5)) is None
    assert client.take(halt_message(api, kill_request())).halt is not None
    assert kept.read_text() == text


def test_a_halt_that_cannot_be_written_holds_all_the_same(
    api: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "not-there" / "halts.json"
    client = client_of(api, kept_in=kept)
    client.take(halt_message(api, kill_request()))
    assert client.refusal(order()) == "account:demo is HALTED"
    assert "a halt cannot be kept" in caplog.text
    kept.parent.mkdir()
    client.renew()
    assert client_of(api, kept_in=kept).halts == client.halts


def test_two_clients_with_one_file_let_nothing_add_risk(api: Served, tmp_path: Path) -> None:
    """F41: each would write over the halts of the other, and the next start forget one."""
    kept = tmp_path / "halts.json"
    one, two = client_of(api, kept_in=kept), client_of(api, kept_in=kept)
    assert one.renew()
    assert two.renew()
    one.take(halt_message(api, kill_request("k-1", "strategy:demo:core")))
    written = kept.read_bytes()
    two.take(halt_message(api, kill_request("k-2", "strategy:demo:wings")))
    assert kept.read_bytes() == written
    assert "somebody else writes" in str(two.refusal(order(strategy="other")))
    assert two.refusal(order(10, 5, strategy="other")) is None
    assert one.refusal(order(strategy="other")) is None


def test_what_could_not_be_carried_out_is_taken_again(api: Served) -> None:
    """F06: its message comes again, and is no duplicate."""
    client = client_of(api)
    taken = client.take(command()).command
    assert taken is not None
    client.failed(taken)
    assert client.take(command()).command == taken
    assert client.take(command()).dropped == "it was carried out"


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


def test_messages_of_a_later_version_are_taken(api: Served) -> None:
    """F47: a halt with a field more must not be dropped for it, nor a close."""
    client = client_of(api)
    halt = json.loads(halt_message(api, kill_request())) | {"of_tomorrow": 1}
    assert client.take(canonical(halt)).halt is not None
    assert client.refusal(order()) == "account:demo is HALTED"
    assert client.take(canonical(json.loads(command()) | {"of_tomorrow": 1})).command is not None
    assert client.take(canonical({"of_tomorrow": 1})).command is None


def test_halts_are_not_changed_under_who_reads_them(api: Served) -> None:
    """A halt comes on one thread while another asks about an order."""
    client = client_of(api)
    read = client.halts
    client.take(halt_message(api, kill_request()))
    assert (read, len(client.halts)) == ({}, 1)


def test_a_check_says_nothing_about_the_lease(api: Served) -> None:
    client = client_of(api)
    client.renew()
    client.check({"no": "order"})
    wait(api, 60)
    assert client.refusal(order()) == "there is no lease: the last one has run out"


def test_a_lease_of_another_account_is_none(api: Served) -> None:
    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, ask(api, dict(body), account="other").get_json()

    client = Client("demo", "a", post, api.world.clock)
    assert not client.renew()
    assert "the lease is of epoch 0 of other" in str(client.refusal(order()))


def test_a_lease_that_has_run_out_says_so(api: Served) -> None:
    client = client_of(api)
    client.renew()
    wait(api, 60)
    assert client.refusal(order()) == "there is no lease: the last one has run out"


def test_a_lease_of_a_later_version_is_read(api: Served) -> None:
    """F47: what a field means that is not known here, nobody needs to know who did without it."""
    asked: list[Mapping[str, Any]] = []

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        asked.append(body)
        return 200, {**ask(api, dict(body)).get_json(), "of_tomorrow": 1}

    client = Client("demo", "a", post, api.world.clock)
    assert client.renew()
    assert "stored" not in ask(api).get_json(), "nor is an earlier client told what it would refuse"
    assert asked == [{"adapter": "a", "orders": 0}]


quantities = st.integers(-20, 20).map(Decimal)


@settings(max_examples=200)
@given(
    quantities,
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 30),
    st.lists(st.integers(-20, 20).filter(bool), max_size=4),
    st.booleans(),
)
def test_a_close_never_passes_zero(
    held: Decimal, side: str, quantity: int, units: list[int], one_of: bool
) -> None:
    """F44: nor adds, whatever is working already on its side; what works on the other side takes nothing from it."""
    made = validate(Command, json.loads(command(side=side, quantity=str(quantity))))
    sign = 1 if side == "BUY" else -1
    working = [Working(str(i), Decimal(u), "x" if one_of else "") for i, u in enumerate(units)]
    sent = Client.closable(made, held, working)
    same = [abs(u) for u in units if u * sign > 0]
    works = (max(same, default=0) if one_of else sum(same)) if sent else 0
    assert 0 <= sent <= quantity
    after = held + sign * (sent + works)
    assert after * held >= 0, "all of it filled, the position has not turned round"
    if held * sign < 0:
        room = abs(held) - (max(same, default=0) if one_of else sum(same))
        assert sent == max(min(Decimal(quantity), room), 0)
    else:
        assert sent == 0, "it would add"


def test_a_close_with_legs_is_not_one_of_a_position() -> None:
    """Which leg would `held` be of?"""
    leg = {"instrument": SPY.model_dump(mode="json"), "side": "SELL", "ratio": "1"}
    made = validate(Command, json.loads(command()) | {"legs": [leg], "instrument": None, "side": None})
    assert Client.closable(made, Decimal(10), []) == 0


def test_a_fill_is_published_as_stopline_takes_it(api: Served) -> None:
    client = client_of(api)
    client.publish(Fill.model_validate(raw_fill()))
    client.publish(Fill.model_validate(raw_fill()))
    api.world.run()
    book = api.world.app.books.read("demo")
    assert book is not None
    assert book.fills == 1


def test_a_decision_that_cannot_be_had_is_a_refusal(api: Served) -> None:
    """R2.6: said in the words of a decision that was had."""
    order = {"legs": [{"instrument": SPY.model_dump(mode="json"), "side": "BUY"}], "quantity": "1"}
    had = client_of(api).check(order)
    api.outage()
    decision = client_of(api).check(order)
    assert (decision["approved"], decision["largest"]) == (False, "0")
    assert decision.keys() <= had.keys()
    assert "503" in decision["reasons"][0]["detail"]


def test_a_token_goes_over_https_only() -> None:
    with pytest.raises(ValueError, match="https"):
        http("http://example.com", lambda: "t")


def test_no_redirect_gets_the_token() -> None:
    """The host that it names may be anybody's."""
    seen: list[str] = []

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        start(
            "307 X",
            [("Location", f"http://localhost:{server.server_port}/elsewhere"), ("Content-Length", "0")],
        )
        return []

    server = make_server("127.0.0.1", 0, answer)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    client = Client(
        "demo", "a", http(f"http://127.0.0.1:{server.server_port}", lambda: "t"), ManualClock(NOON)
    )
    assert not client.renew()
    thread.join()
    server.server_close()
    assert seen == ["/v1/accounts/demo/lease"]
    assert "307" in client.fault
    assert f"sends on to http://localhost:{server.server_port}/elsewhere" in client.fault


# --- the page ---


class Broker:
    """A broker that does what it is told, for the adapter of docs/client.md."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], Decimal] = {("core", "SPY"): Decimal(4)}
        self.told: list[str] = []
        self.working: list[SimpleNamespace] = []

    def is_connected(self) -> bool:
        return True

    def position(self, strategy: str, symbol: str) -> Decimal:
        return self.held.get((strategy, symbol), Decimal(0))

    def positions(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(strategy=s, instrument=SPY, units=units) for (s, _), units in self.held.items()
        ]

    def rest(self, id_: str, units: int, strategy: str = "core") -> None:
        self.working.append(SimpleNamespace(id=id_, strategy=strategy, instrument=SPY, units=Decimal(units)))

    def working_orders(self) -> list[SimpleNamespace]:
        return list(self.working)

    def cancel(self, id_: str) -> None:
        self.told.append(f"cancel {id_}")
        self.working = [order for order in self.working if order.id != id_]

    def send(self, strategy: str, instrument: Instrument, side: str, quantity: Decimal, **more: Any) -> None:
        self.told.append(f"{side} {quantity} {instrument.symbol}")
        signed = quantity if side == "BUY" else -quantity
        self.held[strategy, instrument.symbol] = self.position(strategy, instrument.symbol) + signed


def test_the_adapter_of_the_page_works(api: Served) -> None:
    """docs/client.md: run as it stands there."""
    page = (ROOT / "docs" / "client.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    broker = Broker()
    adapter = names["Adapter"](client_of(api), broker)
    assert adapter.trade(SPY, "BUY", Decimal(2), "core").startswith("there is no lease")
    adapter.every_20_seconds()
    assert "no_price: there is no usable price" in adapter.trade(SPY, "BUY", Decimal(2), "core")
    batch = {"type": "stopline.prices.v1", "source": "f", "as_of": "2026-11-18T17:00:00Z"}
    api.world.publish("prices", {**batch, "symbols": ["SPY"], "last": [100]})
    api.world.run()
    terms = {"stop": "99", "target": "102", "confidence": "0.9"}
    assert adapter.trade(SPY, "BUY", Decimal(2), "core", **terms) is None
    assert adapter.on_orders_message(command()) == "closing 6"
    assert adapter.on_orders_message(command()) == "it was carried out"
    cancel = command(
        command_id="c-9", action="cancel_all", strategy=None, instrument=None, side=None, quantity=None
    )
    broker.rest("o-1", -1)
    assert adapter.on_orders_message(cancel) == "cancelled"
    adapter.on_execution(Fill.model_validate(raw_fill()))
    assert broker.told == ["BUY 2 SPY", "SELL 6 SPY", "cancel o-1"]
    broker.held["core", "SPY"] = Decimal(4)
    for name, units in (("buy", 1), ("stop", -4), ("target", -4)):
        broker.rest(name, units)
    broker.rest("entry", 1, strategy="wings")
    adding = json.loads(cancel) | {"command_id": "c-10", "action": "cancel_adding", "strategy": "core"}
    assert adapter.on_orders_message(canonical(adding)) == "cancelled"
    assert broker.told[3:] == ["cancel buy", "cancel target"]
    act(api, "pause", "p", "strategy:demo:wings")
    wait(api, 61)
    adapter.every_20_seconds()
    assert broker.told[5:] == ["cancel entry"], "whether or not the command has come: the lease knows it"
    assert [order.id for order in broker.working] == ["stop"]


@pytest.mark.parametrize(
    "url", ["http://localhost.example.com", "http://127.0.0.1.example.com", "ftp://x", "file:///x"]
)
def test_a_token_goes_to_https_or_this_machine_only(url: str) -> None:
    """B71: a host that only begins like this machine is another one."""
    with pytest.raises(ValueError, match="only over https"):
        http(url, lambda: "token")
    http("https://api.example.com", lambda: "token")
    http("http://localhost:8080", lambda: "token")
