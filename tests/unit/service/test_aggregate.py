"""The commit protocol: compare and set, bounded tries, and never a guess about an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from stopline.model.errors import Contended, Rejected, Unreadable
from stopline.model.messages import Effect
from stopline.ports import AlreadyExists, Conflict, Create, Data, Path, Unavailable
from stopline.service.documents.aggregate import CARRIED, TRIES, WRITER, Aggregates, Change
from stopline.service.documents.outbox import Relay, Unpublished, decode_outbox

from .world import FaultyStore, World


@dataclass(frozen=True)
class Counter:
    value: int


class Codec:
    collection = "counters"

    def encode(self, state: Counter) -> Data:
        return {"value": state.value}

    def decode(self, data: Data) -> Counter:
        return Counter(data["value"])


class Writer:
    """One instance that counts up."""

    def __init__(self, world: World) -> None:
        self.store = FaultyStore(world.shared)
        self.relay = Relay(world.bus)
        self.all = Aggregates(self.store, self.relay, world.clock, Codec())
        self.decisions: list[tuple[int | None, int]] = []

    def count(
        self, name: str = "c", effects: Sequence[Effect] = (), creates: Sequence[Create] = ()
    ) -> Counter | None:
        def decide(state: Counter | None, attempt: int) -> Change[Counter]:
            self.decisions.append((state.value if state else None, attempt))
            return Change(Counter((state.value if state else 0) + 1), effects, creates)

        return self.all.change(name, decide)


def effect(id_: str) -> Effect:
    return Effect(id_, "alerts", "demo", {"type": "x", "n": id_})


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_change_creates_the_document(world: World) -> None:
    assert Writer(world).count() == Counter(1)
    assert world.document("counters", "c") is not None


def test_a_conflict_is_decided_again_on_what_stands(world: World) -> None:
    """F14: the other instance's write is never overwritten."""
    one, other = Writer(world), Writer(world)
    one.count()
    other.count()
    assert one.count() == Counter(3)
    assert one.decisions == [(None, 0), (1, 0), (2, 1)]


def test_two_instances_that_create_at_once_both_count(world: World) -> None:
    one, other = Writer(world), Writer(world)
    one.all.read("c")
    other.count()
    assert one.count() == Counter(2)


def test_tries_are_bounded_and_then_it_is_contended(world: World) -> None:
    """F14."""
    writer = Writer(world)
    writer.store.faults = [writer.store.raises(Conflict("busy"))] * (TRIES + 5)
    with pytest.raises(Contended):
        writer.count()
    assert writer.store.commits == TRIES
    assert [attempt for _, attempt in writer.decisions] == list(range(TRIES))
    assert world.document("counters", "c") is None


@pytest.mark.parametrize("applied", [False, True])
def test_an_unknown_outcome_is_not_tried_again_and_the_cache_is_dropped(world: World, applied: bool) -> None:
    """F11, F12: the next one reads what stands."""
    writer = Writer(world)
    writer.count()
    writer.store.faults = [writer.store.applied_but_lost if applied else writer.store.lost]
    with pytest.raises(Unavailable):
        writer.count()
    assert writer.store.commits == 2
    assert writer.count() == Counter(3 if applied else 2)


def test_any_other_error_drops_the_cache_too(world: World) -> None:
    writer = Writer(world)
    writer.count()
    writer.store.faults = [writer.store.raises(RuntimeError("a bug in the client"))]
    with pytest.raises(RuntimeError):
        writer.count()
    writer.store.reads = 0
    writer.count()
    assert writer.store.reads == 1


def test_a_create_that_exists_makes_it_decide_again(world: World) -> None:
    """I2: the idempotency record is in the same batch."""
    writer = Writer(world)
    taken = Create(Path("records", "r"), {"a": 1})
    writer.count(creates=[taken])
    with pytest.raises(Contended):
        writer.count(creates=[taken])
    assert writer.all.read("c") == Counter(1)


