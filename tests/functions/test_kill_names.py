"""The kill switch: a stop of a name that stands for nothing is stored, and never called flat."""

from __future__ import annotations

from typing import Any

import pytest

from stopline.ports import Unavailable

from .conftest import Served, raw_fill, wait
from .kill_calls import CONFIRM, call, hold_spy, status


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ("underlying:demo:SPX", "SPY"),
        ("underlying:demo:SPYY", "SPY"),
        ("strategy:demo:nosuch", "default"),
    ],
)
def test_a_mistyped_stop_is_stored_and_never_called_flat(switch: Served, scope: str, held: str) -> None:
    """R5.1, R0.4, "never report flat until the fills prove it": the ten SPY that were meant are open."""
    hold_spy(switch)
    answer = call(switch, scope=scope)
    facts = answer.get_json()
    assert (answer.status_code, facts["state"], facts["closing"]) == (200, "HALTED", {scope: "NOTHING_HELD"})
    assert facts["counts"] == {"accounts": 1, "nothing_held": 1}
    name = scope.rpartition(":")[2]
    assert facts["warning"].startswith("nothing is known by the name ")
    assert f" {name} in account demo; held are {held}" in facts["warning"]
    shown = status(switch, scope).get_json()
    assert (shown["flat"], shown["closing"], shown["warning"]) == (False, None, facts["warning"])
    assert status(switch).get_json()["closing"]["status"] == "NOTHING_HELD"
    assert status(switch).get_json()["flat"] is False


def test_a_stop_of_what_is_held_has_no_warning_and_is_told_by_its_own_name(switch: Served) -> None:
    hold_spy(switch)
    for path, scope in (("/kill", "underlying:demo:SPY"), ("/pause", "strategy:demo:default")):
        facts = call(switch, path, request_id=scope, scope=scope).get_json()
        assert "warning" not in facts
        assert list(facts["closing"]) == [scope]
        assert "warning" not in status(switch, scope).get_json()
    assert "warning" not in call(switch, request_id="r-9").get_json()


def test_each_scope_is_told_its_own_closing_and_no_other_one(switch: Served) -> None:
    """R5.1, R0.4: trend is killed and flat, core is killed and closes, rest is open and nobody stopped it."""
    for number, name in enumerate(("trend", "core", "rest")):
        switch.world.publish("fills", raw_fill(f"E-{number}", strategy=name))
    switch.world.run()
    scopes = [f"strategy:demo:{name}" for name in ("trend", "core", "rest")]
    call(switch, request_id="r-1", scope=scopes[0])
    switch.world.publish("fills", raw_fill("E-9", side="SELL", strategy="trend"))
    switch.world.run()

    def shown(scope: str) -> tuple[Any, ...]:
        facts = status(switch, scope).get_json()
        closing = facts["closing"]
        return (
            closing and closing["status"],
            facts["flat"],
            facts["open_positions"],
            list((closing or {}).get("orders", ())),
        )

    assert shown(scopes[0]) == ("FLAT", True, 0, [])
    assert shown("account:demo") == ("PARTS_FLAT", False, 2, [])
    assert call(switch, request_id="r-2", scope=scopes[1]).get_json()["closing"] == {scopes[1]: "CLOSING"}
    again = call(switch, request_id="r-3", scope=scopes[0]).get_json()
    assert again["closing"] == {scopes[0]: "FLAT"}, "and not what becomes of the other one"
    assert shown(scopes[0]) == ("FLAT", True, 0, [])
    assert shown(scopes[1]) == ("CLOSING", False, 1, ["core:SPY"])
    assert shown(scopes[2]) == (None, False, 1, [])
    assert shown("underlying:demo:SPY") == (None, False, 2, [])
    assert shown("account:demo")[:3] == ("CLOSING", False, 2)


def test_a_closing_that_people_have_resumed_after_is_over_when_something_is_open_again(
    switch: Served,
) -> None:
    """R0.4: what was flat once says nothing of now."""
    hold_spy(switch)
    call(switch)
    switch.world.publish("fills", raw_fill("E-9", side="SELL"))
    switch.world.run()
    assert status(switch).get_json()["closing"]["status"] == "FLAT"
    wait(switch, 61)
    switch.world.run()
    assert call(switch, "/resume", request_id="r-2", expected_epoch=1, confirm=CONFIRM).status_code == 200
    hold_spy(switch, "E-10")
    facts = status(switch).get_json()
    assert (facts["closing"]["status"], facts["flat"], facts["open_positions"]) == ("OVER", False, 1)


@pytest.mark.parametrize("more", [{"path": "/pause"}, {"path": "/kill", "flatten": False}])
def test_a_mistyped_stop_that_closes_nothing_says_so_too(switch: Served, more: dict[str, Any]) -> None:
    hold_spy(switch)
    facts = call(switch, scope="underlying:demo:SPYY", **more).get_json()
    assert "held are SPY" in facts["warning"]
    assert "FLAT" not in facts["closing"].values()


def test_a_stop_whose_book_cannot_be_read_claims_nothing_of_the_name(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R0.4: unknown is never OK."""
    hold_spy(switch)

    def down(account: str) -> None:
        raise Unavailable("the books are down")

    monkeypatch.setattr(switch.app.books, "read", down)
    answer = call(switch, scope="underlying:demo:SPY")
    assert answer.status_code == 202
    assert "cannot be read now" in answer.get_json()["warning"]
    assert answer.get_json()["closing"] == {"underlying:demo:SPY": "PENDING"}


def test_stops_of_made_up_names_leave_room_for_the_kill_of_the_account(
    switch: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability 7: whoever may stop could fill the document of the account, and no kill of it would be stored."""
    monkeypatch.setattr("stopline.rules.trading.state.MOST_PARTS", 3)
    for number in range(3):
        assert call(switch, request_id=f"r-{number}", scope=f"strategy:demo:n{number}").status_code == 200
    full = call(switch, request_id="r-4", scope="strategy:demo:n4")
    assert (full.status_code, full.get_json()["title"]) == (400, "TOO_MANY_PARTS")
    assert call(switch, request_id="r-5", scope="strategy:demo:n1").status_code == 200, "it is there already"
    wait(switch, 61)
    again = {"expected_epoch": 1, "confirm": "RESUME strategy:demo:n0"}
    assert call(switch, "/resume", request_id="r-6", scope="strategy:demo:n0", **again).status_code == 200
    assert call(switch, request_id="r-7", scope="strategy:demo:n4").status_code == 200, "one is free again"
    assert status(switch).get_json()["parts"].keys() == {f"strategy:demo:n{n}" for n in (1, 2, 4)}
    assert call(switch, request_id="r-8").get_json()["state"] == "HALTED"
