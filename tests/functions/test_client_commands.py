"""The client of adapters: a command is taken once, in time, and never closes past zero."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopline.adapters.clock import ManualClock
from stopline.client import Client, OtherAccount
from stopline.model.messages import Command
from stopline.model.wire import canonical, validate
from stopline.model.working import Working

from .client_calls import SPY, act, client_of, command, halt_message, kill_request, order
from .conftest import NOON, Served, wait


def test_a_command_is_taken_once_in_time_and_not_of_an_epoch_that_is_over(swept: Served) -> None:
    """F06, F39, F44, I6."""
    client = client_of(swept)
    assert client.take(command()).command is not None
    assert client.take(command()).dropped == "it was carried out"
    assert client.take(command(command_id="c-2", epoch=0)).dropped == "epoch 0 is over, 1 holds"
    assert client.take(b"{oops").command is None
    wait(swept, 30)
    assert client.take(command(command_id="c-4")).dropped == "it has expired"
    assert client.epoch == 1
    assert client.take(command(command_id="c-5", epoch=2)).dropped == "it has expired"
    assert client.epoch == 2, "late as it is, it tells that the state has changed"


@pytest.mark.parametrize("wrong_s", [180, -180, 0])
def test_a_command_is_in_time_by_stopline_s_clock_however_wrong_the_adapter_s_is(
    swept: Served, wrong_s: int
) -> None:
    """R5.1: half a minute ahead every close had expired before it came, and what the lease said was all well."""
    client = client_of(swept)
    right = client.clock
    client.clock = ManualClock(right.now() + timedelta(seconds=wrong_s))
    client.renew()
    assert client.take(command()).command is not None
    client.clock = ManualClock(right.now() + timedelta(seconds=wrong_s + 30))
    assert client.take(command(command_id="c-2")).dropped == "it has expired"


@pytest.mark.parametrize("wrong_s", [-40, 40])
def test_a_clock_that_was_set_right_since_the_lease_is_taken_as_it_is(swept: Served, wrong_s: int) -> None:
    """R5.1: by what was wrong at the last lease every close came out as expired, for as long as no lease was granted."""
    client = client_of(swept)
    right = client.clock
    ticks = right.ticks()
    for seconds in (wrong_s, 0):
        client.clock = ManualClock(right.now() + timedelta(seconds=seconds))
        client.clock.ticks = lambda: ticks  # type: ignore[method-assign]
        if seconds:
            client.renew()
    assert client.take(command()).command is not None
    client.clock.set(right.now() + timedelta(seconds=30))
    assert client.take(command(command_id="c-2")).dropped == "it has expired"


def test_a_slow_answer_makes_no_clock_wrong(swept: Served) -> None:
    """R5.1: of five seconds it would drop every close that is good for five."""
    client = client_of(swept)
    post, clock = client.post, ManualClock(client.clock.now() - timedelta(seconds=4))
    client.clock = clock

    def slow(path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = post(path, body)
        clock.set(clock.now() + timedelta(seconds=5))
        return answer

    client.post = slow
    client.renew()
    assert client.take(command(expires_at=NOON + timedelta(seconds=2))).command is not None


def test_what_is_for_another_account_is_not_taken_and_not_done(swept: Served) -> None:
    """F44: whoever acknowledged it would keep that account's cancel, close or halt from the adapter that it is for."""
    client = client_of(swept)
    for message in (command(account="other"), halt_message(swept, kill_request(scope="strategy:other:core"))):
        for _ in range(2):
            with pytest.raises(OtherAccount, match="other"):
                client.take(message)
    assert client.epoch == 0, "and it tells nothing of this account"
    assert client.halts == {}
    assert client.take(halt_message(swept, kill_request(scope="global"))).halt is not None


@pytest.mark.parametrize("flatten", [True, False])
def test_the_cancel_of_a_kill_is_taken_however_late_it_comes(swept: Served, flatten: bool) -> None:
    """F40: the bus was down for an hour, and the kill still holds."""
    client = client_of(swept)
    act(swept, "kill", "k", flatten=flatten)
    sent: list[bytes] = []
    swept.world.bus.subscribe("orders", lambda message, id_, attempt: sent.append(message.data))
    swept.world.sweep()
    swept.world.run()
    wait(swept, 3600)
    [cancel] = [client.take(data).command for data in sent]
    assert cancel is not None
    assert cancel.action == "cancel_all"


def test_a_command_of_a_newer_epoch_ends_the_lease(swept: Served) -> None:
    """I6: a kill that is heard of on `orders` counts at once, not only at the next renewal."""
    client = client_of(swept)
    client.renew()
    client.take(command(epoch=5))
    assert not client.is_leased()
    assert not client.renew(), "an answer from before the kill is not believed"
    assert client.refusal(order()) is not None


def test_what_could_not_be_carried_out_is_taken_again(swept: Served) -> None:
    """F06: its message comes again, and is no duplicate."""
    client = client_of(swept)
    taken = client.take(command()).command
    assert taken is not None
    client.failed(taken)
    assert client.take(command()).command == taken
    assert client.take(command()).dropped == "it was carried out"


def test_messages_of_a_later_version_are_taken(swept: Served) -> None:
    """F47: a halt with a field more must not be dropped for it, nor a close."""
    client = client_of(swept)
    halt = json.loads(halt_message(swept, kill_request())) | {"of_tomorrow": 1}
    assert client.take(canonical(halt)).halt is not None
    assert client.refusal(order()) == "account:demo is HALTED"
    assert client.take(canonical(json.loads(command()) | {"of_tomorrow": 1})).command is not None
    assert client.take(canonical({"of_tomorrow": 1})).command is None


quantities = st.integers(-20, 20).map(Decimal)


@settings(max_examples=200)
@given(
    quantities,
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 30),
    st.lists(st.integers(-20, 20).filter(bool), max_size=4),
    st.booleans(),
)
def test_a_close_never_passes_zero(
    held: Decimal, side: str, quantity: int, units: list[int], one_of: bool
) -> None:
    """F44: nor adds, whatever is working already on its side; what works on the other side takes nothing from it."""
    made = validate(Command, json.loads(command(side=side, quantity=str(quantity))))
    sign = 1 if side == "BUY" else -1
    working = [Working(str(i), Decimal(u), "x" if one_of else "") for i, u in enumerate(units)]
    sent = Client.closable(made, held, working)
    same = [abs(u) for u in units if u * sign > 0]
    works = (max(same, default=0) if one_of else sum(same)) if sent else 0
    assert 0 <= sent <= quantity
    after = held + sign * (sent + works)
    assert after * held >= 0, "all of it filled, the position has not turned round"
    if held * sign < 0:
        room = abs(held) - (max(same, default=0) if one_of else sum(same))
        assert sent == max(min(Decimal(quantity), room), 0)
    else:
        assert sent == 0, "it would add"


def test_a_close_with_legs_is_not_one_of_a_position() -> None:
    """Which leg would `held` be of?"""
    leg = {"instrument": SPY.model_dump(mode="json"), "side": "SELL", "ratio": "1"}
    made = validate(Command, json.loads(command()) | {"legs": [leg], "instrument": None, "side": None})
    assert Client.closable(made, Decimal(10), []) == 0