def test_a_refusal_of_the_decision_passes_through_and_writes_nothing(world: World) -> None:
    writer = Writer(world)

    def refuse(state: Counter | None, attempt: int) -> Change[Counter]:
        raise Rejected("NO", "no")

    with pytest.raises(Rejected):
        writer.all.change("c", refuse)
    assert writer.store.commits == 0


def test_nothing_to_do_is_believed_only_of_what_stands(world: World) -> None:
    """A decision for nothing, made on a cached copy, is made again on a fresh one."""
    one, other = Writer(world), Writer(world)
    one.count()
    other.count()
    seen = []

    def look(state: Counter | None, attempt: int) -> None:
        seen.append((state, attempt))

    assert one.all.change("c", look) == Counter(2)
    assert seen == [(Counter(1), 0), (Counter(2), 1)]


def test_nothing_to_do_by_what_still_stands_is_not_decided_again(world: World) -> None:
    """A no-op costs one decision and one read, also where there is no document yet."""
    writer = Writer(world)
    writer.all.read("none")
    writer.count()
    seen = []

    def look(state: Counter | None, attempt: int) -> None:
        seen.append((state, attempt))

    before = writer.store.reads
    assert writer.all.change("c", look) == Counter(1)
    assert writer.all.change("none", look) is None
    assert seen == [(Counter(1), 0), (None, 0)]
    assert writer.store.reads - before == 2


def test_a_version_that_is_known_is_not_decoded_again(world: World) -> None:
    """One decode for each version: of the own write none, of another's write one."""
    one, other = Writer(world), Writer(world)
    one.count()
    assert one.all.read("c") is one.all.read("c") is one.all.peek("c")
    other.count()
    assert one.all.read("c") == Counter(2)


def test_several_states_are_read_at_once(world: World) -> None:
    """One request, in the order of the names; what is not there is None."""
    writer = Writer(world)
    writer.count()
    before = writer.store.reads
    assert writer.all.read_all("none", "c") == [None, Counter(1)]
    assert writer.store.reads - before == 1
    assert writer.all.peek("c") == Counter(1)


# --- the outbox ---


def ids(world: World) -> list[str]:
    return [e.id for e in world.outbox("counters", "c")]


def test_effects_are_part_of_the_commit_and_published_after_it(world: World) -> None:
    """I4."""
    writer = Writer(world)
    writer.count(effects=[effect("a"), effect("b")])
    assert ids(world) == ["a", "b"]
    assert world.bus.ids() == ["a", "b"]


def test_the_next_commit_drops_what_is_known_to_be_published_and_only_that(world: World) -> None:
    """I4: the toy model lost effects in half its schedules when the next commit dropped the outbox unseen."""
    one, other = Writer(world), Writer(world)
    one.count(effects=[effect("a")])
    other.count(effects=[effect("b")])  # does not know that "a" was published
    assert ids(world) == ["a", "b"]
    other.count(effects=[effect("c")])  # published both itself by now
    assert ids(world) == ["c"]
    other.count()
    assert ids(world) == []
    data = world.document("counters", "c")
    assert data is not None
    assert data["outbox_at"] is None


def test_unpublished_effects_keep_the_time_of_the_oldest(world: World) -> None:
    """F09: the sweep finds them by their age."""
    writer = Writer(world)
    world.bus.down = True
    begun = world.clock.now()
    for number in range(3):
        with pytest.raises(Unpublished):
            writer.count(effects=[effect(f"e{number}")])
        world.wait(20)
    data = world.document("counters", "c")
    assert data is not None
    assert data["outbox_at"] == begun
    world.bus.down = False
    later = world.clock.now()
    writer.count(effects=[effect("last")])
    writer.count(effects=[effect("fresh")])
    data = world.document("counters", "c")
    assert data is not None
    assert (data["outbox_at"], [e.id for e in decode_outbox(data)]) == (later, ["fresh"])


