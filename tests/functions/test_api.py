"""The API: what an account holds, for those who may see it."""

from __future__ import annotations

import pytest
from werkzeug.test import TestResponse

from stopline.model.fill import Fill

from .conftest import Served, raw_fill


def get(served: Served, path: str, token: str = "eve-token-0003") -> TestResponse:
    return served.client.get(path, headers={"Authorization": f"Bearer {token}"})


def test_the_status_of_an_account(api: Served) -> None:
    """R1.9."""
    api.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    answer = get(api, "/v1/accounts/demo")
    assert answer.status_code == 200
    facts = answer.get_json()
    assert (facts["account"], facts["fills"], facts["trading_state"]) == ("demo", 1, "ACTIVE")
    assert facts["positions"][0]["quantity"] == "10"


def test_a_foreign_account_looks_as_an_unknown_one(api: Served) -> None:
    """B64, I9."""
    foreign, unknown = get(api, "/v1/accounts/other"), get(api, "/v1/accounts/nobody")
    assert foreign.status_code == 404
    assert (foreign.status_code, foreign.data, dict(foreign.headers)) == (
        unknown.status_code,
        unknown.data,
        dict(unknown.headers),
    )


@pytest.mark.parametrize("header", ["", "Bearer x", "Basic x"])
def test_without_a_known_token_nothing_is_said(api: Served, header: str) -> None:
    """B62."""
    for path in ("/v1/accounts/demo", "/v1/accounts/nobody", "/"):
        assert api.client.get(path, headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/accounts",
        "/v1/accounts/",
        "/v1/accounts/Demo",
        "/v1/accounts/a%2Fb",
        "/v1/accounts/../x",
        "/v2/accounts/demo",
    ],
)
def test_another_path_is_not_found(api: Served, path: str) -> None:
    """B45."""
    assert get(api, path, "ann-token-0001").status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch", "head"])
def test_an_account_is_read_with_get(api: Served, method: str) -> None:
    """B77."""
    answer = getattr(api.client, method)(
        "/v1/accounts/demo", headers={"Authorization": "Bearer ann-token-0001"}
    )
    assert answer.status_code == 405


def test_with_the_store_down_nothing_is_made_up(api: Served) -> None:
    """F13, I7."""
    api.outage()
    assert get(api, "/v1/accounts/demo").status_code == 503


def test_an_unknown_error_shows_no_trace(api: Served) -> None:
    """B75."""
    api.store.fault = RuntimeError("hunter2")
    answer = get(api, "/v1/accounts/demo")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert b"hunter2" not in answer.data


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=1e9", "cursor=x", "t=1", "a=1&a=2", "x" * 8192, "%ff=1"]
)
@pytest.mark.parametrize(
    "path", ["/v1/accounts/demo", "/v1/accounts/demo/settings", "/v1/accounts/demo/alerts"]
)
def test_a_query_that_is_not_understood_is_refused(api: Served, path: str, query: str) -> None:
    """B76: nothing is paged, so nothing can be asked for without end."""
    answer = get(api, f"{path}?{query}")
    assert (answer.status_code, answer.get_json()["title"]) == (400, "BAD_QUERY")


def test_a_flood_of_one_caller_is_cut(api: Served) -> None:
    """B74."""
    statuses = [get(api, "/v1/accounts/demo/alerts").status_code for _ in range(320)]
    assert (statuses.count(200), statuses.count(429)) == (300, 20)
    assert get(api, "/v1/accounts/demo/alerts", "bob-token-0002").status_code == 200


# --- statements ---


def hand_in(
    served: Served, body: object, account: str = "demo", token: str = "ann-token-0001"
) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return served.client.post(f"/v1/accounts/{account}/statement", json=body, headers=headers)


def statement(**more: object) -> dict[str, object]:
    held = [{"symbol": "SPY", "quantity": "9"}]
    facts = {"statement_id": "S-1", "broker": "paper", "account": "demo", "as_of": "2026-11-18T17:00:00Z"}
    return {"message": {"type": "stopline.statement.v1", **facts, "positions": held, **more}}


def test_a_statement_may_come_over_http_and_has_the_account_compared(api: Served) -> None:
    """Issue 4.7: a message or an API call; the newest counts, whichever way it came."""
    api.world.app.recorder.record([Fill.model_validate(raw_fill())], "m-1")
    before = api.world.bus.published["sweeps"]
    answer = hand_in(api, statement(unread=["ODD LINE"]))
    assert (answer.status_code, answer.get_json()["new"]) == (200, True)
    assert (answer.get_json()["positions"], answer.get_json()["unread"]) == (1, ["ODD LINE"])
    assert api.world.bus.published["sweeps"] == before + 1
    kept = api.world.app.reconciler.newest(api.world.app.accounts.require("demo"))
    assert [h.quantity for h in kept["paper"].positions] == [9]
    assert hand_in(api, statement()).get_json()["new"] is False


def test_a_statement_in_a_broker_s_own_words_is_read_by_its_dialect(api: Served) -> None:
    rows = [
        {"symbol": "SPY", "qty": "10", "side": "long", "avg_entry_price": "600", "asset_class": "us_equity"}
    ]
    message = {"as_of": "2026-11-18T17:00:00Z", "positions": rows}
    told = {"message": message, "attributes": {"broker": "paper", "dialect": "alpaca"}}
    answer = hand_in(api, told)
    assert answer.status_code == 200, answer.data
    assert answer.get_json()["broker"] == "paper"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "BAD_MESSAGE"),
        ({"message": []}, "BAD_MESSAGE"),
        (statement() | {"more": 1}, "BAD_MESSAGE"),
        (statement() | {"attributes": ["x"]}, "BAD_ATTRIBUTE"),
        (statement() | {"attributes": {"broker": 1}}, "BAD_ATTRIBUTE"),
        (statement() | {"attributes": {"dialect": "none"}}, "UNKNOWN_DIALECT"),
        (statement(account="other"), "CONTRADICTION"),
        (statement(broker="elsewhere"), "UNKNOWN_BROKER"),
        (statement(as_of="2027-11-18T17:00:00Z"), "IN_THE_FUTURE"),
        ({"message": raw_fill()}, "BAD_MESSAGE"),
    ],
)
def test_what_is_no_statement_of_the_account_changes_nothing(api: Served, body: object, reason: str) -> None:
    answer = hand_in(api, body)
    assert (answer.status_code, answer.get_json()["title"]) == (400, reason), answer.data
    assert api.world.bus.published["sweeps"] == 0
    assert api.world.store.query("statements") == []
