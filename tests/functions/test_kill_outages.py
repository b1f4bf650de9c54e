"""The kill switch: with the store down it takes the second path, with Pub/Sub down the state stands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stopline.ports import Put, Unavailable

from .conftest import BOB, EVE, Served, raw_fill, wait
from .kill_calls import CONFIRM, call, status


def test_a_kill_with_pubsub_down_stands_and_says_that_delivery_is_pending(switch: Served) -> None:
    """F40: 202; the state is what adapters read, and the sweep sends the rest."""
    switch.bus.fault = Unavailable("no bus")
    answer = call(switch)
    assert answer.status_code == 202
    facts = answer.get_json()
    assert (facts["state"], facts["delivery"]) == ("HALTED", "pending")
    assert status(switch).get_json()["state"] == "HALTED"
    switch.bus.fault = None
    assert call(switch).get_json()["delivery"] == "published"


@pytest.mark.parametrize("path", ["/pause", "/resume"])
def test_what_closes_nothing_is_pending_too_until_the_sweep_has_published_it(
    switch: Served, path: str
) -> None:
    """F40: nobody reads "published" of what waits; the state holds at once, and it goes out by itself."""
    more: dict[str, Any] = {}
    if path == "/resume":
        call(switch)
        wait(switch, 61)
        more = {"request_id": "r-2", "expected_epoch": 1, "confirm": CONFIRM}
    switch.world.run()
    switch.bus.fault = Unavailable("no bus")
    answer = call(switch, path, **more)
    state = "REDUCING" if path == "/pause" else "ACTIVE"
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "pending")
    assert status(switch).get_json()["state"] == state
    switch.bus.fault = None
    wait(switch, 30)
    switch.world.sweep()
    switch.world.run()
    assert [json.loads(d.data["outbox"]) for d in switch.world.store.query("controls")] == [[]]
    assert call(switch, path, **more).get_json()["delivery"] == "published"


@pytest.mark.parametrize("path", ["/pause", "/resume", "/status"])
def test_with_the_store_down_the_outcome_is_called_unknown(switch: Served, path: str) -> None:
    """F13, F41: 503, never a state that was not read."""
    switch.outage()
    answer = status(switch) if path == "/status" else call(switch, path, expected_epoch=0)
    assert answer.status_code == 503
    assert answer.get_json()["title"] == "UNAVAILABLE"
    switch.store.fault = None
    assert status(switch).get_json()["epoch"] == 0


@pytest.mark.parametrize("scope", ["account:demo", "global", "strategy:demo:core"])
def test_a_kill_with_the_store_down_takes_the_second_path(switch: Served, scope: str) -> None:
    """F41: adapters are told at once, and the kill is stored by itself when the store is back."""
    halts: list[Any] = []
    switch.world.bus.subscribe("orders", lambda message, id_, attempt: halts.append(json.loads(message.data)))
    switch.outage()
    answer = call(switch, scope=scope)
    assert answer.status_code == 202
    facts = answer.get_json()
    assert facts["delivery"] == "published, not persisted"
    assert "state" not in facts
    assert call(switch, scope=scope).get_json()["halt_id"] == facts["halt_id"]
    switch.store.fault = None
    switch.world.run()
    assert {(h["type"], h["scope"], h["halt_id"]) for h in halts if h["type"] == "stopline.halt.v1"} == {
        ("stopline.halt.v1", scope, facts["halt_id"])
    }
    after = status(switch, scope).get_json()
    assert (after["state"], after["epoch"], after["actor"]) == ("HALTED", 1, "ann")
    assert call(switch, scope=scope).status_code == 200  # the same wish, by the first path: nothing new
    assert status(switch, scope).get_json()["epoch"] == 1


def test_what_the_second_path_stored_is_cancelled_and_closed_at_once(switch: Served) -> None:
    """R5.1: it waited for the next round of the sweep, up to a minute with everything up."""
    switch.world.publish("fills", raw_fill())
    switch.world.run()
    orders: list[Any] = []
    switch.world.bus.subscribe(
        "orders", lambda message, id_, attempt: orders.append(json.loads(message.data))
    )
    switch.outage()
    assert call(switch).status_code == 202
    switch.store.fault = None
    switch.world.run()
    assert [one["action"] for one in orders if one["type"] == "stopline.command.v1"] == [
        "cancel_all",
        "close",
    ]


@pytest.mark.parametrize("damage", [{"state": "{"}, {"state": None}, {"outbox": "["}, {"outbox": "[1]"}])
def test_a_kill_of_what_cannot_be_read_takes_the_second_path(switch: Served, damage: dict[str, Any]) -> None:
    """F41: a damaged document is as good as none; whoever holds positions is told."""
    call(switch, "/pause")
    [stored] = switch.world.store.query("controls")
    switch.world.store.commit([Put(stored.path, {**stored.data, **damage})])
    answer = call(switch, request_id="r-2")
    assert (answer.status_code, answer.get_json().get("delivery")) == (202, "published, not persisted")


@pytest.mark.parametrize("problem", [RuntimeError("a fault of the client"), IndexError("a fault of ours")])
def test_a_kill_that_meets_a_fault_of_any_kind_takes_the_second_path(
    switch: Served, problem: Exception
) -> None:
    """F41, R5.1: whatever it is, nobody who kills is answered 500 while the adapters go on; B64: who may not is told so."""
    halts: list[Any] = []
    switch.world.bus.subscribe("orders", lambda message, id_, attempt: halts.append(json.loads(message.data)))
    switch.store.fault = problem
    answer = call(switch)
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "published, not persisted")
    assert call(switch, "/pause").status_code == 500
    assert call(switch, scope="global", token=BOB).status_code == 404
    switch.store.fault = None
    switch.world.run()
    assert [h["scope"] for h in halts if h["type"] == "stopline.halt.v1"] == ["account:demo"]
    assert status(switch).get_json()["state"] == "HALTED"


@pytest.mark.parametrize("problem", [Unavailable("no store"), RuntimeError("a fault of the client")])
def test_a_kill_that_is_stored_and_cannot_be_read_back_takes_the_second_path_too(
    switch: Served, problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F40, F41: the bus failed for a moment, then the store: adapters are told, and the halt is the one that is stored."""
    trading = switch.app.trading

    def unread(request: Any) -> Any:
        switch.bus.fault = None
        raise problem

    switch.bus.fault = Unavailable("no bus")
    monkeypatch.setattr(trading, "done", unread)
    answer = call(switch)
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "published, not persisted")
    switch.world.run()
    facts = status(switch).get_json()
    assert (facts["state"], facts["epoch"]) == ("HALTED", 1)


