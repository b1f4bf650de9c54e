"""How requests move a trading state: what changes for orders is an epoch, what does not is none."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from unit.make import NOON

from stopline.model.control import Control, ControlRequest, Hold, TradingState, account_scope
from stopline.rules.trading.breakers import reset_of
from stopline.rules.trading.reset import until
from stopline.rules.trading.state import HALF_OPEN, lapse, lapsed, release, resume, tighten

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


HOUR = timedelta(hours=1)


def half_open(size: str, until: timedelta | None) -> Hold:
    ends = NOON + until if until else None
    return hold(TradingState.ACTIVE, size).model_copy(update={"until": ends})


@pytest.mark.parametrize(
    ("size", "until", "joined"),
    [
        ("0.1", None, ("0.1", None)),
        ("0.5", None, ("0.25", None)),
        ("0.1", 3 * HOUR, ("0.1", 3 * HOUR)),
        ("0.5", HOUR / 2, ("0.25", HOUR)),
    ],
)
def test_a_cool_down_that_ends_leaves_a_size_that_was_small_before_small(
    size: str, until: timedelta | None, joined: tuple[str, timedelta | None]
) -> None:
    """R5.2: of two half-open holds the smaller size holds, and the one without an end, or the later one."""
    streak = hold(TradingState.REDUCING).model_copy(update={"reopen": Decimal("0.25")})
    before = Control(
        scope=SCOPE,
        state=TradingState.REDUCING,
        epoch=2,
        size=Decimal(size),
        holds={HALF_OPEN: half_open(size, until), "limit:max_consecutive_losses": streak},
    )
    after = lapse(before, SCOPE, "limit:max_consecutive_losses", NOON)[0].control
    [left] = after.holds.values()
    assert (after.state, str(left.size), left.until and left.until - NOON) == (TradingState.ACTIVE, *joined)
    assert after.size == left.size


def wish(action: str, actor: str = "ann", **more: object) -> ControlRequest:
    facts = {"request_id": "w", "scope": SCOPE, "action": action, "actor": actor, "reason": "r", **more}
    return ControlRequest.model_validate(facts)


def test_a_pause_and_its_resume_leave_a_small_size_small() -> None:
    """R5.2: a second resume lifts it, and that is one of its own."""
    holds = {HALF_OPEN: half_open("0.25", None), "person": hold(TradingState.REDUCING)}
    before = Control(scope=SCOPE, state=TradingState.REDUCING, epoch=2, size=Decimal("0.25"), holds=holds)
    after = resume(before, wish("resume"), NOON).control
    assert (after.state, after.size, list(after.holds)) == (TradingState.ACTIVE, Decimal("0.25"), [HALF_OPEN])
    whole = resume(after, wish("resume"), NOON).control
    assert (whole.size, whole.holds, whole.epoch) == (1, {}, 4)


@pytest.mark.parametrize(("releases", "state"), [("r-1", "ACTIVE"), (None, "ACTIVE"), ("r-0", "REDUCING")])
def test_a_release_lifts_the_pause_that_it_names(releases: str | None, state: str) -> None:
    """R5.2: that of an earlier one says nothing about what holds now; one of before there were names lifts any."""
    holds = {"breaker:loss": hold(TradingState.REDUCING)}
    before = Control(scope=SCOPE, state=TradingState.REDUCING, epoch=2, holds=holds)
    after = release(before, wish("release", "breaker:loss", releases=releases), NOON).control
    assert after.state == state


def test_a_breach_says_what_lets_trading_go_on() -> None:
    """R6.2: the day's loss ends with the day; a drawdown does not."""
    assert until(reset_of("max_daily_loss")) == "until the next session, or two people resume"
    assert until(reset_of("daily_profit_target")) == "until the next session, or a person resumes"
    assert until(reset_of("max_drawdown")) == "until two people resume"
    assert until(reset_of("max_position_value")) == "until a person resumes"


def test_a_locked_pause_with_an_end_ends_no_sooner_than_its_lock() -> None:
    """R5.1: `until` an hour from now, locked for three; and the other way round."""
    for ends, locked in ((HOUR, 3 * HOUR), (3 * HOUR, HOUR)):
        request = wish("pause", until=NOON + ends)
        held = tighten(Control(scope=SCOPE), request, NOON, NOON + locked).control
        found = [lapsed(held, NOON + after * HOUR) for after in (1, 2, 3)]
        assert found == [[], [], [(SCOPE, "person")]]
