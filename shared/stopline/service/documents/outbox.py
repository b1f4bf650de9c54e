"""The outbox: effects ride in the committed document and are published after the commit.

A document with an outbox has two fields for it: `outbox` (JSON text, a list of effects) and `outbox_at` (when
the oldest was committed; None when the list is empty). The next commit by a writer that knows an effect to be
published drops it; the sweep flushes what is older than 30 s (`flush_outboxes`).
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

import orjson

from stopline.model.errors import Rejected, Transient
from stopline.model.messages import Effect
from stopline.model.wire import Message, canonical
from stopline.ports import Bus, Data, Outgoing, Unavailable

log = logging.getLogger("stopline")
_REMEMBERED = 50_000
CONTROLS_TOPIC = "controls"  # carried out here, not published: see Relay
JOURNAL_TOPIC = "journal"  # the same: an audit row that gets its place in a chain
ORDERED = frozenset({"orders"})  # topics whose subscribers get one account's messages in their order


class Unpublished(Transient):
    """The commit stands, an effect of it is not proven to be published: it stays due in the outbox."""


def outbox_fields(effects: Sequence[Effect], at: datetime) -> Data:
    """Return the two outbox fields of a document."""
    return {"outbox": encode_outbox(effects), "outbox_at": at if effects else None}


def encode_outbox(effects: Sequence[Effect]) -> str:
    """Write effects as JSON text."""
    return orjson.dumps([[e.id, e.topic, e.account, e.body] for e in effects]).decode()


def decode_outbox(data: Data) -> tuple[Effect, ...]:
    """Read the effects of a document's fields; a document without an outbox has none."""
    text = data.get("outbox")
    return tuple(Effect(*item) for item in orjson.loads(text)) if text else ()


