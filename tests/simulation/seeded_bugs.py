"""Bugs put into Stopline on purpose, to prove that the simulator would find them. Each is a patch, active in a `with`."""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Context, Decimal
from typing import Any
from unittest.mock import patch

from emulators.simulator import scenario as scenario_module
from emulators.simulator.broker import SimBroker
from emulators.simulator.ports import SimBus
from emulators.simulator.world import World
from stopline.adapters.dead_letters import DeadLetters
from stopline.ledger import amend as amend_module
from stopline.ledger import book as book_module
from stopline.ledger.position import Position
from stopline.model.control import ClosingStatus
from stopline.model.errors import Rejected, Transient
from stopline.model.fill import Fill
from stopline.model.messages import CommandAction, Effect
from stopline.ports import Put, Unavailable, Update
from stopline.rules.closing import commands as closing_module
from stopline.runtime import handlers
from stopline.service.alerting import dispatch_alert
from stopline.service.documents.aggregate import Aggregates, Change, Loaded
from stopline.service.documents.outbox import Relay, outbox_fields
from stopline.service.evaluation import evaluate
from stopline.service.fills import record_fill, redrive
from stopline.service.fills.books import fill_create
from stopline.service.fills.quarantine import Quarantine
from stopline.service.sweep.flush_outboxes import OutboxFlusher
from stopline.service.trading import controls as controls_module

BUGS: dict[str, Callable[[], Any]] = {}
FOCUS: dict[str, str] = {}  # of a bug that is looked for among the seeds of one focus


def bug(make: Callable[[], Iterator[None]], focus: str | None = None) -> Callable[[], Any]:
    """Register a bug under its function's name."""
    manager = contextmanager(make)
    BUGS[make.__name__] = manager
    if focus is not None:
        FOCUS[make.__name__] = focus
    return manager


@bug
def fills_are_not_created_once() -> Iterator[None]:
    """No inbox: a fill's document is overwritten, so a duplicate is booked again."""
    original = fill_create

    def put(fill: Fill, *more: Any) -> Any:
        create = original(fill, *more)
        return Put(create.path, create.data)

    with patch("stopline.service.fills.record_fill.fill_create", put):
        yield


@bug
def effects_are_published_before_the_commit() -> Iterator[None]:
    """What was announced may never have happened."""
    original = Aggregates._commit

    def early(self: Any, name: str, loaded: Any, change: Any) -> Any:
        self._relay.publish(change.effects)
        return original(self, name, loaded, change)

    with patch.object(Aggregates, "_commit", early):
        yield


@bug
def effects_are_not_in_the_commit() -> Iterator[None]:
    """Published after the commit only: a crash in between loses them."""
    original = Aggregates._commit

    def bare(self: Any, name: str, loaded: Any, change: Any) -> Any:
        fresh = original(self, name, loaded, Change(change.state, (), change.creates))
        self._relay.publish(change.effects)
        return fresh

    with patch.object(Aggregates, "_commit", bare):
        yield


@bug
def fills_and_book_in_two_commits() -> Iterator[None]:
    """A crash in between books a fill in the log that no position has."""
    original = Aggregates._commit

    def twice(self: Any, name: str, loaded: Any, change: Any) -> Any:
        if change.creates:
            self._store.commit(list(change.creates))
        return original(self, name, loaded, Change(change.state, change.effects))

    with patch.object(Aggregates, "_commit", twice):
        yield


@bug
def effect_ids_are_not_deterministic() -> Iterator[None]:
    """Every publish has an id of its own: consumers cannot act once."""
    serial = itertools.count()
    original = Relay.publish

    def renamed(self: Any, effects: Any) -> None:
        original(self, [replace(e, id=f"{e.id}{next(serial)}") for e in effects])

    with patch.object(Relay, "publish", renamed):
        yield


