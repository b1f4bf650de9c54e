"""How requests move a trading state: what changes for orders is an epoch, what does not is none."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from unit.make import NOON

from stopline.model.control import Control, Hold, TradingState, account_scope
from stopline.rules.trading.breakers import reset_of
from stopline.rules.trading.reset import until
from stopline.rules.trading.state import lapse

SCOPE = account_scope("demo")


def hold(state: TradingState, size: str = "1") -> Hold:
    until = NOON if state is not TradingState.HALTED else None
    since = NOON - timedelta(hours=1)
    return Hold(
        state=state, size=Decimal(size), actor="ann", reason="r", request_id="r-1", since=since, until=until
    )


def test_a_size_that_lapses_under_a_halt_begins_no_new_epoch() -> None:
    """R5.1: a new epoch would close, and call flat, an account that is flat already."""
    holds = {"person": hold(TradingState.HALTED), "limit:x": hold(TradingState.REDUCING, "0.25")}
    before = Control(scope=SCOPE, state=TradingState.HALTED, epoch=2, size=Decimal("0.25"), holds=holds)
    moved, _ = lapse(before, SCOPE, "limit:x", NOON)
    assert (moved.control.epoch, moved.control.state, moved.changed) == (2, TradingState.HALTED, False)
    assert moved.control.size == 1


def test_a_size_that_lapses_while_trading_goes_on_is_a_new_epoch() -> None:
    holds = {"limit:x": hold(TradingState.ACTIVE, "0.25")}
    before = Control(scope=SCOPE, epoch=2, size=Decimal("0.25"), holds=holds)
    moved, _ = lapse(before, SCOPE, "limit:x", NOON)
    assert (moved.control.epoch, moved.control.size, moved.changed) == (3, 1, True)


def test_a_breach_says_what_lets_trading_go_on() -> None:
    """R6.2: the day's loss ends with the day; a drawdown does not."""
    assert until(reset_of("max_daily_loss")) == "until the next session, or two people resume"
    assert until(reset_of("daily_profit_target")) == "until the next session, or a person resumes"
    assert until(reset_of("max_drawdown")) == "until two people resume"
    assert until(reset_of("max_position_value")) == "until a person resumes"
