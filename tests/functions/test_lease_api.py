"""The lease over HTTP: what it grants, to whom, and what ends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stopline.model.control import TradingState
from stopline.model.lease import Lease
from stopline.model.wire import validate

from .client_calls import act, ask
from .conftest import EVE, Served, wait


def test_a_lease_says_what_holds_for_a_minute(swept: Served) -> None:
    """Issue 6.5: at most 60 s, renewed every 20."""
    act(swept, "pause", "p", "strategy:demo:core")
    lease = validate(Lease, ask(swept).get_json())
    assert (lease.state, lease.epoch, lease.size, lease.renew_s) == (TradingState.ACTIVE, 1, 1, 20)
    assert lease.expires_at - lease.granted_at == timedelta(seconds=60)
    assert [(p.scope, p.state) for p in lease.parts] == [("strategy:demo:core", TradingState.REDUCING)]


def test_a_silent_sweep_ends_leases(swept: Served) -> None:
    """R5.4, F42: silence of the sweep stops trading within its three rounds: no lease outlives them."""
    wait(swept, 170)
    lease = validate(Lease, ask(swept).get_json())
    assert lease.expires_at - lease.granted_at == timedelta(seconds=10)
    wait(swept, 11)
    answer = ask(swept)
    assert (answer.status_code, answer.get_json()["title"]) == (423, "SWEEP_SILENT")
    swept.world.sweep()
    swept.world.run()
    assert ask(swept).status_code == 200


def test_a_lease_needs_the_right_to_trade(swept: Served) -> None:
    """B64: and says nothing about accounts of others."""
    assert ask(swept, token=EVE).status_code == 403  # she sees the account, and may not trade in it
    answers = [ask(swept, account=name, token=EVE) for name in ("other", "nobody")]
    assert {a.status_code for a in answers} == {404}
    assert len({a.data for a in answers}) == 1


@pytest.mark.parametrize(
    "body", [{"adapter": "A"}, {"adapter": "a", "errors": -1}, {"adapter": "a", "state": "ACTIVE"}, {"x": 1}]
)
def test_a_bad_request_is_refused(swept: Served, body: dict[str, Any]) -> None:
    assert ask(swept, body).status_code == 400


def test_a_lease_is_not_made_up_when_the_store_is_down(swept: Served) -> None:
    swept.outage()
    assert ask(swept).status_code == 503


def test_a_broker_that_is_down_makes_the_account_reduce_only_until_it_is_well(swept: Served) -> None:
    """R5.3, R5.4: told by the adapter, read by the sweep, three good readings to clear."""

    def sweep(ok: bool) -> TradingState:
        wait(swept, 30)
        ask(swept, {"adapter": "a", "broker_ok": ok, "latency_ms": 40})
        swept.world.sweep()
        swept.world.run()
        return swept.world.app.trading.read("account:demo").state

    found = [sweep(ok) for ok in (True, False, True, True, True)]
    assert [s.value for s in found] == ["ACTIVE", "REDUCING", "REDUCING", "REDUCING", "ACTIVE"]
    told = [s.alert.summary for s in swept.world.channels["email"].sent if s.alert.kind == "breaker"]
    assert any("number of failures of the broker is 1" in text for text in told)