class Relay:
    """Publishes effects and remembers which ones it knows to be published.

    A topic in `local` is not a Pub/Sub topic: its effects are carried out here, by a use case that is
    idempotent by the effect's id. What it refuses can never succeed: `refused` keeps it and tells people, and it is done
    with, so that it holds up nothing else. `stands` is told of a change of the trading state that stands while a message of
    it is due, and begins what follows from it.
    """

    def __init__(self, bus: Bus, local: Mapping[str, Callable[[Effect], None]] | None = None) -> None:
        self._bus = bus
        self._local = dict(local or {})
        self.refused: Callable[[Effect, Rejected], None] | None = None
        self.stands: Callable[[Effect], None] | None = None
        self._published: OrderedDict[str, None] = OrderedDict()
        self._stand: OrderedDict[str, None] = OrderedDict()  # changes of state whose messages are due
        self._lock = threading.Lock()

    def carry_out(self, topic: str, use_case: Callable[[Effect], None]) -> None:
        """Carry out effects of `topic` by calling `use_case` instead of publishing them."""
        self._local[topic] = use_case

    def runs(self, topic: str) -> bool:
        """Tell whether effects of a topic are carried out here."""
        return topic in self._local

    def run(self, effect: Effect) -> None:
        """Carry out an effect of a local topic now, whatever is known of it. Raises what its use case raises."""
        self._local[effect.topic](effect)
        self._remember([effect])

    def unpublished(self, effects: Sequence[Effect]) -> tuple[Effect, ...]:
        """Return those effects that are not known to be published."""
        return tuple(e for e in effects if e.id not in self._published)

    def publish(self, effects: Sequence[Effect]) -> None:
        """Publish effects that are not known to be, and wait for the result. Raises Unpublished; what was not
        proven stays due.
        """
        due = self.unpublished(effects)
        if not due:
            return
        trouble = self._carry_out_local([e for e in due if e.topic in self._local])
        sent = [e for e in due if e.topic not in self._local]
        sent.sort(key=lambda effect: effect.topic not in ORDERED)  # no order waits for an alert that hangs
        if sent:
            if _is_silent.get():
                raise Unpublished(f"{len(sent)} effects are due, as is what was before them")
            try:
                self._bus.publish([outgoing(e) for e in sent])
            except Transient as problem:
                out = problem.published if isinstance(problem, Unavailable) else frozenset[int]()
                self._remember([e for index, e in enumerate(sent) if index in out])
                raise Unpublished(f"{len(sent) - len(out)} effects are due: {problem}") from problem
            self._remember(sent)
        if trouble is not None:
            raise trouble

    def take_over(self, effects: Sequence[Effect]) -> None:
        """Carry out the changes of the trading state among effects that an instance may have left behind, but for those that
        are known to stand. What fails in any way is logged, and left to the next look, or the sweep.
        """
        due = [e for e in self.unpublished(effects) if e.topic == CONTROLS_TOPIC and e.id not in self._stand]
        if not due or CONTROLS_TOPIC not in self._local:
            return
        try:
            if trouble := self._carry_out_local(due):
                raise trouble
        except Exception:
            log.exception("a stop that was left behind cannot be carried out")

    def _carry_out_local(self, due: Sequence[Effect]) -> Transient | None:
        """Carry out what needs no bus, first: a limit must stop trading while Pub/Sub is down. Return what failed. Where a
        pause may not stand, what its actor wants of the same scope after it waits, as a pause that comes after its own
        release stays. A kill never does, and with what follows from it is before all else: each of these may wait for the
        bus once it stands. So all others stand before anything follows from one of them, and the messages of one account,
        which are in one outbox, are waited for once: what stands already is not carried out again, and what does not yet is
        committed only.
        """
        trouble: Transient | None = None
        held_up = set[tuple[object, object]]()
        silent = set[str]()
        kills = [effect for effect in due if action_of(effect) == "kill"]
        for part in (kills, [effect for effect in due if action_of(effect) != "kill"]):
            stand: list[Effect] = []
            try:
                for effect in part:
                    action, whose = action_of(effect), (effect.body.get("scope"), effect.body.get("actor"))
                    if action in ("pause", "release") and whose in held_up:
                        continue
                    is_change, is_silent = effect.topic == CONTROLS_TOPIC, effect.account in silent
                    if is_change and is_silent and effect.id in self._stand:
                        continue
                    try:
                        with _silence(is_change and is_silent):
                            self._run_or_keep(effect)
                        self._remember([effect])
                    except Transient as problem:
                        trouble = problem
                        if isinstance(problem, Unpublished) and is_change:
                            stand.append(effect)
                            silent.add(effect.account)
                            self._note(self._stand, [effect])
                        elif action == "pause":
                            held_up.add(whose)
            finally:  # whatever another one broke down with
                self._follow(stand)
        return trouble

    def _follow(self, stand: Sequence[Effect]) -> None:
        """Begin what follows from changes of the trading state that stand; what fails the next look or the sweep begins."""
        for effect in stand:
            try:
                if self.stands is not None:
                    self.stands(effect)
            except Transient:
                log.exception("what follows from a change of the trading state is not begun")

    def _run_or_keep(self, effect: Effect) -> None:
        try:
            self._local[effect.topic](effect)
        except Rejected as problem:
            if self.refused is None:
                raise
            self.refused(effect, problem)

    def _remember(self, effects: Sequence[Effect]) -> None:
        self._note(self._published, effects)

    def _note(self, known: OrderedDict[str, None], effects: Sequence[Effect]) -> None:
        with self._lock:
            for effect in effects:
                known[effect.id] = None
            while len(known) > _REMEMBERED:
                known.popitem(last=False)


_is_silent = ContextVar("_is_silent", default=False)


@contextmanager
def _silence(on: bool) -> Iterator[None]:
    """Let whoever publishes in here know at once that it does not go out; what is committed stands."""
    before = _is_silent.set(on)
    try:
        yield
    finally:
        _is_silent.reset(before)


def action_of(effect: Effect) -> str:
    """Return what an effect wants of the trading state, empty where it is of something else."""
    return str(effect.body.get("action", "")) if effect.topic == CONTROLS_TOPIC else ""


def typed(topic: str, message: Message) -> Outgoing:
    """Return a message that rides in no outbox: whoever sends it does so again, until it is done."""
    body = message.model_dump(mode="json")
    return Outgoing(topic, canonical(body), {"type": body["type"]})


def outgoing(effect: Effect) -> Outgoing:
    """Return the message of an effect."""
    attributes = {"effect_id": effect.id, "type": str(effect.body.get("type", ""))}
    if effect.account:
        attributes["account"] = effect.account
    key = effect.account if effect.topic in ORDERED else ""
    return Outgoing(effect.topic, canonical(effect.body), attributes, key)
