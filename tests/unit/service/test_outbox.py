"""The relay: publishes what is due, remembers what is proven, and calls nothing published that is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopline.model.errors import Transient
from stopline.model.messages import Effect
from stopline.service.documents.outbox import (
    Relay,
    Unpublished,
    decode_outbox,
    encode_outbox,
    outbox_fields,
    outgoing,
)

from ..make import NOON
from .world import RecordingBus


def effect(id_: str, topic: str = "alerts", account: str = "demo") -> Effect:
    return Effect(id_, topic, account, {"type": "stopline.alert.v1", "text": id_})


def test_an_effect_is_published_once_by_an_instance_that_knows_it() -> None:
    bus = RecordingBus()
    relay = Relay(bus)
    relay.publish([effect("a")])
    relay.publish([effect("a"), effect("b")])
    assert bus.ids() == ["a", "b"]
    assert relay.unpublished([effect("a"), effect("c")]) == (effect("c"),)


@pytest.mark.parametrize("fault", ["down", "ambiguous"])
def test_what_is_not_proven_stays_due(fault: str) -> None:
    """F10, F17, I4."""
    bus = RecordingBus()
    setattr(bus, fault, True)
    relay = Relay(bus)
    with pytest.raises(Unpublished, match="1 effects are due"):
        relay.publish([effect("a")])
    assert relay.unpublished([effect("a")]) == (effect("a"),)
    setattr(bus, fault, False)
    relay.publish([effect("a")])
    assert bus.ids()[-1] == "a"


def test_unpublished_is_transient() -> None:
    """Design 4: not acknowledged, so it comes again."""
    assert issubclass(Unpublished, Transient)


def test_an_effect_of_a_local_topic_is_carried_out_and_not_published() -> None:
    bus, done = RecordingBus(), []
    relay = Relay(bus, {"controls": done.append})
    relay.publish([effect("a"), effect("b", "controls")])
    assert bus.ids() == ["a"]
    assert [e.id for e in done] == ["b"]
    relay.publish([effect("b", "controls")])
    assert len(done) == 1


def test_a_local_effect_that_fails_stays_due_and_the_published_ones_do_not() -> None:
    """F40."""
    bus = RecordingBus()
    relay = Relay(bus)

    def fails(_effect: Effect) -> None:
        raise Transient("later")

    relay.carry_out("controls", fails)
    with pytest.raises(Transient):
        relay.publish([effect("b", "controls"), effect("a")])
    assert [e.id for e in relay.unpublished([effect("a"), effect("b")])] == ["b"]


def change(id_: str, action: str, actor: str = "breaker:loss", scope: str = "account:demo") -> Effect:
    return Effect(id_, "controls", "demo", {"action": action, "actor": actor, "scope": scope})


def carried_out(relay: Relay, wanted: list[Effect], trouble: Mapping[str, Transient]) -> list[str]:
    """Carry out what is wanted where `trouble` keeps some of it from being done; return what was done, in its order."""
    done: list[str] = []

    def use_case(effect: Effect) -> None:
        if effect.id in trouble:
            raise trouble[effect.id]
        done.append(effect.id)

    relay.carry_out("controls", use_case)
    relay.carry_out("closings", use_case)
    with pytest.raises(Transient) if trouble else nullcontext():
        relay.publish(wanted)
    return done


WANTED = [change("p-1", "pause"), change("r-1", "release"), change("p-2", "pause")]


def test_what_an_actor_wants_of_a_scope_is_carried_out_in_its_order() -> None:
    """I6, F40: a pause that came after its own release would stay, or its release lift what came in between."""
    relay = Relay(RecordingBus())
    others = [
        change("of another", "pause", actor="breaker:latency"),
        change("of a part", "pause", scope="strategy:demo:condor"),
    ]
    wanted = [*WANTED, *others]
    assert carried_out(relay, wanted, {"p-1": Transient("later")}) == ["of another", "of a part"]
    assert carried_out(relay, wanted, {}) == ["p-1", "r-1", "p-2"]
    assert relay.unpublished(wanted) == ()


def test_a_pause_does_not_wait_for_a_release() -> None:
    """R5.3: a release names the pause that it takes back, so that a late one lifts no other; a stop always has room."""
    relay = Relay(RecordingBus())
    assert carried_out(relay, WANTED, {"r-1": Transient("later")}) == ["p-1", "p-2"]
    assert carried_out(relay, WANTED, {}) == ["r-1"]


def test_no_kill_and_no_close_waits_for_what_came_before_it() -> None:
    """R4.1, F40."""
    kill, closes = change("k-1", "kill"), [effect("c-1", "closings"), effect("c-2", "closings")]
    down = {"p-1": Transient("later"), "c-1": Transient("later")}
    assert carried_out(Relay(RecordingBus()), [WANTED[0], *closes, kill], down) == ["k-1", "c-2"]


def test_a_pause_waits_for_nothing_that_stands_though_its_messages_are_due() -> None:
    """R2.4, F40: while Pub/Sub is down, what people have lifted is stopped again."""
    down = {"p-1": Unpublished("1 effects are due")}
    assert carried_out(Relay(RecordingBus()), WANTED, down) == ["r-1", "p-2"]


def test_what_is_no_change_of_state_is_tried_each_time_though_another_waits_for_its_messages() -> None:
    """F40: two closes that wait for their messages are of no scope, which does not make them one."""
    relay, tried = Relay(RecordingBus()), []

    def waits(effect: Effect) -> None:
        tried.append(effect.id)
        raise Unpublished("1 effects are due")

    relay.carry_out("closings", waits)
    for _ in range(2):
        with pytest.raises(Unpublished):
            relay.publish([effect("c-1", "closings"), effect("c-2", "closings")])
    assert tried == ["c-1", "c-2"] * 2


def test_what_stands_is_followed_though_another_change_breaks_down() -> None:
    """F40: a bug, or a state that cannot be decided, keeps no order of what stands already."""
    relay, followed = Relay(RecordingBus()), list[str]()

    def use_case(effect: Effect) -> None:
        raise Unpublished("1 effects are due") if effect.id == "p-1" else ArithmeticError("a bug")

    relay.carry_out("controls", use_case)
    relay.stands = lambda effect: followed.append(effect.id)
    with pytest.raises(ArithmeticError):
        relay.publish([change("p-1", "pause"), change("p-2", "pause", actor="breaker:latency")])
    assert followed == ["p-1"]


def test_changes_of_one_account_wait_once_for_the_bus_and_all_stand() -> None:
    """R5.2, F40: what stands beside a message that does not go out is committed, and published with the next look."""
    bus, stood = RecordingBus(), list[str]()
    relay = Relay(bus)

    def use_case(effect: Effect) -> None:
        stood.append(effect.id)
        relay.publish([Effect(f"told {effect.id}", "alerts", effect.account, {"type": "stopline.alert.v1"})])

    relay.carry_out("controls", use_case)
    wanted = [change(f"p-{n}", "pause", actor=f"breaker:{n}") for n in range(7)]
    bus.down = True
    with pytest.raises(Unpublished):
        relay.publish(wanted)
    assert (stood, bus.tries) == ([one.id for one in wanted], 1)
    bus.down = False
    relay.publish(wanted)
    assert bus.ids() == [f"told {one.id}" for one in wanted]


def test_orders_are_the_first_of_a_call_and_in_their_order() -> None:
    """F17, F18: an alert that hangs has its part of the call's time before what comes after it."""
    bus = RecordingBus()
    Relay(bus).publish(
        [effect("a"), effect("o-1", "orders"), effect("b", "history"), effect("o-2", "orders")]
    )
    assert bus.ids() == ["o-1", "o-2", "a", "b"]


