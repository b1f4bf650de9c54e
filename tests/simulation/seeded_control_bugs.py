"""Bugs of the kill switch, of leases and of adapters, put in on purpose: looked for among seeds of the focus `control`."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import orjson
from simulation.seeded_bugs import bug

from stopline.adapters.term import Term
from stopline.client import Client
from stopline.model.control import GLOBAL, Control, account_scope
from stopline.model.messages import CommandAction
from stopline.rules.trading import breakers, cancel_commands, stops
from stopline.rules.trading import state as trading_state
from stopline.rules.trading.second_reading import PriceTimes
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.trading import controls, emergency_halt, leases
from stopline.service.trading.control_documents import ControlCodec
from stopline.service.trading.controls import TradingStates


def control_bug(make: Any) -> Any:
    """Register a bug that the focus `control` must find."""
    return bug(make, focus="control")


@control_bug
def a_lease_reads_one_control_after_the_other() -> Iterator[None]:
    """The whole before a kill and the account after it: a state that never was, under the epoch of the kill."""

    def one_by_one(documents: Any, account: str) -> Any:
        everywhere = documents.read(GLOBAL) or Control(scope=GLOBAL)
        return everywhere, documents.read(account_scope(account)) or Control(scope=account_scope(account))

    with patch.object(leases, "both", one_by_one):
        yield


@control_bug
def an_adapter_takes_commands_of_any_epoch() -> Iterator[None]:
    """No fence: what was sent before the kill is carried out after it."""
    original = Client.take

    def open_gate(self: Any, data: bytes) -> Any:
        self.epoch = 0
        return original(self, data)

    with patch.object(Client, "take", open_gate):
        yield


def _term(clock: Any, seconds: int) -> Term:
    return Term(clock.now(), clock.ticks(), timedelta(seconds=seconds), timedelta(0))


@control_bug
def an_adapter_believes_an_older_lease() -> Iterator[None]:
    """An answer that was overtaken by the kill."""
    original = Client.renew

    def trusting(self: Any, **more: Any) -> bool:
        answer = original(self, **more)
        if not answer and "is of epoch" in self.fault:
            self.epoch, self._term = self.lease.epoch, _term(self.clock, 60)
        return answer

    with patch.object(Client, "renew", trusting):
        yield


@control_bug
def a_lease_is_good_for_ten_minutes() -> Iterator[None]:
    """As long as nobody says otherwise."""
    original = Client.renew

    def long(self: Any, **more: Any) -> bool:
        term = _term(self.clock, 600)
        answer = original(self, **more)
        if answer:
            self._term = term
        return answer

    with patch.object(Client, "renew", long):
        yield


@control_bug
def leases_are_granted_while_nobody_watches() -> Iterator[None]:
    """The sweep is silent, and trading goes on."""
    with patch("stopline.service.sweep.heartbeat.SILENT_AFTER", timedelta(days=1)):
        yield


@control_bug
def a_lease_outlives_the_watch() -> Iterator[None]:
    """Granted in the last seconds in which a sweep was awaited, and good for its minute."""
    with patch.object(leases, "watched_until", lambda beat, account: beat.data["at"] + timedelta(days=1)):
        yield


@control_bug
def a_halt_ends_with_the_next_lease() -> Iterator[None]:
    """The second path of a kill counts until somebody answers who does not know of it."""
    original = Client.renew

    def forgetful(self: Any, **more: Any) -> bool:
        answer = original(self, **more)
        if answer:
            self.halts.clear()
        return answer

    with patch.object(Client, "renew", forgetful):
        yield


@control_bug
def a_kill_of_the_second_path_is_never_stored() -> Iterator[None]:
    """The adapters were told, and that was it."""
    original = emergency_halt.halt_unpersisted

    class Half:
        def __init__(self, bus: Any) -> None:
            self._bus = bus

        def publish(self, messages: Any) -> Any:
            return self._bus.publish([m for m in messages if m.topic == "orders"])

    with patch.object(emergency_halt, "halt_unpersisted", lambda bus, *more: original(Half(bus), *more)):
        yield


@control_bug
def trading_is_resumed_at_once() -> Iterator[None]:
    """No minimum hold."""
    with patch("stopline.rules.trading.resuming.MINIMUM_HOLD", timedelta(0)):
        yield


@control_bug
def a_lock_is_lifted_by_whoever_asks() -> Iterator[None]:
    """The one who locked themselves out lets themselves in."""
    original = controls.refusal

    def lenient(*arguments: Any) -> Any:
        found = original(*arguments)
        return None if found is not None and found.reason == "LOCKED" else found

    with patch.object(controls, "refusal", lenient):
        yield


@control_bug
def one_person_resumes_the_whole() -> Iterator[None]:
    """Four eyes, two of them shut."""
    with patch.object(controls, "people_needed", lambda *_: 1):
        yield


@control_bug
def a_breaker_lifts_what_people_hold() -> Iterator[None]:
    """What is well again lets everything go on."""

    def all_of_it(before: Any, request: Any, now: Any) -> Any:
        return trading_state._moved(before, before.standing(request.scope), {}, "release", request, now)

    with patch.object(controls, "release", all_of_it):
        yield


@control_bug
def a_request_is_carried_out_each_time() -> Iterator[None]:
    """Nobody remembers the ids."""
    with patch.object(controls, "remember", lambda moved, *_: moved):
        yield


@control_bug
def a_change_leaves_no_audit_row() -> Iterator[None]:
    """The chain goes on in the document alone."""
    original = TradingStates._change

    def unrecorded(*arguments: Any) -> Any:
        change = original(*arguments)
        return Change(change.state, change.effects)

    with patch.object(TradingStates, "_change", unrecorded):
        yield


@control_bug
def the_cancel_of_a_kill_expires() -> Iterator[None]:
    """The bus was slow, and the orders work on."""
    short = timedelta(seconds=30)
    with patch.object(cancel_commands, "HALT_CANCEL_VALID", short):
        yield


@control_bug
def orders_of_a_halted_strategy_work_on() -> Iterator[None]:
    """Only halts of the whole account cancel."""
    original = stops.stops_of

    def whole(*arguments: Any) -> Any:
        return (stop for stop in original(*arguments) if not stop[0].is_part)

    with patch.object(stops, "stops_of", whole):
        yield


@control_bug
def orders_that_add_work_on_in_a_pause() -> Iterator[None]:
    """New ones are refused, and those of before fill."""
    original = stops.stops_of

    def halts(*arguments: Any) -> Any:
        return (stop for stop in original(*arguments) if stop[1] is CommandAction.CANCEL_ALL)

    with patch.object(stops, "stops_of", halts):
        yield


@control_bug
def an_older_version_writes_over_a_newer_one() -> Iterator[None]:
    """It reads what it knows, and the rest is gone."""
    known = set(Control.model_fields)
    decode = ControlCodec.decode

    def lax(self: Any, data: Any) -> Control:
        body = {name: value for name, value in orjson.loads(data["state"]).items() if name in known}
        return decode(self, {**data, "state": orjson.dumps(body)})

    def blind(self: Any, name: str, document: Any) -> Any:
        return original(self, name, document and replace(document, data={**document.data, "writer": 0}))

    original = Aggregates._decoded
    with patch.object(ControlCodec, "decode", lax), patch.object(Aggregates, "_decoded", blind):
        yield


@control_bug
def a_breaker_forgets_what_only_people_may_lift() -> Iterator[None]:
    """The value is clear, and the next bad one is the first: what follows is taken back by the one after it."""
    original = breakers._read

    def forgetful(breaker: Any, known: Any, value: Any, threshold: Any, *of: Any) -> Any:
        standing, action = original(breaker, known, value, threshold, *of)
        return None if value <= threshold * breakers.CLEAR_AT else standing, action

    with patch.object(breakers, "_read", forgetful):
        yield


@control_bug
def a_breaker_that_people_have_lifted_is_dead() -> Iterator[None]:
    """However bad it gets."""
    with patch.object(breakers, "FURTHER", Decimal(10**6)):
        yield


@control_bug
def a_kill_of_the_second_path_counts_as_that_of_long_ago() -> Iterator[None]:
    """The id was used before: nothing to do, says the sweep, and the adapters go on."""
    original = TradingStates.store_halt

    def known(self: Any, request: Any, halt: str, asked_at: datetime) -> Any:
        return original(self, request, halt, asked_at - timedelta(days=1))

    with patch.object(TradingStates, "store_halt", known):
        yield


@control_bug
def the_end_of_a_cool_down_makes_a_size_its_own() -> Iterator[None]:
    """What a person was to lift ends by itself."""
    alone = {"_with_half_open": lambda holds, half: {**holds, trading_state.HALF_OPEN: half}}
    with patch.multiple(trading_state, **alone):
        yield


@control_bug
def a_resume_lifts_what_came_after_it_was_written() -> Iterator[None]:
    """The epoch is the same."""
    original = controls.refusal

    def blind(standing: Any, *more: Any) -> Any:
        holds = {key: hold.model_copy(update={"quiet": False}) for key, hold in standing.holds.items()}
        return original(standing.model_copy(update={"holds": holds}), *more)

    with patch.object(controls, "refusal", blind):
        yield


@control_bug
def a_price_confirms_itself() -> Iterator[None]:
    """Told twice, it is two readings."""
    with patch.object(PriceTimes, "are_newer", lambda self, first: True):
        yield


@control_bug
def what_is_read_twice_at_once_is_two_readings() -> Iterator[None]:
    """However soon the second comes."""
    with patch.object(breakers, "CONFIRM_AFTER", timedelta(0)):
        yield
