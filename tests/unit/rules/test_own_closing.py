"""How what is closed is closed: as the trade says, else its strategy, else the account (issue 7, point 7)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from stopline.model.account import Account
from stopline.model.closing_state import ClosingState, Sent, SentLeg
from stopline.model.errors import Rejected
from stopline.model.settings.closing import ClosingSettings, OwnClosing
from stopline.model.settings.exits import ExitSettings
from stopline.rules.exits.plan import closing_of, plan_of
from stopline.rules.exits.preview import plan_facts
from stopline.service.closing.executions import log_executions
from stopline.service.exits.desk import ExitPatch

from ..make import NOON, account, at, equity, trade
from ..service.world import World
from .test_close_requests import LONG, SHORT, Desk, closes

LAYERS: dict[str, Any] = {
    "trades": {"closing": {"collar_pct": "2", "exit_order": "MARKET"}},
    "strategies": {"s": {"trades": {"closing": {"collar_pct": "3", "retry_s": 20}}}},
    "single": {"T-1": {"closing": {"collar_pct": "4"}}},
}


def layered() -> Account:
    return account(exits=LAYERS, closing={"collar_min": "0.5", "collar_pct": "1", "valid_s": 60})


@pytest.mark.parametrize(
    ("strategy", "trade_id", "collar", "retry"),
    [
        ("other", None, 2, 5),
        ("s", None, 3, 20),
        ("s", "T-2", 3, 20),
        ("s", "T-1", 4, 20),
        ("other", "T-1", 4, 5),
    ],
)
def test_each_setting_of_a_closing_is_the_trade_s_else_the_strategy_s_else_the_account_s(
    strategy: str, trade_id: str | None, collar: int, retry: int
) -> None:
    """Point 7: as with the exits themselves, setting by setting."""
    found = closing_of(layered(), strategy, trade_id)
    assert (found.collar_pct, found.retry_s) == (collar, retry)
    assert (found.exit_order, found.collar_min, found.valid_s) == ("MARKET", layered().closing.collar_min, 60)


def test_whatever_an_account_can_say_of_closings_a_trade_can() -> None:
    assert OwnClosing.model_fields.keys() == ClosingSettings.model_fields.keys()


def test_a_trade_s_own_closing_is_shown_with_its_plan() -> None:
    plan = plan_of(ExitSettings.model_validate(LAYERS), "s", "T-1")
    assert plan_facts(plan)["closing"] == {"collar_pct": "4", "exit_order": "MARKET", "retry_s": 20}
    assert plan.is_empty  # it closes nothing


def owning(**own: dict[str, Any]) -> Desk:
    """Return a desk with 10 SPY of strategy `a` and 10 of `b`, each with its own way of closing."""
    desk = Desk(*(trade(n, 10, 100, strategy=name) for n, name in enumerate("ab")))
    desk.exits = ExitSettings.model_validate(
        {"strategies": {name: {"trades": {"closing": some}} for name, some in own.items()}}
    )
    return desk


def test_two_strategies_close_the_same_symbol_each_in_its_own_way() -> None:
    """R8.4: order type, collar and how long a command is worked on."""
    desk = owning(a={"exit_order": "MARKET"}, b={"collar_pct": "10", "valid_s": 300})
    one, other = sorted(desk.ask(), key=lambda command: command.strategy or "")
    assert (one.order_type, one.limit_price, one.expires_at) == ("MARKET", None, at(30))
    assert (other.order_type, str(other.limit_price), other.expires_at) == ("LIMIT", "89.90", at(300))


def test_a_strategy_s_own_halt_order_is_that_of_a_kill() -> None:
    desk = owning(a={"halt_order": "LIMIT"})
    desk.halting = True
    orders = {command.strategy: command.order_type for command in closes(desk.step())}
    assert orders == {"a": "LIMIT", "b": "MARKET"}


def test_a_strategy_s_own_retry_waits_as_long_as_it_says() -> None:
    """R8.4: exponential, from `retry_s` up to `retry_max_s`."""
    desk = owning(a={"retry_s": 60, "retry_max_s": 100})
    for command in desk.ask():
        desk.report(command, "rejected", "0")
    waited = {0: [c.strategy for c in desk.wait(5)]}
    waited |= {n: [c.strategy for c in desk.wait(1) if c.strategy == "a"] for n in range(6, 61)}
    assert waited[0] == ["b"]
    assert {n for n, found in waited.items() if found == ["a"]} == {60}
    [again] = [one for one in desk.state.sent.values() if one.strategy == "a" and one.ended_at is None]
    assert (again.next_at, again.round) == (again.issued_at + (at(100) - at(0)), 2)


def test_a_spread_goes_as_one_order_where_its_strategy_says_so() -> None:
    fills = [
        trade(n, units, 10, instrument=leg, strategy=name, group_id=name)
        for n, (units, leg, name) in enumerate(
            [(-2, SHORT, "a"), (2, LONG, "a"), (-2, SHORT, "b"), (2, LONG, "b")]
        )
    ]
    desk = Desk(*fills)
    desk.exits = ExitSettings.model_validate(
        {"strategies": {"a": {"trades": {"closing": {"multi_leg": True}}}}}
    )
    sent = {command.strategy: bool(command.legs) for command in desk.ask()}
    assert sent == {"a": True, "b": False}


def test_a_patch_of_a_trade_s_closing_is_a_version_and_what_holds_then_is_shown() -> None:
    """Point 7: validated, versioned, previewed; `stopline exits demo --trade ID closing.exit_order=MARKET` does the same."""
    world = World()
    world.open_account(account(exits={"trades": {"closing": {"collar_pct": "2"}}}))
    app, _ = world.instance()
    app.recorder.record([trade(1, 10, 100)], "m-1")
    [held] = app.exit_desk.facts(app.accounts.require("demo"))["trades"]

    def change(preview: bool, **closing: Any) -> dict[str, Any]:
        patch = {"expected_version": 1, "trade": held, "exits": {"closing": closing}, "preview": preview}
        return app.exit_desk.change("demo", ExitPatch.model_validate(patch), "ann")

    with pytest.raises(Rejected, match="collar_pct"):
        change(False, collar_pct="0")
    for preview in (True, False):
        answer = change(preview, exit_order="MARKET")
        one = answer["trades"][held]
        assert (one["before"]["closing"], one["after"]["closing"]) == (
            {"collar_pct": "2"},
            {"collar_pct": "2", "exit_order": "MARKET"},
        )
    stored = world.instance()[0].accounts.require("demo")
    assert (stored.version, closing_of(stored, "default", held).exit_order) == (2, "MARKET")


def test_slippage_is_told_by_the_strategy_s_own_bound() -> None:
    sent = {
        name: Sent.model_validate(
            {
                "command_id": f"c-{name}",
                "strategy": name,
                "epoch": 1,
                "round": 1,
                "units": "10",
                "order_type": "MARKET",
                "issued_at": NOON.isoformat(),
                "expires_at": at(30).isoformat(),
                "ended_at": at(5).isoformat(),
                "legs": [
                    SentLeg(
                        key=f"{name}:SPY",
                        instrument=equity("SPY"),
                        side="SELL",
                        quantity=Decimal(10),
                        mark=Decimal(100),
                        filled=Decimal(10),
                        worth=Decimal(980),
                        fills=1,
                    )
                ],
            }
        )
        for name in "ab"
    }
    one = account(exits={"strategies": {"a": {"trades": {"closing": {"slippage_money": "10"}}}}})
    state = ClosingState(account="demo", sent=sent)
    _, _, told = log_executions(state, lambda s: closing_of(one, s.strategy, s.legs[0].trade_id), at(6))
    assert [(alert.cause, alert.figure and alert.figure.limit) for alert in told] == [("c-a", 10)]