def test_a_change_with_nothing_to_do_still_publishes_what_is_due(world: World) -> None:
    """F08: the redelivery of a message whose effects were not published."""
    one = Writer(world)
    world.bus.down = True
    with pytest.raises(Unpublished):
        one.count(effects=[effect("a")])
    world.bus.down = False
    Writer(world).all.change("c", lambda state, attempt: None)
    assert world.bus.ids() == ["a"]


def test_a_failed_publish_leaves_the_state_committed(world: World) -> None:
    """F17: the caller knows that the state stands."""
    writer = Writer(world)
    world.bus.down = True
    with pytest.raises(Unpublished):
        writer.count(effects=[effect("a")])
    assert writer.all.read("c") == Counter(1)


@pytest.mark.parametrize(("deaf", "is_out"), [("alerts", True), ("orders", False)])
def test_orders_are_out_where_all_else_is_due_and_not_where_nobody_has_read_it(
    world: World, deaf: str, is_out: bool
) -> None:
    """R5.1, F17: a cancel waits for no alert, and a close for each cancel."""
    writer = Writer(world)
    world.bus.deaf = {deaf}
    with pytest.raises(Unpublished):
        writer.count(effects=[effect("a"), Effect("o", "orders", "demo", {"type": "x"})])
    assert writer.all.orders_are_out("c") is is_out
    assert not Writer(world).all.orders_are_out("c")


def test_an_already_existing_head_is_a_lost_race(world: World) -> None:
    writer = Writer(world)
    writer.store.faults = [writer.store.raises(AlreadyExists("counters/c"))]
    assert writer.count() == Counter(1)


def test_a_decision_that_fails_by_a_cached_copy_is_made_again_by_what_stands(world: World) -> None:
    """F54: the database was restored under a running instance; its copy must not refuse for ever."""
    writer = Writer(world)
    writer.count()
    other = Writer(world)
    other.count()  # the first one's copy says 1, what stands is 2
    seen: list[int] = []

    def decide(state: Counter | None, attempt: int) -> Change[Counter]:
        assert state is not None
        seen.append(state.value)
        if state.value == 1:
            raise Rejected("BEHIND", "by a copy that is behind")
        return Change(Counter(10))

    assert writer.all.change("c", decide) == Counter(10)
    assert seen == [1, 2]


def test_a_decision_that_fails_by_what_stands_is_not_repeated(world: World) -> None:
    writer = Writer(world)
    calls: list[int] = []

    def decide(state: Counter | None, attempt: int) -> Change[Counter]:
        calls.append(attempt)
        raise Rejected("NEVER", "whatever stands")

    with pytest.raises(Rejected):
        writer.all.change("c", decide)
    assert calls == [0]


# --- two versions of the code ---


class Tomorrow(Codec):
    """What a later version keeps: one thing more."""

    def encode(self, state: Counter) -> Data:
        return {**super().encode(state), "more": "kept"}


def test_an_older_version_leaves_alone_what_a_newer_one_has_written(world: World) -> None:
    """F46: neither by its cached copy nor by what it reads, and the message waits for the newer one."""
    old, new = Writer(world), Writer(world)
    old.count()
    new.all = Aggregates(new.store, new.relay, world.clock, Tomorrow(), writer=WRITER + 1)
    new.count()
    for attempt in (old.count, lambda: old.all.read("c"), lambda: old.all.read_all("c")):
        with pytest.raises(Unreadable, match="deploy it"):
            attempt()
    assert new.count() == Counter(3)
    document = world.document("counters", "c")
    assert document is not None
    assert (document["more"], document["writer"]) == ("kept", WRITER + 1)


def test_a_document_of_before_writers_were_noted_is_read_and_written(world: World) -> None:
    world.shared.commit([Create(Path("counters", "c"), {"value": 4, "outbox": "[]", "outbox_at": None})])
    assert Writer(world).count() == Counter(5)
    assert (world.document("counters", "c") or {})["writer"] == WRITER


