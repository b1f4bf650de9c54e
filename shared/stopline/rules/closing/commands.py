"""What to send to close what has to go, and when to send it again. Level-triggered: from what is open, not from
what was sent.

Commands that are out for a position never sum to more than what has to go of it; each trade of it has its own. Short
units go first; long ones that cover them follow when the fills have bought those back, or go with them in one order where
the broker takes a spread. What is more than the account's document holds goes in rounds: what a halt wants first, of that
what was tried least, the next when commands are over.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, localcontext

from stopline.ledger.leg_name import marked_id
from stopline.ledger.position import Position
from stopline.model.closing import CloseRequest
from stopline.model.closing_state import Asked, ClosingState, RequestStatus, Tries
from stopline.model.control import Closing, ClosingStatus
from stopline.model.decimals import EXACT, ZERO
from stopline.model.ids import digest
from stopline.model.instrument import Kind
from stopline.model.messages import Alert, Command, CommandAction
from stopline.model.scopes import scope_of
from stopline.rules.closing import alerts
from stopline.rules.closing.collar import limit_price
from stopline.rules.closing.halts import carried, confirms, holds, newly_flat, nothing_held, proven
from stopline.rules.closing.of_trade import astray, begun, too_much, trade_legs, why_astray
from stopline.rules.closing.order import Situation, close_order, command_of, end_resumed
from stopline.rules.closing.resting import is_cancelled_first
from stopline.rules.closing.sent import MOST_LEGS, alive, cancelled, ended, legs_out
from stopline.rules.closing.splits import rescaled
from stopline.rules.closing.spreads import spreads
from stopline.rules.closing.targets import (
    HALT,
    Wanted,
    by_cover,
    cover_of,
    in_closing_order,
    sellable,
    units_of_positions,
    wanted,
)
from stopline.rules.closing.told import Told
from stopline.rules.closing.turns import with_turns

AS_ONE = 2  # tries of a spread as one order; then leg by leg
ENDED = timedelta(days=7)  # how long a request that has ended is known: it closes nothing again


@dataclass(frozen=True, slots=True)
class Step:
    """A closing as it stands now, what to send, and what to tell people."""

    state: ClosingState
    commands: Sequence[Command] = ()
    alerts: Sequence[Alert] = ()


def advance(state: ClosingState, situation: Situation, new: Sequence[CloseRequest] = ()) -> Step:
    """Take what is newly asked for, and send what is missing.

    A halt of another epoch begins anew; its cancels are out (`OrderCanceller`). It is FLAT, and a request CLOSED, when the
    book, that is the fills, says so; never because commands were sent.
    """
    with localcontext(EXACT):
        known = rescaled(state, situation.book)
        round_ = _Round(ended(known, situation.now, situation.epoch), situation)
        round_.halt()
        round_.ask(new)
        round_.end_resumed()
        round_.close()
        round_.prove()
        return round_.step()


class _Round:
    """One look at an account: the state is taken apart, changed, and put together again."""

    def __init__(self, state: ClosingState, situation: Situation) -> None:
        self._s = situation
        self._state = state
        self._account = state.account
        self._halt = state.halt
        self._asked = dict(state.asked)
        self._sent = dict(state.sent)
        self._tries: dict[str, Tries] = dict(state.tries)
        self._told = Told(state, situation.now)
        self._serial = state.serial
        self._at_once = set(
            situation.again
        )  # scopes whose halt begins, or was said again: nothing of it waits
        self._commands: list[Command] = []
        self._found: dict[str, Wanted] = {}
        self._wanted: dict[str, Decimal] = {}  # units of each position
        self._of_positions, self._of_parts = alive(self._sent.values())
        self._legs_out = legs_out(self._sent.values())
        self._exit_legs = legs_out(one for one in self._sent.values() if one.requests and not one.halted)
        self._held: tuple[bool, int] | None = None  # the first that waits for room for all its legs
        self._resting: dict[str, list[Wanted]] = defaultdict(list)  # what goes of positions not looked at yet

    # --- what is to be closed ---

    def halt(self) -> None:
        """Begin, or begin anew, the closing that the trading state asks for."""
        s = self._s
        before = self._halt
        if not s.halts or (before is not None and before.epoch == s.epoch):
            return
        known = carried(before, s)
        self._told.note(*(f"flat:{epoch}:{scope}" for scope, epoch in known.items()))
        self._halt = Closing(epoch=s.epoch, status=ClosingStatus.CLOSING, since=s.now, flat=known)
        self._sent = cancelled(self._sent, dict.fromkeys(s.halts, s.epoch), s.now)
        self._at_once |= s.halts.keys()

    def ask(self, new: Sequence[CloseRequest]) -> None:
        """Take requests, each once for ever."""
        for request in new:
            if request.request_id not in self._asked:
                known, sent = self._asked.values(), self._sent.values()
                self._asked[request.request_id] = begun(request, self._s.book, known, sent, self._s.now)
        for id_, asked in self._asked.items():
            trade_id = asked.request.trade_id
            if (
                trade_id
                and asked.status is RequestStatus.CLOSING
                and trade_legs(self._s.book, trade_id) is None
            ):
                asked = asked.model_copy(update={"status": RequestStatus.REFUSED, "ended_at": self._s.now})
                self._asked[id_] = asked
                self._told.alerts.append(alerts.refused(asked, self._s.now))

    def end_resumed(self) -> None:
        """End what people, by resuming what was to be closed, have decided otherwise."""
        asked, cancels = end_resumed(self._account, self._asked, self._sent.values(), self._s)
        self._asked |= asked
        for cancel in (one for one in cancels if one.command_id not in self._told.noted):
            self._told.note(cancel.command_id)
            self._commands.append(cancel)
        self._told.alerts += alerts.ended(asked.values(), self._s.book, self._s.now)

    def close(self) -> None:
        """Send what is missing of everything that has to go."""
        s = self._s
        self._asked = with_turns(self._asked, s.book, s.now)
        closing = (one for one in self._asked.values() if one.status is RequestStatus.CLOSING)
        open_ = [asked for asked in closing if asked.has_turn]
        self._found = wanted(s.book, open_, self._sent.values(), s.halted)
        self._wanted = units_of_positions(self._found.values())
        self._tries = {
            key: self._due(tries, self._found[key].position)
            for key, tries in self._tries.items()
            if key in self._found
        }
        for one in in_closing_order(self._found):
            self._resting[one.position.key].append(one)
        waits: dict[str, str] = {}
        for halted in (True, False):  # what a halt wants waits for nothing else
            self._close_those(halted, waits)
        self._note_waits(waits)
        new = {c.command_id for c in self._commands}
        self._told.failing([one for id_, one in self._sent.items() if id_ in new], self._tries, self._serial)

    def _close_those(self, halted: bool, waits: dict[str, str]) -> None:
        """Send what is missing of what a halt wants, or of what none does: spreads that go as one order, then the rest."""
        done: set[str] = set()
        for group in self._as_one(halted):
            done |= {one.part for one in group}
            if self._has_room(group):
                self._send(group)
            else:  # what comes after it leaves it the room that it waits for
                self._held = self._held or self._rank(group)
        covers = by_cover(self._s.book)
        going = {one.position.key for one in self._found.values()}
        those = [one for one in in_closing_order(self._found) if one.halted == halted]
        for one in sorted(those, key=lambda one: self._retry(one.part)):
            if one.part in done:
                continue
            left = replace(one, units=self._missing(one))
            if left.units <= 0 or self._is_too_early(one.part):
                continue
            reason = self._waits(one)
            if reason:
                waits[one.part] = reason
                continue
            if not self._has_room([one]):
                continue
            units = sellable(left, covers[cover_of(one.position.instrument)], going, self._alive)
            if units > 0:
                self._send([replace(left, units=units)])

    def _missing(self, one: Wanted) -> Decimal:
        """Return how many units may be sent: of the part, and in all of its position, less what commands may execute."""
        key, of_part = one.position.key, one.units - self._of_parts.get(one.part, ZERO)
        return min(of_part, self._wanted[key] - self._alive(key))

    def _rank(self, group: Sequence[Wanted]) -> tuple[bool, int]:
        """Return how late something goes: what a halt wants first, then what was tried least."""
        return not group[0].halted, max(self._retry(one.part) for one in group)

    def _has_room(self, group: Sequence[Wanted]) -> bool:
        """Tell whether its legs may go out too. Half of the room is for what halts want alone."""
        if self._held is not None and self._rank(group) >= self._held:
            return False
        if not group[0].halted and self._exit_legs + len(group) > MOST_LEGS // 2:
            return False
        return self._legs_out + len(group) <= MOST_LEGS

    def _cancel_resting(self, key: str) -> None:
        """Before a position goes for a request cancel what rests against it, where that has to be. Commands of ours that
        work there end with it, and are sent again: so only when more is to go now.
        """
        some = self._resting.pop(key, [])
        if not is_cancelled_first(some, self._s, self._told, is_out=bool(self._alive(key))):
            return
        self._serial += 1
        ids = "cancel", self._account, str(self._s.epoch), key, str(self._serial)
        command = self._command(digest(*ids), CommandAction.CANCEL_ALL, some[0].reason)
        where = {"strategy": some[0].position.strategy, "instrument": some[0].position.instrument}
        self._commands.append(command.model_copy(update=where))

    # --- when and how ---

    def _alive(self, key: str) -> Decimal:
        return self._of_positions.get(key, ZERO)

    def _is_too_early(self, part: str) -> bool:
        tries = self._tries.get(part)
        return tries is not None and self._s.now < tries.next_at

    def _due(self, tries: Tries, position: Position) -> Tries:
        """Return the tries for a position that goes at once without their pause: that was of an exit, or of a broker before
        people have killed again.
        """
        if self._s.halted(position) and any(holds(scope, [position]) for scope in self._at_once):
            return tries.model_copy(update={"next_at": min(tries.next_at, self._s.now)})
        return tries

    def _retry(self, part: str) -> int:
        return self._tries[part].count if part in self._tries else 0

    def _is_market(self, one: Wanted) -> bool:
        settings = self._s.settings_of(one)
        if one.urgency == HALT:
            return settings.halt_order == "MARKET" or not self._s.halted(one.position)
        if settings.exit_order == "MARKET":
            return True
        return one.urgency == "urgent" and self._retry(one.part) > 0

    def _waits(self, one: Wanted) -> str:
        """Say why nothing can be sent for a position now; empty when something can."""
        contract = one.position.instrument
        quote = self._s.quotes.get(contract.symbol)
        if quote is None and not self._s.trading and contract.kind in (Kind.EQUITY, Kind.OPTION):
            return "the market is closed"
        buys = one.position.quantity < 0
        limited = limit_price(contract, buys, quote, 0, self._s.settings_of(one)) is not None
        return (
            ""
            if limited or self._is_market(one) or one.urgency != "normal"
            else f"no price of {contract.symbol}"
        )

    def _as_one(self, halted: bool) -> Iterator[list[Wanted]]:
        """Yield the spreads that go as one order now, of what a halt wants or of what none does."""
        groups = spreads(self._found, lambda one: self._s.settings_of(one).multi_leg)
        for group in sorted(groups, key=lambda group: max(self._retry(one.part) for one in group)):
            parts = [one.part for one in group]
            if group[0].halted != halted or any(self._of_parts.get(part) for part in parts):
                continue
            if any(self._retry(part) >= AS_ONE or self._is_too_early(part) for part in parts):
                continue
            if any(self._missing(one) < one.units for one in group):
                continue
            if not any(self._waits(one) for one in group):
                yield group

    # --- commands ---

    def _send(self, group: Sequence[Wanted]) -> None:
        """Send one command for one position, or for the legs of a spread."""
        for one in group:
            self._cancel_resting(one.position.key)
        self._serial += 1
        retry = max(self._retry(one.part) for one in group)
        ids = "close_command", self._account, str(self._s.epoch), group[0].position.key, str(self._serial)
        names = {one.group_id for one in group}
        name = names.pop() if len(names) == 1 else None
        id_ = digest(*ids) if name is None else marked_id(name, *ids)
        plain = self._command(id_, CommandAction.CLOSE, group[0].reason)
        at_market = any(self._is_market(one) for one in group)
        command, self._sent[id_] = close_order(self._s, plain, group, retry, at_market)
        self._commands.append(command)
        self._legs_out += len(group)
        self._exit_legs += 0 if group[0].halted else len(group)
        for leg in self._sent[id_].legs:
            self._of_positions[leg.key] = self._of_positions.get(leg.key, ZERO) + leg.quantity
            self._of_parts[leg.part] = self._of_parts.get(leg.part, ZERO) + leg.quantity

    def _command(self, id_: str, action: CommandAction, reason: str) -> Command:
        return command_of(self._s, self._account, id_, action, reason)

    # --- what the fills have proven, and what people must know ---

    def prove(self) -> None:
        """End what the book shows to be closed."""
        s = self._s
        for id_, asked in self._asked.items():
            if asked.status in (RequestStatus.CLOSING, RequestStatus.ASTRAY) and self._is_done(asked):
                update = {"status": RequestStatus.CLOSED, "ended_at": s.now, "waits": ""}
                self._asked[id_] = asked.model_copy(update=update)
                self._told.alerts.append(alerts.closed(self._asked[id_], s.now))
            elif asked.status is RequestStatus.CLOSING and asked.has_turn and self._is_astray(asked):
                why, units = (
                    why_astray(asked, self._sent.values()),
                    astray(asked, s.book, self._sent.values()),
                )
                update = {"status": RequestStatus.ASTRAY, "ended_at": s.now, "waits": why}
                self._asked[id_] = asked.model_copy(update=update)
                self._told.once([alerts.astray(asked, units, why, s.now)])
            elif (
                asked.status is RequestStatus.CLOSED
                and asked.confirmed_at is None
                and confirms(s, asked.ended_at)
            ):
                update = {"confirmed_at": s.stated.agreed_at, "confirmed_by": s.stated.by}
                self._asked[id_] = asked.model_copy(update=update)
        if self._halt is not None and s.halts:
            self._prove_halt(self._halt)
        self._told.unstuck(self._tries.values(), self._serial)
        self._told.once(alerts.overfilled(self._account, self._sent.values(), s.now))
        self._told.legs(self._sent.values(), s.book)

    def _is_done(self, asked: Asked) -> bool:
        """Tell whether the book shows nothing open of what a request wants closed."""
        if asked.request.trade_id is not None:
            return not any(too_much(self._s.book, asked.request).values())
        return not any(asked.request.request_id in one.requests for one in self._found.values())

    def _is_astray(self, asked: Asked) -> bool:
        """Tell whether a trade is open in the book although all that had to go of it was executed."""
        request = asked.request
        out = (leg for sent in self._sent.values() if sent.ended_at is None for leg in sent.legs)
        if any(leg.trade_id == request.trade_id for leg in out):
            return False
        return not any(request.request_id in one.requests for one in self._found.values())

    def _prove_halt(self, halt: Closing) -> None:
        s = self._s
        after = proven(halt, s, self._found.values(), self._sent.values())
        sent = halt.sent + sum(1 for c in self._commands if c.action is CommandAction.CLOSE)
        self._halt = after.model_copy(update={"sent": sent})
        if denied := s.stated.denied:
            for scope in s.halts:
                found = alerts.denied(self._account, scope, halt, denied, s.now)
                self._told.once([(f"denied:{halt.epoch}:{denied}:{scope}", found)])
        open_ = [one.position for one in self._found.values()]
        self._told.forget(
            *(f"flat:{e}:{scope}" for scope, e in s.halts.items() if denied or holds(scope, open_))
        )
        for scope in newly_flat(halt, after):  # not again where only orders at brokers came and went
            began = s.since.get(scope, halt.since)
            found = alerts.flat(self._account, scope, halt, began, s.refused(scope), s.now)
            self._told.once([(f"flat:{after.flat[scope]}:{scope}", found)])
        for scope, epoch in s.halts.items():
            why = "" if scope in after.flat else nothing_held(scope_of(scope), s.book)
            if why:
                found = alerts.nothing_held(self._account, scope, epoch, why, s.now)
                self._told.once([(f"nothing:{epoch}:{scope}", found)])

    def _note_waits(self, waits: Mapping[str, str]) -> None:
        """Note why requests wait, where nothing of them can be sent."""
        for id_, asked in self._asked.items():
            if asked.status is RequestStatus.CLOSING:
                keys = [key for key, one in self._found.items() if id_ in one.requests]
                reasons = sorted({waits[key] for key in keys if key in waits})
                self._asked[id_] = asked.model_copy(update={"waits": "; ".join(reasons)[:500]})
        self._told.waiting(self._asked.values(), self._found, waits, self._halt, self._s.halts)

    def step(self) -> Step:
        """Return the state put together again."""
        horizon = self._s.now - ENDED
        asked = {id_: a for id_, a in self._asked.items() if a.ended_at is None or a.ended_at > horizon}
        state = self._state.model_copy(
            update={
                "halt": self._halt,
                "asked": asked,
                "sent": self._sent,
                "tries": self._tries,
                "told": self._told.noted,
                "serial": self._serial,
                "stuck": self._told.stuck,
                "book_revision": self._s.book.revision,
            }
        )
        return Step(state, self._commands, self._told.alerts)
