"""The API's check, size and settings: over HTTP, by right, and closed where it cannot know."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from stopline.model.closing import CloseRequest
from stopline.model.fill import Fill
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.ports import Put
from stopline.service.sweep.heartbeat import HEARTBEAT, unwatched_text

from .conftest import ANN, IDA, NOON, Served, hold_spy_at, raw_fill

SPY = {"symbol": "SPY", "kind": "equity", "currency": "USD"}


def order(side: str = "BUY", quantity: str = "10", **more: Any) -> dict[str, Any]:
    return {"legs": [{"instrument": SPY, "side": side}], "quantity": quantity, "stop": "95", **more}


@pytest.fixture
def api(api: Served) -> Served:
    hold_spy_at(api, 100)
    return api


def call(
    served: Served, method: str, path: str, body: Any = None, who: str = "ann-token-0001"
) -> TestResponse:
    return served.client.open(
        f"/v1/accounts/{path}", method=method, json=body, headers={"Authorization": f"Bearer {who}"}
    )


def test_an_order_is_checked_against_what_is_held_now(api: Served) -> None:
    """R2.6: 10 shares at 100 are held; 10 % of equity are 100; the collar of 1 % risks 6 a share."""
    found = call(api, "POST", "demo/check", order(quantity="95"), "eve-token-0003")
    assert found.status_code == 200
    facts = found.get_json()
    assert (facts["approved"], facts["largest"], facts["trading_state"]) == (False, "90", "ACTIVE")
    [reason] = facts["reasons"]
    assert (reason["code"], reason["object"]) == ("max_position_value", "SPY")
    assert (reason["current"], reason["limit"], reason["after"], reason["unit"]) == ("1", "10", "10.5", "%")
    assert facts["versions"]["account"] == 1
    assert call(api, "POST", "demo/check", order(quantity="90")).get_json()["approved"]


def test_a_kill_refuses_what_adds_and_lets_go_what_reduces(api: Served) -> None:
    """R2.6, R5.1."""
    request = {"request_id": "k-1", "scope": "account:demo", "action": "kill", "flatten": False}
    from stopline.model.control import ControlRequest

    api.world.app.trading.set(ControlRequest.model_validate({**request, "actor": "ann", "reason": "test"}))
    opening = call(api, "POST", "demo/check", order()).get_json()
    assert "trading_state" in {reason["code"] for reason in opening["reasons"]}
    assert call(api, "POST", "demo/check", order("SELL")).get_json()["approved"]


def test_stale_prices_refuse(api: Served) -> None:
    """R2.6, I7."""
    api.world.clock.set(NOON + timedelta(seconds=61))
    facts = call(api, "POST", "demo/check", order()).get_json()
    assert ("no_price", "SPY") in {(r["code"], r["object"]) for r in facts["reasons"]}


def test_an_account_that_the_sweep_cannot_look_after_is_checked_against_half_of_its_limits(
    api: Served,
) -> None:
    """Fail table: what Stopline has decided does not get out, so half of a limit is the most."""
    assert call(api, "POST", "demo/check", order(quantity="41")).get_json()["approved"]
    beat = {"at": api.world.clock.now(), "unwatched": unwatched_text({"demo": api.world.clock.now()})}
    api.world.store.commit([Put(HEARTBEAT, beat)])
    facts = call(api, "POST", "demo/check", order(quantity="41")).get_json()
    assert (facts["approved"], facts["largest"]) == (False, "40")
    [reason] = facts["reasons"]
    assert (reason["code"], reason["limit"]) == ("max_position_value", "5")


def test_with_the_store_down_nothing_is_approved(api: Served) -> None:
    """R2.6: fail closed."""
    api.outage()
    assert call(api, "POST", "demo/check", order()).status_code == 503


# --- what works already ---


def tell(served: Served, *orders: dict[str, Any], at: datetime = NOON, **more: Any) -> None:
    told = {
        "statement_id": f"S-{at.timestamp()}",
        "broker": "paper",
        "account": "demo",
        "as_of": utc_text(at),
    }
    app = served.world.app
    app.statement_recorder.record(Statement.model_validate({**told, "working": orders, **more}))


def works(side: str, quantity: str, **more: Any) -> dict[str, Any]:
    return {"instrument": SPY, "side": side, "quantity": quantity, "limit_price": "100", **more}


def test_the_orders_that_a_broker_has_told_count(api: Served) -> None:
    """R2.6, domain case 17: 10 are held; with 6 being sold a sale of 5 does not reduce, and one of 4 does."""
    assert call(api, "POST", "demo/check", order("SELL", "5", reduce_only=True)).get_json()["reducing"]
    tell(api, works("SELL", "6", order_id="O-1"), works("BUY", "80", order_id="O-2"))
    facts = call(api, "POST", "demo/check", order("SELL", "5", reduce_only=True)).get_json()
    assert (facts["reducing"], facts["largest"], facts["working"]) == (False, "4", 2)
    assert facts["versions"]["working_orders"] == utc_text(NOON)
    assert call(api, "POST", "demo/check", order(quantity="5")).get_json()["largest"] == "10"
    again = order(quantity="80", order_id="O-2")  # the order itself, asked about before it goes on
    assert call(api, "POST", "demo/check", again).get_json()["approved"]
    smaller = order(quantity="70", working=[works("BUY", "20", order_id="O-2")])
    assert call(api, "POST", "demo/check", smaller).get_json()["approved"]


def test_what_was_executed_since_no_longer_works(api: Served) -> None:
    """R2.6: named fills count for their order, others for orders without a name; a list is not counted twice."""
    tell(api, works("SELL", "6", order_id="O-1"), works("SELL", "3"), at=NOON)
    sold = [
        raw_fill(
            "E-2",
            side="SELL",
            quantity="5",
            executed_at=utc_text(NOON + timedelta(seconds=1)),
            order_id="O-1",
        ),
        raw_fill("E-3", side="SELL", quantity="2", executed_at=utc_text(NOON + timedelta(seconds=2))),
    ]
    api.world.app.recorder.record([Fill.model_validate(one) for one in sold], "m-2")
    facts = call(api, "POST", "demo/check", order("SELL", "2", reduce_only=True)).get_json()
    assert (facts["working"], facts["largest"]) == (2, "1")  # 3 held, 1 + 1 work


def test_a_statement_without_orders_leaves_the_last_ones_and_old_ones_end(api: Served) -> None:
    """R2.6: what must be known and is too old refuses what adds, and nothing else."""
    tell(api, works("BUY", "80", order_id="O-2"))
    tell(api, at=NOON + timedelta(seconds=1), working=None)
    assert call(api, "POST", "demo/check", order(quantity="11")).get_json()["largest"] == "10"
    told = patch(1, risk={"needs_working": True, "working_max_age_s": 30})
    assert call(api, "PATCH", "demo/settings", told).status_code == 200
    assert call(api, "POST", "demo/check", order(quantity="10")).get_json()["approved"]
    api.world.clock.set(NOON + timedelta(seconds=31))
    facts = call(api, "POST", "demo/check", order()).get_json()
    assert [(r["code"], r["object"]) for r in facts["reasons"]] == [("working_unknown", "paper")]
    assert call(api, "POST", "demo/check", order("SELL")).get_json()["approved"]


def test_closes_that_are_out_count_as_working(api: Served) -> None:
    """Domain 2.4: what Stopline sells already is not sold again, by whatever name the broker gives it."""
    facts = {"request_id": "c-1", "account": "demo", "rule": "person", "reason": "test", "cause": "ann"}
    app = api.world.app
    app.closer.ask(CloseRequest.model_validate({**facts, "requested_at": utc_text(NOON)}))
    app.closer.advance("demo")
    [sent] = api.world.app.closings.read("demo").sent.values()
    facts = call(api, "POST", "demo/check", order("SELL", "5", reduce_only=True)).get_json()
    assert (facts["reducing"], facts["working"]) == (False, 1)
    tell(api, works("SELL", "10", order_id=sent.command_id))
    assert call(api, "POST", "demo/check", order()).get_json()["working"] == 1


def test_a_size_is_whole_lots_of_the_contract_and_a_share_of_the_volume(api: Served) -> None:
    """R2.6, R3.1: 2 % of a day's 4,850 shares are 97, in lots of 25."""
    steps = {"equity:SPY": {"lot": "25", "tick": "0.01"}}
    changed = call(api, "PATCH", "demo/settings", patch(1, sizing={"volume_share": "2"}, increments=steps))
    assert changed.status_code == 200
    facts = call(api, "POST", "demo/size", {"order": order(), "volume": "4850"}).get_json()
    assert (facts["quantity"], facts["lot"], facts["capped_by"]) == ("75", "25", "volume")
    thin = call(api, "POST", "demo/size", {"order": order(), "volume": "100"}).get_json()
    assert (thin["quantity"], thin["reason"]) == ("0", "less than one lot of 25, by volume")