@pytest.mark.parametrize(
    ("topic", "key"), [("orders", "demo"), ("alerts", ""), ("history", ""), ("sweeps", "")]
)
def test_only_commands_are_ordered_and_each_message_says_what_it_is(topic: str, key: str) -> None:
    """F18: an ordering key that is stuck in a client holds back nothing that needs no order."""
    message = outgoing(effect("a", topic))
    assert message.key == key
    assert message.attributes == {"effect_id": "a", "type": "stopline.alert.v1", "account": "demo"}
    assert json.loads(message.data) == {"type": "stopline.alert.v1", "text": "a"}


def test_an_effect_of_no_account_has_no_account_attribute() -> None:
    assert "account" not in outgoing(effect("a", account="")).attributes


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(
    st.lists(
        st.builds(Effect, texts, texts, texts, st.dictionaries(texts, texts | st.none() | st.integers(0, 9)))
    )
)
def test_an_outbox_reads_back_as_it_was_written(effects: list[Effect]) -> None:
    """I4."""
    assert decode_outbox({"outbox": encode_outbox(effects)}) == tuple(effects)
    fields = outbox_fields(effects, NOON)
    assert (fields["outbox_at"] is None) == (not effects)


def test_a_document_without_an_outbox_owes_nothing() -> None:
    assert decode_outbox({}) == ()
    assert decode_outbox({"outbox": ""}) == ()


@pytest.mark.parametrize("fault", ["down", "ambiguous"])
def test_a_change_of_the_trading_state_does_not_wait_for_pubsub(fault: str) -> None:
    """R2.4, F40: a breach pauses the account even where its alert cannot go out now."""
    bus, done = RecordingBus(), []
    setattr(bus, fault, True)
    relay = Relay(bus, {"controls": lambda e: done.append(e.id)})
    with pytest.raises(Unpublished):
        relay.publish([effect("alert"), effect("pause", topic="controls")])
    assert done == ["pause"]
    assert relay.unpublished([effect("pause", topic="controls")]) == ()