def test_a_kill_that_stands_is_answered_so_whatever_breaks_after_it(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5.1: the sweep begins to close."""

    def broken(standing: Any) -> Any:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(switch.app.halts, "advance", broken)
    facts = call(switch).get_json()
    assert (facts["state"], facts["delivery"]) == ("HALTED", "pending")


def test_a_lock_of_the_second_path_runs_from_when_it_was_asked_for(switch: Served) -> None:
    """F41: stored after the session's end it locks nobody out of the next one; the halt holds."""
    switch.outage()
    assert call(switch, lock=True).status_code == 202
    switch.store.fault = None
    wait(switch, 86_400)
    switch.world.run()
    [hold] = status(switch).get_json()["holds"].values()
    assert (hold["state"], hold["locked_until"]) == ("HALTED", "2026-11-19T05:00:00Z")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"scope": "global", "lock": True}, "BAD_LOCK"),
        ({"until": "2026-11-18T18:00:00Z"}, "BAD_UNTIL"),
    ],
)
def test_what_can_never_be_stored_is_told_to_no_adapter(
    switch: Served, more: dict[str, Any], reason: str
) -> None:
    """F41: its halt would hold for ever."""
    switch.world.run()
    switch.outage()
    answer = call(switch, **more)
    assert (answer.status_code, answer.get_json()["title"]) == (400, reason)
    assert switch.world.run() == 0


def test_with_the_store_and_pubsub_down_nothing_is_claimed(switch: Served) -> None:
    """F42: 503; the adapters' leases run out."""
    switch.outage()
    switch.bus.fault = Unavailable("no bus")
    assert call(switch).status_code == 503


def test_the_second_path_is_for_those_who_may_kill_the_scope(switch: Served) -> None:
    """B64: an outage opens no door. What an account grants cannot be read then: 503, whether there is one or not."""
    switch.world.run()
    switch.outage()
    for scope in ("account:other", "account:nobody"):
        assert call(switch, scope=scope, token=BOB).status_code == 503
    assert call(switch, scope="account:demo", token=EVE).status_code == 503
    assert call(switch, scope="global", token=BOB).status_code == 404
    assert switch.world.run() == 0


def test_an_unknown_error_shows_no_trace(switch: Served, caplog: pytest.LogCaptureFixture) -> None:
    """B75: 500, a problem, and the trace in the log only."""
    switch.store.fault = RuntimeError("secret of the client: hunter2")
    answer = call(switch, "/pause")
    assert answer.status_code == 500
    assert answer.content_type == "application/problem+json"
    assert b"hunter2" not in answer.data
    assert b"Traceback" not in answer.data
    assert "hunter2" in caplog.text