@bug
def errors_are_acknowledged() -> Iterator[None]:
    """An outage counts as handled: the message is gone."""
    original = scenario_module.receive

    def swallow(*delivered: Any) -> None:
        try:
            original(*delivered)
        except Transient:
            return

    with patch.object(scenario_module, "receive", swallow):
        yield


@bug
def an_outage_is_quarantined() -> Iterator[None]:
    """A failed read is taken for bad input."""
    original = record_fill.FillRecorder.record

    def wrong(self: Any, fills: Any, message_id: str) -> Any:
        try:
            return original(self, fills, message_id)
        except Transient as problem:
            raise Rejected("BAD_MESSAGE", str(problem)) from problem

    with patch.object(record_fill.FillRecorder, "record", wrong):
        yield


@bug
def a_late_fill_is_folded_where_it_arrives() -> Iterator[None]:
    """P&L by arrival, not by execution."""
    original = Position.apply

    def anywhere(self: Any, fill: Fill) -> Any:
        last, self.last = self.last, None
        booked = original(self, fill)
        self.last = max(last, self.last) if last else self.last
        return booked

    with patch.object(Position, "apply", anywhere), patch.object(book_module, "_is_late", lambda *_: False):
        yield


@bug
def money_is_rounded_to_cents() -> Iterator[None]:
    """Rounding in the middle, instead of at the edge."""
    original = Position.apply

    def rounded(self: Any, fill: Fill) -> Any:
        booked = original(self, fill)
        self.fees = self.fees.quantize(Decimal("0.1"), context=Context())
        return booked

    with patch.object(Position, "apply", rounded):
        yield


@bug
def published_is_remembered_before_the_result() -> Iterator[None]:
    """SENT before it was sent: a failed publish is never repeated."""
    original = Relay.publish

    def hasty(self: Any, effects: Any) -> None:
        messages = [e for e in self.unpublished(effects) if e.topic not in self._local]
        try:
            original(self, effects)
        finally:
            self._remember(messages)

    with patch.object(Relay, "publish", hasty):
        yield


@bug
def what_failed_beside_what_did_not_counts_as_out() -> Iterator[None]:
    """One topic takes nothing: what was for it is dropped by the next commit, as the others took theirs."""
    original = SimBus.publish

    def publish(self: Any, messages: Any) -> Any:
        try:
            return original(self, messages)
        except Unavailable as problem:
            raise Unavailable(
                *problem.args, published=range(len(messages) if problem.published else 0)
            ) from None

    with patch.object(SimBus, "publish", publish):
        yield


@bug
def the_outbox_is_dropped_by_the_next_commit() -> Iterator[None]:
    """Dropped without knowing that it was published."""
    original = Aggregates._commit

    def forgetful(self: Any, name: str, loaded: Any, change: Any) -> Any:
        return original(self, name, Loaded(loaded.state, (), None, loaded.version), change)

    with patch.object(Aggregates, "_commit", forgetful):
        yield


@bug
def the_sweep_empties_outboxes_unpublished() -> Iterator[None]:
    """The flush clears first."""

    def flush(self: Any, collection: str, now: Any) -> dict[str, str]:
        for document in self._store.query(collection):
            if document.data.get("outbox_at"):
                self._store.commit([Update(document.path, outbox_fields((), now), document.version)])
        return {}

    with patch.object(OutboxFlusher, "_flush", flush):
        yield


@bug
def close_commands_share_an_id() -> Iterator[None]:
    """A position that opens again under a halt gets the id of the command that closed it."""
    original = closing_module.digest

    def same(*parts: str) -> str:
        return original(*parts[:-1], "1") if parts[0] == "close_command" else original(*parts)

    with patch.object(closing_module, "digest", same):
        yield


