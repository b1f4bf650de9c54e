"""What every bus does: the words of ports.Bus, one by one."""

from __future__ import annotations

import pytest

from stopline.model.errors import Transient
from stopline.ports import Outgoing, Unavailable

from .conftest import BusWorld
from .differences import differs


def test_a_message_reaches_the_subscriber_as_it_was_published(world: BusWorld) -> None:
    """Data, attributes and key: R0.3, R0.4."""
    sent = Outgoing("orders", b"\x00\xff{}", {"account": "demo", "type": "stopline.command.v1"}, key="demo")
    [id_] = world.bus.publish([sent])
    assert id_
    assert world.pull("orders", 1) == [sent]


def test_every_message_has_an_id_of_its_own(world: BusWorld) -> None:
    ids = world.bus.publish([Outgoing("alerts", b"same") for _ in range(20)])
    ids += world.bus.publish([Outgoing("alerts", b"same")])
    assert len(set(ids)) == 21
    assert len(world.pull("alerts", 21)) == 21


def test_publishing_nothing_is_no_error(world: BusWorld) -> None:
    assert world.bus.publish([]) == []


def test_one_call_may_publish_to_several_topics(world: BusWorld) -> None:
    """The effects of one commit: an alert, a command, history rows."""
    messages = [
        Outgoing("alerts", b"1"),
        Outgoing("orders", b"2", key="a"),
        Outgoing("alerts", b"3"),
        Outgoing("orders", b"4", key="b"),
    ]
    assert len(set(world.bus.publish(messages))) == 4
    assert {message.data for message in world.pull("alerts", 2)} == {b"1", b"3"}
    assert {message.data for message in world.pull("orders", 2)} == {b"2", b"4"}


def test_messages_of_one_key_arrive_in_the_order_of_publishing(world: BusWorld) -> None:
    for start in (0, 5):
        world.bus.publish(
            [
                Outgoing("orders", f"{key}{n}".encode(), key=key)
                for n in range(start, start + 5)
                for key in ("a", "b")
            ]
        )
    received = [message.data.decode() for message in world.pull("orders", 20)]
    for key in ("a", "b"):
        assert [text for text in received if text[0] == key] == [f"{key}{n}" for n in range(10)]


def test_a_message_of_attributes_alone_is_taken(world: BusWorld) -> None:
    world.bus.publish([Outgoing("alerts", b"", {"only": "this"})])
    assert world.pull("alerts", 1) == [Outgoing("alerts", b"", {"only": "this"})]


def test_more_messages_than_one_request_takes_are_all_published(world: BusWorld) -> None:
    ids = world.bus.publish([Outgoing("alerts", str(n).encode()) for n in range(1_500)])
    assert len(set(ids)) == 1_500
    assert {message.data for message in world.pull("alerts", 1_500)} == {
        str(n).encode() for n in range(1_500)
    }


def test_more_bytes_than_one_request_takes_are_all_published(world: BusWorld) -> None:
    world.bus.publish([Outgoing("alerts", bytes([n]) * 4_000_000) for n in range(4)])
    assert {message.data[:1] for message in world.pull("alerts", 4)} == {bytes([n]) for n in range(4)}


@pytest.mark.parametrize(
    "bad",
    [
        Outgoing("alerts", b""),
        Outgoing("alerts", b"x", key="k" * 1025),
        Outgoing("alerts", b"x", {f"a{n}": "" for n in range(101)}),
        Outgoing("alerts", b"x", {"": "empty name"}),
        Outgoing("alerts", b"x", {"n" * 257: ""}),
        Outgoing("alerts", b"x", {"n": "v" * 1025}),
        Outgoing("", b"x"),
        Outgoing("a/b", b"x"),
        Outgoing("googly", b"x"),
    ],
    ids=lambda message: f"{message.topic}-{len(message.attributes)}-{len(message.key)}",
)
def test_a_message_that_pubsub_refuses_is_refused_everywhere_and_takes_none_along(
    world: BusWorld, bad: Outgoing
) -> None:
    """The emulator would take most of these."""
    with pytest.raises(ValueError, match=r"\w"):
        world.bus.publish([Outgoing("alerts", b"good"), bad])
    world.bus.publish([Outgoing("alerts", b"next")])
    assert [message.data for message in world.pull("alerts", 1)] == [b"next"]


def test_a_message_above_9_megabytes_is_refused(world: BusWorld) -> None:
    with pytest.raises(Transient, match="above 9000000"):
        world.bus.publish([Outgoing("alerts", b"x" * 9_000_001)])


def test_a_topic_that_is_not_there_is_unavailable_and_blocks_no_other(world: BusWorld) -> None:
    """Nothing is lost: the effects stay in the outbox. R8.5"""
    messages = [Outgoing("missing", b"1"), Outgoing("alerts", b"2")]
    if differs("unknown topic", world.name):
        world.bus.publish(messages)
    else:
        with pytest.raises(Unavailable, match=r"1 of 2 .*missing"):
            world.bus.publish(messages)
    assert [message.data for message in world.pull("alerts", 1)] == [b"2"]


def test_a_failure_pauses_no_key(world: BusWorld) -> None:
    """F18: the batching client would refuse the key from now on."""
    if not differs("unknown topic", world.name):
        with pytest.raises(Unavailable):
            world.bus.publish([Outgoing("missing", b"1", key="demo")])
    world.bus.publish([Outgoing("orders", b"2", key="demo")])
    assert [message.data for message in world.pull("orders", 1)] == [b"2"]