def test_a_size_is_what_the_check_lets_pass(api: Served) -> None:
    """R3.1, R3.2: 1 % of 100,000 at 6 a share is 166, signal and limit make 90 of it."""
    body = {"order": order(), "signal": "2"}
    facts = call(api, "POST", "demo/size", body).get_json()
    assert (facts["method"], facts["quantity"], facts["capped_by_check"]) == ("fixed_fractional", "90", True)
    assert facts["check"]["approved"]
    assert facts["steps"] == [{"name": "signal", "factor": "2"}, {"name": "trading state", "factor": "1"}]


@pytest.mark.parametrize(
    ("more", "quantity", "word"),
    [
        ({"method": "kelly", "win_rate": "0.6", "payoff": "1"}, "90", ""),
        ({"method": "kelly", "win_rate": "0.4", "payoff": "1"}, "0", "no edge"),
        ({"method": "risk_parity", "volatility": "1.587450786639"}, "49", ""),  # 10 % a day
        ({"method": "risk_parity"}, "0", "volatility is unknown"),
        ({"order": order(stop="101")}, "0", "losing side"),
        ({"order": order(stop="101.5")}, "0", "losing side"),
    ],
    ids=str,
)
def test_each_method_sizes_or_says_why_not(
    api: Served, more: dict[str, Any], quantity: str, word: str
) -> None:
    """R3.1."""
    facts = call(api, "POST", "demo/size", {"order": order(), **more}).get_json()
    assert facts["quantity"] == quantity
    assert word in facts["reason"]