@bug
def flat_is_said_when_commands_are_sent() -> Iterator[None]:
    """Told to close is not closed."""
    original = closing_module.advance

    def hopeful(*arguments: Any) -> closing_module.Step:
        step = original(*arguments)
        halt = step.state.halt
        if halt is None or not any(command.action is CommandAction.CLOSE for command in step.commands):
            return step
        told = halt.model_copy(update={"status": ClosingStatus.FLAT, "flat_at": halt.since})
        return replace(step, state=step.state.model_copy(update={"halt": told}))

    with patch("stopline.service.closing.close_book.advance", hopeful):
        yield


@bug
def the_epoch_does_not_grow() -> Iterator[None]:
    """A kill that leaves the epoch: late commands of before it pass the fence."""
    original = controls_module.TradingStates._change

    def same_epoch(self: Any, before: Any, *rest: Any) -> Any:
        change = original(self, before, *rest)
        epoch = max(0, before.epoch - 1)
        return Change(change.state.model_copy(update={"epoch": epoch}), change.effects, change.creates)

    with patch.object(controls_module.TradingStates, "_change", same_epoch):
        yield


@bug
def the_adapter_executes_a_command_each_time() -> Iterator[None]:
    """A broker adapter that does not know what it has done, nor where zero is."""
    original = SimBroker.handle

    def again(self: Any, instance: Any, delivery: Any) -> None:
        self.executed.clear()
        original(self, instance, delivery)

    with patch.object(SimBroker, "handle", again), patch.object(SimBroker, "trade", lambda *_: None):
        yield


@bug
def an_alert_is_recorded_after_all_its_messages() -> Iterator[None]:
    """A crash after the first message repeats it."""
    with patch.object(
        dispatch_alert.AlertDispatcher, "_save", _unsaved(dispatch_alert.AlertDispatcher._save)
    ):
        yield


def _unsaved(original: Any) -> Any:
    def save(self: Any, held: Any, record: Any, fields: Any, *, leased: bool = True) -> Any:
        if "settled_at" in fields or not leased:
            return original(self, held, record, fields, leased=leased)
        return replace(held, record=held.record)

    return save


FOCUS["an_alert_is_recorded_after_all_its_messages"] = "alerts"


@bug
def alert_ids_follow_from_the_cause_alone() -> Iterator[None]:
    """Two notices of one cause look like one: the second is taken for a duplicate."""
    original = evaluate._decide

    def by_cause(*arguments: Any) -> Any:
        change = original(*arguments)
        if change is None:
            return None
        effects = [replace(e, id="one-id") if e.topic == "alerts" else e for e in change.effects]
        return Change(change.state, effects)

    with patch.object(evaluate, "_decide", by_cause):
        yield


@bug
def a_bust_is_taken_for_nothing() -> Iterator[None]:
    """A busted trade stays in the position."""
    original = book_module.effective

    def deaf(events: Any) -> Any:
        return original([event for event in events if event.kind != "BUST"])

    with patch.object(book_module, "effective", deaf):
        yield


@bug
def a_bust_before_its_fill_is_forgotten() -> Iterator[None]:
    """Nobody remembers what waits for a fill that has not come."""
    original = book_module.by_position

    def forgetful(new: Any, held: Any, positions: Any, reader: Any) -> Any:
        held.clear()
        return original(new, held, positions, reader)

    with patch.object(book_module, "by_position", forgetful):
        yield


@bug
def a_correction_takes_a_place_of_its_own() -> Iterator[None]:
    """The corrected trade goes to the end of the queue."""
    original = amend_module._changed

    def moved(fill: Fill, update: Any) -> Fill:
        copy = original(fill, update)
        if "quantity" in update:
            later = {"executed_at": fill.executed_at.replace(year=fill.executed_at.year + 1)}
            copy = copy.model_copy(update=later)
            copy.__dict__.pop("order", None)
        return copy

    def sorted_again(events: Any) -> Any:
        return sorted(amend_module.effective(events), key=lambda step: step.fill.order)

    with patch.object(amend_module, "_changed", moved), patch.object(book_module, "effective", sorted_again):
        yield


