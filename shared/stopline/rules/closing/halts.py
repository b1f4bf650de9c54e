"""What a halt with flatten is for, and how far it is: flat, scope by scope, when the fills say so and no broker's statement
denies it, by what it holds or by an order that still works.
"""

from collections.abc import Iterable
from datetime import datetime

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.closing_state import Sent
from stopline.model.control import Closing, ClosingStatus, Control, Standing, TradingState
from stopline.model.scopes import Scope, scope_of
from stopline.model.times import LONG_AGO
from stopline.rules.closing.order import Situation, order_out
from stopline.rules.closing.targets import Wanted

SHOWN = 10  # names of what is held


def halts_of(everywhere: Control, own: Control) -> dict[str, int]:
    """Return which scopes of an account a halt with flatten holds for, by its epoch: the account alone where it is for all
    of it.
    """
    if flattens(everywhere) or flattens(own):
        return {own.scope: everywhere.epoch + own.epoch}
    return {scope: part.epoch for scope, part in own.parts.items() if flattens(part)}


def halted_since(everywhere: Control, own: Control) -> dict[str, datetime]:
    """Return since when a halt with flatten holds for these scopes."""
    return {scope: min(began) for scope, began in _began(everywhere, own).items()}


def newest_halts(everywhere: Control, own: Control) -> dict[str, datetime]:
    """Return when the last halt with flatten of each of these scopes began."""
    return {scope: max(began) for scope, began in _began(everywhere, own).items()}


def _began(everywhere: Control, own: Control) -> dict[str, list[datetime]]:
    found = {}
    for scope in halts_of(everywhere, own):
        standings = [everywhere, own] if scope == own.scope else [own.parts[scope]]
        found[scope] = [one.since or LONG_AGO for one in standings if flattens(one)]
    return found


def oldest_halt(everywhere: Control, own: Control) -> datetime:
    """Return since when something of an account is halted, with flatten or without."""
    halted = (one for one in (everywhere, own, *own.parts.values()) if one.state is TradingState.HALTED)
    return min((one.since or LONG_AGO for one in halted), default=LONG_AGO)


def flattens(standing: Standing) -> bool:
    """Tell whether it is halted, and what is open of it is to be closed."""
    return standing.state is TradingState.HALTED and standing.flatten


def proven(halt: Closing, s: Situation, found: Iterable[Wanted], sent: Iterable[Sent]) -> Closing:
    """Return a halt as the book shows it. `found`: what has to go; `sent`: the commands."""
    positions = [one.position for one in found]
    held = [position.key for position in positions if s.halted(position)]
    out = {leg.key: one for one in sent if one.ended_at is None for leg in one.legs}
    flat = {
        scope: epoch
        for scope, epoch in s.halts.items()
        if not holds(scope, positions) and (scope in halt.flat or is_known(scope_of(scope), s.book))
    }
    known = {scope: epoch for scope, epoch in flat.items() if scope not in s.stated.working}
    if s.stated.is_unread:  # what was said stands, and nothing more is said
        known = {scope: epoch for scope, epoch in known.items() if halt.flat.get(scope) == epoch}
    is_denied = bool(s.stated.denied or s.stated.working) or known != flat
    if held or is_denied or not known:
        status = ClosingStatus.CLOSING if held or is_denied else ClosingStatus.NOTHING_HELD
        update: dict[str, object] = {"status": status, "flat_at": None}
        update |= {"confirmed_at": None, "confirmed_by": ""}
    else:
        update = {"status": ClosingStatus.FLAT, "flat_at": halt.flat_at or s.now}
        if halt.confirmed_at is None and confirms(s, halt.flat_at):
            update |= {"confirmed_at": s.stated.agreed_at, "confirmed_by": s.stated.by}
    update["book_revision"] = s.book.revision
    update["flat"] = {} if s.stated.denied else known
    update["orders"] = {key: order_out(out[key], key) for key in held if key in out}
    return halt.model_copy(update=update)


def carried(before: Closing | None, s: Situation) -> dict[str, int]:
    """Return the scopes that were flat before the epoch moved, under the epoch of now where no halt of theirs is newer: what
    something else has moved makes no new halt, and people were told.
    """
    flat = before.flat if before else {}
    return {
        scope: s.halts[scope] if before and s.since.get(scope, s.now) <= before.since else epoch
        for scope, epoch in flat.items()
        if scope in s.halts
    }


def newly_flat(before: Closing, after: Closing) -> list[str]:
    """Return the scopes that are flat and were not, or not after this kill."""
    # as stored before scopes had their own: all of them are known to be flat
    known = before.flat if before.flat or before.flat_at is None else after.flat
    return [scope for scope, epoch in after.flat.items() if known.get(scope) != epoch]


def confirms(s: Situation, ended_at: datetime | None) -> bool:
    """Tell whether the brokers' statements agree, and are of after the fills have proven it."""
    agreed_at = s.stated.agreed_at
    return agreed_at is not None and ended_at is not None and agreed_at > ended_at


def holds(scope: str, positions: Iterable[Position]) -> bool:
    """Tell whether one of the positions belongs to a scope of its account."""
    named = scope_of(scope)
    return any(named.covers(p.strategy, p.instrument.underlying) for p in positions)


def is_known(scope: Scope, book: Book) -> bool:
    """Tell whether the book has a position of a scope, or had one: a strategy at any time, an underlying within a week."""
    if not scope.is_part:
        return True
    if scope.kind == "strategy" and any(name == scope.name for name, _ in book.strategies):
        return True
    return any(scope.covers(p.strategy, p.instrument.underlying) for p in book.positions.values())


def nothing_held(scope: Scope, book: Book) -> str:
    """Say that a name stands for nothing in the book, and which ones do: a mistyped stop must not pass for a proof. Empty
    where it stands for something.
    """
    if is_known(scope, book):
        return ""
    names = {
        p.strategy if scope.kind == "strategy" else p.instrument.underlying for p in book.open_positions()
    }
    shown = ", ".join(sorted(names)[:SHOWN]) + (
        f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    )
    held = f"held are {shown}" if names else "nothing is held at all"
    return f"nothing is known by the name {scope.name} in account {scope.account}; {held}"