def test_a_state_that_cannot_be_decoded_is_no_messages_fault(world: World) -> None:
    """F13, F46: quarantine would lose the message for good."""

    class Strict(Codec):
        def decode(self, data: Data) -> Counter:
            raise Rejected("BAD_MESSAGE", "more: extra inputs are not permitted")

    Writer(world).count()
    fresh = Writer(world)
    fresh.all = Aggregates(fresh.store, fresh.relay, world.clock, Strict())
    with pytest.raises(Unreadable, match="counters/c cannot be read"):
        fresh.count()


@pytest.mark.parametrize("damage", [{"value": "x", "outbox": "["}, {"outbox": "[[1]]"}, {"value": None}, {}])
def test_a_document_that_no_version_has_written_is_one_that_cannot_be_read(
    world: World, damage: dict[str, object]
) -> None:
    """F46: its message waits, and a kill takes its second path; it is no fault of the message."""

    class Careful(Codec):
        def decode(self, data: Data) -> Counter:
            return Counter(int(data["value"]))

    world.shared.commit([Create(Path("counters", "c"), damage)])
    fresh = Writer(world)
    fresh.all = Aggregates(fresh.store, fresh.relay, world.clock, Careful())
    with pytest.raises(Unreadable, match="counters/c cannot be read"):
        fresh.all.read("c")


def large(id_: str) -> Effect:
    return Effect(id_, "history", "demo", {"rows": "x" * (CARRIED // 3)})


def test_the_outbox_stays_bounded_where_each_commit_is_of_an_instance_that_knows_of_nothing(
    world: World,
) -> None:
    """I4: what the others have published, but an instance does not know of, it publishes again before it would carry too
    much of it along; the document must fit into the store.
    """
    sizes = []
    for n in range(12):
        assert Writer(world).count(effects=[large(f"e{n}")]) == Counter(n + 1)
        sizes.append(len((world.document("counters", "c") or {})["outbox"]))
    assert max(sizes) < CARRIED + CARRIED // 2
    assert set(world.bus.ids()) == {f"e{n}" for n in range(12)}


def test_a_commit_waits_for_no_bus_where_much_is_carried_along(world: World) -> None:
    """F10, F17: nothing that is due is dropped, and the change stands."""
    for n in range(5):
        Writer(world).count(effects=[large(f"e{n}")])
    held = [e.id for e in world.outbox("counters", "c")]
    world.bus.down = True
    for n in range(5, 8):
        with pytest.raises(Unpublished):
            Writer(world).count(effects=[large(f"e{n}")])
    assert [e.id for e in world.outbox("counters", "c")] == [*held, "e5", "e6", "e7"]
    world.bus.down = False
    assert Writer(world).count() == Counter(9)
    assert world.outbox("counters", "c") == ()
    assert set(world.bus.ids()) == {f"e{n}" for n in range(8)}


def test_what_is_carried_too_much_of_is_published_outside_the_lock_of_its_document(world: World) -> None:
    """What is carried out here may change other documents, and these the first one: neither waits for the other."""
    Writer(world).count(effects=[large(f"e{n}") for n in range(4)])
    cold, seen = Writer(world), list[bool]()
    cold.relay.carry_out("history", lambda _: seen.append(cold.all._lock("c").locked()))
    cold.count()
    assert seen == [False] * 4


def test_another_writer_between_the_publishing_and_the_commit_is_no_way_round_the_bound(world: World) -> None:
    writers = [Writer(world) for _ in range(6)]
    for n, writer in enumerate(writers):
        writer.all.read("c")
        Writer(world).count(effects=[large(f"o{n}"), large(f"p{n}")])
        writer.count(effects=[large(f"e{n}")])
        assert len((world.document("counters", "c") or {})["outbox"]) < 2 * CARRIED