def test_a_number_that_a_method_needs_is_named(api: Served) -> None:
    for body in ({"method": "kelly"}, {"method": "fixed_amount"}):
        found = call(api, "POST", "demo/size", {"order": order(), **body})
        assert (found.status_code, found.get_json()["title"]) == (400, "MISSING_NUMBER")


# --- settings ---


def patch(version: int, **settings: Any) -> dict[str, Any]:
    return {"expected_version": version, "settings": settings}


def test_settings_are_read_changed_and_versioned(api: Served) -> None:
    """R2.11: and what is changed holds for the next check."""
    before = call(api, "GET", "demo/settings", who="eve-token-0003").get_json()
    assert before["version"] == 1
    assert "recipients" not in before["settings"]
    tight = {"max_position_value": {"limit": "5"}}
    after = call(api, "PATCH", "demo/settings", patch(1, limits=tight, risk={"peak_mode": "end_of_day"}))
    assert after.status_code == 200
    facts = after.get_json()
    assert (facts["version"], facts["settings"]["risk"]["peak_mode"]) == (2, "end_of_day")
    [limit] = [x for x in facts["limits_in_force"] if x["limit"] == "max_position_value"]
    assert limit["threshold"] == "5"
    assert call(api, "POST", "demo/check", order(quantity="50")).get_json()["largest"] == "40"
    back = call(api, "PATCH", "demo/settings", patch(2, limits={"max_position_value": None})).get_json()
    assert back["settings"]["limits"] == {}
    assert back["settings"]["risk"]["peak_mode"] == "end_of_day"


def test_how_people_are_reached_is_not_shown(api: Served) -> None:
    """Who may look at an account learns no telephone number and no webhook from its settings."""
    people = [{"name": "bo", "recipients": {"sms": ["+14155550123"]}}]
    answers = [
        call(api, "PATCH", "demo/settings", patch(1, alerting={"people": people})),
        call(api, "GET", "demo/settings", who="eve-token-0003"),
    ]
    for found in answers:
        assert found.status_code == 200
        assert [person["name"] for person in found.get_json()["settings"]["alerting"]["people"]] == ["bo"]
        assert "4155550123" not in found.get_data(as_text=True)


def test_every_change_is_in_the_audit(api: Served) -> None:
    """R2.11, R7.4."""
    call(api, "PATCH", "demo/settings", patch(1, profile="conservative"))
    api.world.run()
    rows = [row for row in api.world.history.rows["audit"] if "account_changed" in str(row)]
    assert len(rows) == 1
    assert "ann" in str(rows[0])


