"""The relay: publishes what is due, remembers what is proven, and calls nothing published that is not."""

from __future__ import annotations

import json

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
