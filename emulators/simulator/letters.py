"""What Pub/Sub gives up: the dead topics with their two subscriptions, and the person who brings messages back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from emulators.simulator.world import Delivery, Instance, World, topology
from stopline.adapters.dead_letters import DeadLetters
from stopline.ports import Outgoing
from stopline.rules.watching.deliveries import GIVEN_UP
from stopline.runtime.app import App
from stopline.service.fills.redrive import Redriver, Returned

COUNT = "CloudPubSubDeadLetterSourceDeliveryCount"
PERSON = "people"  # the subscription of what a person is asked to do


@dataclass(slots=True, eq=False)
class Letter:
    """A message as the pull subscription of a dead topic keeps it; `of`: the id that it had on its own topic."""

    id: str
    of: str
    topic: str
    data: bytes
    attributes: Mapping[str, str]
    published_at: datetime
    held_until: datetime


class SimLetters:
    """The dead topics of a world. `given_up` are the subscriptions that gave messages up."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.kept: list[Letter] = []
        self.ids: set[str] = set()  # of the messages that were given up
        self.redriven = 0
        self.given_up: dict[str, str] = {}  # subscription -> topic
        entries = topology().subscriptions
        self._names = {entry.topic: name for name, entry in entries.items() if entry.topic in world.handlers}
        world.attempts = {entry.topic: entry.attempts for entry in entries.values()}
        world.give_up = self.give_up

    def give_up(self, delivery: Delivery) -> None:
        """Move a message to its dead topic: kept for people, who are told."""
        world, topic = self._world, delivery.message.topic
        policy, name = topology().dead_letters, self._names[topic]
        marks = {GIVEN_UP: name, COUNT: str(delivery.attempts)}
        dead = Outgoing(policy.topic(topic), delivery.message.data, {**delivery.message.attributes, **marks})
        id_ = world.accept(dead)
        world.trace.append(("- gave up", topic, delivery.id))
        self.ids.add(delivery.id)
        self.given_up[name] = topic
        self.kept.append(Letter(id_, delivery.id, topic, dead.data, dead.attributes, world.now, world.now))
        if policy.told_by in world.handlers:
            world.pending.append(Delivery(policy.told_by, dead, id_, world.now))

    def redrive(self, instance: Instance, _: Delivery) -> None:
        """Do what `stopline dead-letters redrive TOPIC --all` does, for each topic."""
        app: App = instance.app
        client: Any = Subscriber(self._world, instance, self.kept)
        box = DeadLetters("simulated", client=lambda: client)
        redriver = Redriver(app.store, app.ports.bus, app.relay, app.clock)
        for topic in sorted({letter.topic for letter in self.kept}):
            for letter in box.take(topic, 1000):
                redriver.redrive(Returned(topic, letter.id, letter.data, letter.attributes), "ann")
                box.remove([letter])

    def ask(self) -> None:
        """Let a person redrive everything, a while later: what another command holds is free by then."""
        self._world.now += timedelta(seconds=61)
        self._world.accept(Outgoing(PERSON, b"{}"))


class Subscriber:
    """Pub/Sub's client as `DeadLetters` uses it: it may fail, and so may whoever calls it."""

    def __init__(self, world: World, instance: Instance, kept: list[Letter]) -> None:
        self._world = world
        self._instance = instance
        self._kept = kept

    def pull(self, request: dict[str, Any], timeout: float) -> Any:
        def pull() -> list[Letter]:
            now = self._world.now
            found = [one for one in self._of(request) if one.held_until <= now][: request["max_messages"]]
            for one in found:
                one.held_until = now + timedelta(seconds=10)
            return found

        found = self._world.effect(self._instance, "letters.pull", pull)
        return SimpleNamespace(received_messages=[_received(one) for one in found])

    def modify_ack_deadline(self, request: dict[str, Any], timeout: float) -> None:
        until = self._world.now + timedelta(seconds=request["ack_deadline_seconds"])

        def hold() -> None:
            for one in self._named(request["ack_ids"]):
                one.held_until = until

        self._world.effect(self._instance, "letters.hold", hold)

    def acknowledge(self, request: dict[str, Any], timeout: float) -> None:
        def remove() -> None:
            for one in self._named(request["ack_ids"]):
                self._kept.remove(one)

        self._world.effect(self._instance, "letters.remove", remove)

    def _of(self, request: dict[str, Any]) -> list[Letter]:
        policy, name = topology().dead_letters, request["subscription"].rpartition("/")[2]
        return [one for one in self._kept if policy.subscription(one.topic) == name]

    def _named(self, ids: Sequence[str]) -> list[Letter]:
        return [one for one in self._kept if one.id in ids]


def _received(letter: Letter) -> Any:
    message = SimpleNamespace(
        message_id=letter.id,
        data=letter.data,
        attributes=letter.attributes,
        publish_time=letter.published_at,
    )
    return SimpleNamespace(ack_id=letter.id, message=message)