@pytest.mark.parametrize(
    ("body", "status", "title"),
    [
        (patch(2, profile="general"), 409, "STALE_VERSION"),
        (patch(1, profile="wild"), 400, "BAD_MESSAGE"),
        (patch(1, capital="5"), 400, "BAD_SETTINGS"),
        (patch(1, owner="eve"), 400, "BAD_SETTINGS"),
        (patch(1, limits={"max_dayly_loss": {"limit": "1"}}), 400, "BAD_SETTINGS"),
        (patch(1, limits={"max_daily_loss": {"limit": "0"}}), 400, "BAD_SETTINGS"),
        (patch(1, limits={"max_daily_loss": {"limit": 3}}), 400, "BAD_MESSAGE"),
        (patch(1, trading={"breakers": {"flash_crush": {"enabled": False}}}), 400, "BAD_SETTINGS"),
        (patch(1, limits={"max_daily_loss": {"limit": "1000000"}}), 400, "BAD_SETTINGS"),
        (patch(1, unknown=1), 400, "BAD_MESSAGE"),
        ({"settings": {"profile": "general"}}, 400, "BAD_MESSAGE"),
        (patch(1), 400, "BAD_MESSAGE"),
    ],
    ids=str,
)
def test_a_bad_patch_changes_nothing(api: Served, body: dict[str, Any], status: int, title: str) -> None:
    """R2.11: named, and the version stays."""
    found = call(api, "PATCH", "demo/settings", body)
    assert (found.status_code, found.get_json()["title"]) == (status, title)
    assert call(api, "GET", "demo/settings").get_json()["version"] == 1


OFF = {"max_daily_loss": {"enabled": False}}


def asked(served: Served, version: int, who: str, **settings: Any) -> TestResponse:
    return call(served, "PATCH", "demo/settings", patch(version, **settings), who)


def test_a_limit_is_switched_off_by_two_people(api: Served) -> None:
    """B73: 202 and nothing changed, the same person again 409, another one 200."""
    first = asked(api, 1, ANN, limits=OFF)
    assert (first.status_code, first.get_json()["version"]) == (202, 1)
    assert first.get_json()["waits_for_a_second_person"] == ["limits.max_daily_loss is switched off"]
    again = asked(api, 1, ANN, limits=OFF)
    assert (again.status_code, again.get_json()["title"]) == (409, "SAME_PERSON")
    second = asked(api, 1, IDA, limits=OFF)
    assert (second.status_code, second.get_json()["version"]) == (200, 2)
    assert "max_daily_loss" in second.get_json()["limits_off"]
    assert asked(api, 1, ANN, limits=OFF).status_code == 409  # what was agreed to is used up


def test_a_second_person_agrees_to_the_very_same_and_in_time(api: Served) -> None:
    """B73: to other settings, or eleven minutes later, nobody has agreed."""
    assert asked(api, 1, ANN, limits=OFF).status_code == 202
    assert asked(api, 1, IDA, limits={**OFF, "max_drawdown": {"limit": "90"}}).status_code == 202
    assert asked(api, 1, ANN, limits=OFF).status_code == 202  # the other request has taken its place
    api.world.clock.set(NOON + timedelta(minutes=11))
    assert asked(api, 1, IDA, limits=OFF).status_code == 202
    assert asked(api, 1, ANN, limits=OFF).status_code == 200


def test_one_person_does_not_get_far_in_small_steps(api: Served) -> None:
    """B73: 10 % to 20 % alone, 21 % not before the next day."""
    assert asked(api, 1, ANN, limits={"max_position_value": {"limit": "20"}}).status_code == 200
    assert asked(api, 2, ANN, limits={"max_position_value": {"limit": "21"}}).status_code == 202
    assert asked(api, 2, ANN, limits={"max_position_value": {"limit": "8"}}).status_code == 200
    api.world.clock.set(NOON + timedelta(hours=25))
    assert asked(api, 3, ANN, limits={"max_position_value": {"limit": "16"}}).status_code == 200


def test_a_desk_of_one_person_may_say_so(api: Served) -> None:
    """B73: by the function's settings, not by the request."""
    api.app.ports = replace(api.app.ports, resume_people=1)
    assert asked(api, 1, ANN, limits=OFF).status_code == 200


def test_only_the_right_risk_changes_settings_and_strangers_see_nothing(api: Served) -> None:
    """R2.11, I9."""
    body = patch(1, profile="general")
    assert call(api, "PATCH", "demo/settings", body, "eve-token-0003").status_code == 403
    for method, path in (("PATCH", "other/settings"), ("GET", "other/settings"), ("POST", "other/check")):
        assert call(api, method, path, body, "eve-token-0003").status_code == 404
    assert call(api, "GET", "demo/check").status_code == 405
    assert call(api, "GET", "demo/nothing").status_code == 404


def test_a_body_must_be_json(api: Served) -> None:
    headers = {"Authorization": "Bearer ann-token-0001"}
    for path in ("check", "size"):
        found = api.client.post(f"/v1/accounts/demo/{path}", data="{}", headers=headers)
        assert found.status_code == 415
        found = api.client.post(f"/v1/accounts/demo/{path}", json=[1], headers=headers)
        assert found.status_code == 400
