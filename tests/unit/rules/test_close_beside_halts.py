"""Closings beside the kill of a part: only what that kill has cancelled counts as over before its own end."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.model.messages import Command

from ..make import equity, trade
from .test_close_requests import Desk

STRATEGY_SPY, STRATEGY_QQQ = "strategy:demo:swing", "underlying:demo:QQQ"


def desk() -> Desk:
    """Return 100 SPY of one strategy, and of another one SPY and QQQ."""
    other = {"strategy": "swing"}
    return Desk(
        trade(1, 100, 100), trade(2, 10, 100, **other), trade(3, 10, 100, instrument=equity("QQQ"), **other)
    )


def of(commands: list[Command], strategy: str) -> list[Decimal | None]:
    return [c.quantity for c in commands if c.strategy == strategy]


@pytest.mark.parametrize("scope", [STRATEGY_SPY, STRATEGY_QQQ])
def test_a_kill_of_a_part_ends_no_command_that_it_has_not_cancelled(scope: str) -> None:
    """R5.1, F44: the broker still works on the close of another strategy; a second one would sell 200 of 100."""
    one = desk()
    assert of(one.ask(strategy="default"), "default") == [100]
    one.now, one.halts = one.now.replace(second=1), {scope: 2}
    assert of(one.wait(0), "default") == []
    assert of(one.wait(6), "default") == []
    one.changes += 1  # the halt begins anew
    assert of(one.wait(1), "default") == []
    assert of(one.wait(6), "default") == []
    assert of(one.wait(30), "default") == [100], "it has run out"


@pytest.mark.parametrize("scope", [STRATEGY_SPY, STRATEGY_QQQ])
def test_a_kill_of_a_part_ends_what_was_out_for_that_part(scope: str) -> None:
    """R5.1: its cancel has ended the limit order, so the kill need not wait for that to run out."""
    one = desk()
    one.quotes["QQQ"] = one.quotes["SPY"]
    assert of(one.ask(strategy="swing", symbol="QQQ"), "swing") == [10]
    one.now, one.halts = one.now.replace(second=1), {scope: 2}
    assert [c.instrument for c in one.wait(0) if c.instrument == equity("QQQ")] == []
    [again] = [c for c in one.wait(6) if c.instrument == equity("QQQ")]
    assert (again.quantity, again.order_type) == (10, "MARKET")


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 12), st.sampled_from(["", STRATEGY_SPY, STRATEGY_QQQ, "resume", "other", "ask"])
        ),
        max_size=12,
    )
)
def test_whatever_parts_are_killed_no_more_is_out_than_is_held(happened: list[tuple[int, str]]) -> None:
    """R5.1, F44: a command works at the broker until it has run out or the cancel of a killed part was for it."""
    one = desk()
    one.quotes["QQQ"] = one.quotes["SPY"]
    working = one.ask(strategy="default")
    held = {("default", "SPY"): 100, ("swing", "SPY"): 10, ("swing", "QQQ"): 10}
    for number, (seconds, what) in enumerate(happened):
        before = dict(one.halts), one.changes
        if what == "resume":
            one.changes += len(one.halts) + 1
            one.halts = {}
        elif what.startswith(("strategy", "underlying")) and what not in one.halts:
            one.halts = {**one.halts, what: number + 2}
        elif what == "other":
            one.changes += 1
        commands = one.ask(f"R-{number}", strategy="swing") if what == "ask" else one.wait(0)
        if before != (one.halts, one.changes):  # the cancels go out with each change
            working = [
                c
                for c in working
                if not (STRATEGY_SPY in one.halts and c.strategy == "swing")
                and not (STRATEGY_QQQ in one.halts and c.instrument == equity("QQQ"))
            ]
        for pause in (None, seconds):
            new = commands if pause is None else one.wait(pause)
            working = [c for c in working if c.expires_at > one.now] + new
            for key, units in held.items():
                out = [c for c in working if c.instrument and (c.strategy, c.instrument.symbol) == key]
                assert sum((c.quantity or Decimal(0) for c in out), Decimal(0)) <= units
