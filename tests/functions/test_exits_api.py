"""Exits over HTTP: what holds for each trade, and changes that are validated, versioned and previewed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from stopline.model.account import Account
from stopline.model.prices import PriceBatch, Quote
from stopline.model.settings.exits import TradeExits

from .conftest import ANN, EVE, NOON, Served, hold_spy_at


@pytest.fixture
def api(api: Served) -> Served:
    """Ten shares bought at 100 that are at 104 now; the strategy is `default`."""
    hold_spy_at(api, 104)
    return api


def call(
    served: Served, method: str = "GET", body: Any = None, who: str = ANN, account: str = "demo"
) -> TestResponse:
    path = f"/v1/accounts/{account}/exits"
    return served.client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {who}"})


def patch(served: Served, exits: dict[str, Any], version: int = 1, **more: Any) -> TestResponse:
    return call(served, "PATCH", {"expected_version": version, "exits": exits, **more})


def trade_id(served: Served) -> str:
    [id_] = call(served).get_json()["trades"]
    return str(id_)


def test_what_holds_for_each_trade(api: Served) -> None:
    """R4.2, issue 7.7."""
    facts = call(api).get_json()
    assert (facts["version"], facts["settings"]["strategies"]) == (1, {})
    [trade] = facts["trades"].values()
    assert (trade["name"], trade["strategy"]) == ("SPY", "default")
    assert trade["plan"] == {"price_max_age_s": 30, "health_below": 40, "confirm": 2, "auto_close": True}
    assert (trade["state"]["price"], trade["state"]["stop"]) == ("104", None)


def test_a_preview_says_what_a_change_would_do_and_changes_nothing(api: Served) -> None:
    """Issue 7.7: levels before and after, and what it would close at once."""
    body = {"stop_loss": "2%", "trail": {"by": "percent", "amount": "1%"}}
    facts = patch(api, body, preview=True).get_json()
    assert (facts["applied"], facts["version"]) == (False, 1)
    [trade] = facts["trades"].values()
    assert (trade["before"]["stop_at"], trade["after"]["stop_at"]) == (None, "102.96")
    assert trade["closes_now"] is None
    [tight] = patch(api, {"stop_loss": "@105"}, preview=True).get_json()["trades"].values()
    assert (tight["after"]["stop_at"], tight["closes_now"]) == ("105", "stop_loss")
    assert call(api).get_json()["version"] == 1
    assert call(api).get_json()["settings"]["trades"] == {}


def test_what_was_previewed_is_what_then_holds(api: Served) -> None:
    """The preview takes the same step as the next readings."""
    body = {"trail": {"by": "percent", "amount": "1%"}}
    [shown] = patch(api, body, preview=True).get_json()["trades"].values()
    assert patch(api, body).get_json()["applied"]
    world = api.world
    for seconds in (1, 2, 3):
        at = NOON + timedelta(seconds=31 + seconds)
        world.clock.set(at)
        world.app.marker.mark(PriceBatch("feed", at, {"SPY": Quote(104.0, 103.9, 104.1)}, ()))
    [trade] = call(api).get_json()["trades"].values()
    assert trade["state"]["stop"] == shown["after"]["stop_at"] == "102.96"


@pytest.mark.parametrize("scope", ["account", "strategy", "trade"])
def test_a_change_of_an_account_a_strategy_or_a_trade_is_a_version(api: Served, scope: str) -> None:
    """R4.2, issue 7.7: the nearest setting wins; each change has an audit row."""
    id_ = trade_id(api)
    where = {"account": {}, "strategy": {"strategy": "default"}, "trade": {"trade": id_}}[scope]
    exits = {"trades": {"target": "5%"}} if scope == "strategy" else {"target": "5%"}
    facts = patch(api, exits, **where).get_json()
    assert (facts["version"], facts["trades"][id_]["after"]["target_at"]) == (2, "105")
    assert call(api).get_json()["trades"][id_]["plan"]["target"] == "5%"
    cleared = patch(api, {"trades": None} if scope == "strategy" else {"target": None}, 2, **where)
    assert cleared.get_json()["version"] == 3
    assert "target" not in call(api).get_json()["trades"][id_]["plan"]
    events = [r["event"] for r in api.world.history.latest("audit") if r["event"] == "account_changed"]
    api.world.run()
    events = [r["event"] for r in api.world.history.latest("audit") if r["event"] == "account_changed"]
    assert len(events) == 2


@pytest.mark.parametrize("exits", [{"stop_loss": "@105"}, {"target": "@103"}, {"target": "1%"}])
def test_a_change_that_would_close_at_once_is_refused_unless_it_says_so(
    api: Served, exits: dict[str, Any]
) -> None:
    """R4.2: a stop or a target on the wrong side of the price of 104 is a mistake more often than a wish."""
    answer = patch(api, exits, trade=trade_id(api))
    assert (answer.status_code, answer.get_json()["title"]) == (409, "CLOSES_NOW")
    [rule] = exits
    said = f"{rule} would close SPY (trade {trade_id(api)}) at once, at its price of 104. If that is meant, say close_now"
    assert answer.get_json()["detail"] == said
    assert call(api).get_json()["version"] == 1
    assert patch(api, exits, trade=trade_id(api), close_now=True).get_json()["applied"]


def test_where_nothing_is_closed_by_itself_nothing_is_refused(api: Served) -> None:
    """R5.5: with auto_close off people are told, and that is all."""
    assert patch(api, {"stop_loss": "@105", "auto_close": False}).get_json()["applied"]
    assert patch(api, {"auto_close": True}, 2).get_json()["title"] == "CLOSES_NOW"


def test_what_closes_anyway_is_no_reason_to_refuse(api: Served) -> None:
    assert patch(api, {"stop_loss": "@105"}, close_now=True).get_json()["applied"]
    assert patch(api, {"stop_loss": "@106", "health_below": 30}, 2).get_json()["applied"]


def test_a_price_that_is_unknown_counts_as_the_entry(api: Served) -> None:
    """Unknown is never fine: in the night a stop above the entry is asked about too."""
    world = api.world
    world.clock.set(NOON + timedelta(hours=1))
    world.app.marker.evaluate({"demo"}, world.clock.now(), "sweep", force=True)
    answer = patch(api, {"stop_loss": "@105"})
    assert "at once, at an unknown price" in answer.get_json()["detail"]
    assert patch(api, {"stop_loss": "@95"}).get_json()["applied"]


def test_a_strategy_that_would_be_stopped_at_once_is_asked_about(api: Served) -> None:
    """R4.1: its MTM is 40 less fees, and its peak no more."""
    tight = {"floor_at": "10", "floor": "10"}
    assert patch(api, tight, strategy="default").get_json()["applied"]
    [shown] = (
        patch(api, {"floor": "39", "floor_at": "39"}, 2, strategy="default", preview=True)
        .get_json()["strategies"]
        .values()
    )
    assert (shown["stop_before"], shown["stop_after"], shown["closes_now"]) == ("10", "39", None)
    world = api.world
    at = NOON + timedelta(seconds=40)
    world.clock.set(at)
    world.app.marker.mark(PriceBatch("feed", at, {"SPY": Quote(98.0, 97.9, 98.1)}, ()))
    answer = patch(api, {"max_loss": "5"}, 2, strategy="default")
    assert answer.get_json()["title"] == "CLOSES_NOW"
    assert "would stop strategy default at once, at its MTM of -2" in answer.get_json()["detail"]


def test_switching_the_account_on_is_asked_about_where_a_strategy_has_triggered_since(api: Served) -> None:
    """R5.5: with auto_close off its stop was only told."""
    assert patch(api, {"auto_close": False}).get_json()["applied"]
    assert patch(api, {"max_loss": "5", "confirm": 1}, 2, strategy="default").get_json()["applied"]
    at = NOON + timedelta(seconds=40)
    api.world.clock.set(at)
    api.world.app.marker.mark(PriceBatch("feed", at, {"SPY": Quote(98.0, 97.9, 98.1)}, ()))
    answer = patch(api, {"auto_close": True}, 3)
    assert answer.get_json()["title"] == "CLOSES_NOW"
    assert "max_loss would stop strategy default at once" in answer.get_json()["detail"]


def test_r_of_a_trade_without_a_stop_is_refused_by_name(api: Served) -> None:
    """R4.3: 1R of nothing never comes."""
    id_ = trade_id(api)
    answer = patch(api, {"breakeven": "1R"}, trade=id_)
    assert (answer.status_code, answer.get_json()["title"]) == (400, "BAD_EXITS")
    assert f"trade {id_} (SPY): stop_loss: is needed to count in R" in answer.get_json()["detail"]
    assert patch(api, {"breakeven": "1R", "stop_loss": "@90"}, trade=id_).get_json()["applied"]
    gone = patch(api, {"stop_loss": None}, 2, trade=id_)
    assert "is needed to count in R" in gone.get_json()["detail"]


def test_settings_of_trades_that_the_book_has_forgotten_are_swept_out(api: Served) -> None:
    """Else they would fill up what an account may hold of them, and no trade could be changed any more."""
    app = api.world.app

    def edit(before: Account) -> Account:
        single = {"gone": TradeExits(confirm=3), trade_id(api): TradeExits(confirm=4)}
        return before.model_copy(update={"exits": before.exits.model_copy(update={"single": single})})

    app.account_writer.change("demo", edit, "ann")
    settings = patch(api, {"target": "9%"}, 2).get_json()["settings"]
    assert list(settings["single"]) == [trade_id(api)]


def test_exits_are_not_changed_where_nothing_is_said_of_what_they_close(api: Served) -> None:
    body = {"expected_version": 1, "settings": {"exits": {"trades": {"stop_loss": "@105"}}}}
    headers = {"Authorization": f"Bearer {ANN}"}
    answer = api.client.patch("/v1/accounts/demo/settings", json=body, headers=headers)
    assert answer.status_code == 400
    assert "PATCH /v1/accounts/demo/exits" in answer.get_json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "title", "said"),
    [
        ({"exits": {"stop_loss": "1%"}, "expected_version": 2}, 409, "STALE_VERSION", "at version 1"),
        ({"exits": {"stop_loss": "-1%"}}, 400, "BAD_MESSAGE", "stop_loss"),
        ({"exits": {"stop_loss": "3R"}}, 400, "BAD_EXITS", "exits.trades.stop_loss: takes"),
        ({"exits": {"scale_out": [{"at": "1%", "close": "150"}]}}, 400, "BAD_MESSAGE", "100 %"),
        ({"exits": {"stopp": "1%"}}, 400, "BAD_MESSAGE", "stopp"),
        ({"exits": {}}, 400, "BAD_MESSAGE", "exits"),
        ({"exits": {"giveback": "30"}}, 400, "BAD_MESSAGE", "giveback"),
        ({"exits": {"target": "1%"}, "trade": "nope"}, 400, "UNKNOWN_TRADE", "no open trade 'nope'"),
        ({"exits": {"target": "1%"}, "trade": "x", "strategy": "y"}, 400, "BAD_MESSAGE", "name one"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    api: Served, body: dict[str, Any], status: int, title: str, said: str
) -> None:
    answer = call(api, "PATCH", {"expected_version": 1, **body})
    assert (answer.status_code, answer.get_json()["title"]) == (status, title)
    assert said in answer.get_json()["detail"]
    assert call(api).get_json()["version"] == 1


def test_a_change_needs_the_right_to_trade_or_to_change_risk(api: Served) -> None:
    """Who may only look may look, and nobody sees another's account."""
    body = {"expected_version": 1, "exits": {"target": "5%"}}
    assert call(api, who=EVE).status_code == 200
    assert call(api, "PATCH", body, EVE).status_code == 403
    assert call(api, account="nobody").status_code == 404


def test_nothing_is_made_up_when_the_store_is_down(api: Served) -> None:
    api.outage()
    assert call(api).status_code == 503
    assert patch(api, {"target": "5%"}).status_code == 503