@bug
def a_fee_that_was_there_before_its_fill_counts_twice() -> Iterator[None]:
    """Once out of the log, once as what waited for the fill."""
    original = book_module._known

    def twice(before: Any, events: Any, first: Any, log: Any) -> Any:
        return original(before, [event for event in events if event.kind != "FEE"], first, log)

    with patch.object(book_module, "_known", twice):
        yield


@bug
def the_newest_correction_is_whichever_came_last() -> Iterator[None]:
    """Corrections by arrival, not by their own order."""
    original = amend_module._amended

    def by_arrival(fill: Fill, amendments: Any, known: Any) -> Any:
        kept: list[Fill] = []
        for amendment in amendments:
            if amendment.kind == "CORRECT":
                kept = [k for k in kept if k.kind != "CORRECT"]
            kept.append(amendment)
        return original(fill, kept, known)

    with patch.object(amend_module, "_amended", by_arrival):
        yield


@bug
def one_alert_of_many_messages_tells_of_the_one_that_wrote_it() -> Iterator[None]:
    """Two bodies under one id."""
    original = Quarantine._alert

    def own(self: Quarantine, id_: str, *more: Any) -> Effect:
        effect = original(self, id_, *more)
        return replace(effect, body={**effect.body, "cause": id_})

    with patch.object(Quarantine, "_alert", own):
        yield


@bug
def money_crosses_the_border_as_a_float() -> Iterator[None]:
    """What is compared with a limit is the number that the machine holds, not the one that is meant."""

    def as_held(value: float, places: int = 12) -> Decimal | None:
        return Decimal(value) if math.isfinite(value) else None

    with patch.object(evaluate, "to_decimal", as_held):
        yield


@bug
def a_fill_is_known_by_its_message() -> Iterator[None]:
    """Idempotent by the id that Pub/Sub gave, which a broker that publishes again does not repeat."""
    original = fill_create

    def by_message(fill: Fill, message_id: str, *more: Any) -> Any:
        create = original(fill, message_id, *more)
        return replace(create, path=replace(create.path, id=f"{create.path.id}:{message_id}"))

    with patch.object(record_fill, "fill_create", by_message):
        yield


@bug
def what_is_redriven_has_no_attributes() -> Iterator[None]:
    """A message comes back without what it says beside its body."""
    original = redrive.Redriver.redrive

    def bare(self: Any, message: redrive.Returned, actor: str) -> None:
        original(self, replace(message, attributes={}), actor)

    with patch.object(redrive.Redriver, "redrive", bare):
        yield


@bug
def a_redrive_removes_before_it_publishes() -> Iterator[None]:
    """What was taken off the list is gone when the command dies in between."""
    original = DeadLetters.take

    def taken(self: Any, topic: str, limit: int = 100) -> Any:
        letters = original(self, topic, limit)
        self.remove(letters)
        return letters

    with patch.object(DeadLetters, "take", taken):
        yield


@bug
def a_message_is_acknowledged_when_it_comes() -> Iterator[None]:
    """Before its commit: what fails then does not come again."""
    with patch.object(World, "_again", lambda *_: None):
        yield


@bug
def nobody_is_told_of_dead_letters() -> Iterator[None]:
    """Given up, and kept where nobody looks."""
    with patch.object(handlers, "given_up", lambda *_: None):
        yield


FOCUS |= dict.fromkeys(
    (
        "what_is_redriven_has_no_attributes",
        "a_redrive_removes_before_it_publishes",
        "nobody_is_told_of_dead_letters",
    ),
    "letters",
)
FOCUS["money_crosses_the_border_as_a_float"] = "risk"


@bug
def who_was_told_is_known_for_an_hour() -> Iterator[None]:
    """A time to live as logic: what Firestore deletes was never sent, for who looks no further."""
    with patch.object(dispatch_alert, "KEEP", timedelta(hours=1)):
        yield


FOCUS["who_was_told_is_known_for_an_hour"] = "alerts"
