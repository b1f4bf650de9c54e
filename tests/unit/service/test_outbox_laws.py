"""The outbox on any path: writers that take turns, calls that fail before and after their effect, instances that die."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stopline.model.errors import StoplineError
from stopline.model.messages import Effect
from stopline.ports import Conflict, Data
from stopline.service.documents.aggregate import TRIES, Aggregates, Change
from stopline.service.documents.outbox import Relay
from stopline.service.sweep.flush_outboxes import OUTBOX_AGE, OutboxFlusher

from .world import FaultyStore, World

WRITERS = st.integers(0, 1)
STORE = st.sampled_from(["works", "works", "lost", "applied", "conflict", "contended"])
BUS = st.sampled_from(["works", "works", "down", "ambiguous"])


class Codec:
    """The numbers of the changes that a document took, in a collection that the sweep looks after."""

    collection = "activity"

    def encode(self, state: tuple[int, ...]) -> Data:
        return {"account": "demo", "state": ",".join(map(str, state))}

    def decode(self, data: Data) -> tuple[int, ...]:
        return tuple(map(int, data["state"].split(",")))


class Outbox(RuleBasedStateMachine):
    """One document, two writers, and the sweep that goes behind them."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.asked = 0
        self.taken: set[int] = set()  # changes that were answered, or whose message is due: they stand
        self.writers = [self.started(), self.started()]

    def started(self) -> tuple[FaultyStore, Aggregates[tuple[int, ...]]]:
        store = FaultyStore(self.world.shared)
        return store, Aggregates(store, Relay(self.world.bus), self.world.clock, Codec())

    @rule(who=WRITERS, store=STORE, bus=BUS)
    def change(self, who: int, store: str, bus: str) -> None:
        """Take one change in; what fails may have happened or not."""
        way, documents = self.writers[who]
        number = self.asked = self.asked + 1
        faults: dict[str, Any] = {
            "lost": [way.lost],
            "applied": [way.applied_but_lost],
            "conflict": [way.raises(Conflict("busy"))] * 2,
            "contended": [way.raises(Conflict("busy"))] * TRIES,
        }
        way.faults = list(faults.get(store, []))
        self.set_bus(bus)

        def decide(state: tuple[int, ...] | None, _: int) -> Change[tuple[int, ...]]:
            return Change((*(state or ()), number), [effect(number)])

        try:
            documents.change("demo", decide)
            self.taken.add(number)
        except StoplineError:
            pass
        way.faults = []

    @rule(who=WRITERS)
    def die(self, who: int) -> None:
        """Start an instance anew: it knows nothing of what was published."""
        self.writers[who] = self.started()

    @rule(store=st.sampled_from(["works", "lost", "applied", "conflict"]), bus=BUS)
    def sweep(self, store: str, bus: str) -> None:
        """Let the sweep empty what is older than it may be."""
        way = FaultyStore(self.world.shared)
        faults: dict[str, Any] = {
            "lost": [way.lost],
            "applied": [way.applied_but_lost],
            "conflict": [way.raises(Conflict("busy"))],
        }
        way.faults = list(faults.get(store, []))
        self.set_bus(bus)
        self.world.clock.set(self.world.clock.now() + 2 * OUTBOX_AGE)
        OutboxFlusher(way, Relay(self.world.bus)).flush(self.world.clock.now())

    def set_bus(self, state: str) -> None:
        self.world.bus.down, self.world.bus.ambiguous = state == "down", state == "ambiguous"

    def stored(self) -> list[int]:
        return list(self.started()[1].read("demo") or ())

    @invariant()
    def nothing_is_lost_and_nothing_twice(self) -> None:
        """I1, I2: what was answered stands, and each change once."""
        stored = self.stored()
        assert len(stored) == len(set(stored))
        assert self.taken <= set(stored)

    @invariant()
    def nothing_goes_out_that_is_not_committed(self) -> None:
        """I4: no effect without its commit."""
        assert set(self.world.bus.ids()) <= {effect(number).id for number in self.stored()}

    def teardown(self) -> None:
        """I4: after the faults one round of the sweep tells all that is left, and leaves nothing behind."""
        if not hasattr(self, "world"):
            return
        self.sweep("works", "works")
        assert set(self.world.bus.ids()) == {effect(number).id for number in self.stored()}
        assert all(d.data["outbox_at"] is None for d in self.world.shared.query("activity"))


def effect(number: int) -> Effect:
    return Effect(f"e-{number}", "alerts", "demo", {"type": "x", "n": number})


TestOutbox = Outbox.TestCase
TestOutbox.settings = settings(max_examples=settings().max_examples // 5, stateful_step_count=12)
