"""Is a book what its fills fold to? The fold from nothing, beside the book that grew fill by fill."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal

from stopline.ledger.amend import effective
from stopline.ledger.arrivals import Reader
from stopline.ledger.book import Book, fold_steps
from stopline.ledger.position import Position
from stopline.ledger.trade_leg import TradeLeg
from stopline.model.decimals import decimal_text, exactly
from stopline.model.fill import Fill

_LEG_SUMS = ("quantity", "cost", "realised", "fees", "income")
_SUMS = ("quantity", "cost", "realised", "fees", "income")


def differences(
    book: Book, fills: Sequence[Fill], session_of: Callable[[datetime], date], now: datetime
) -> list[str]:
    """Return where a book is not the fold of all its fills, one line each; empty when it is.

    `fills` are all fills of the account, in any order. A position that the book has forgotten must be flat. One that
    came again after that has the sums of what came since: it must have been flat as many fills ago as it counts.
    """
    known = {fill.key: fill for fill in fills}
    again = Book(book.account, method=book.method).with_fills(
        known.values(), session_of, lambda *_: (), now, known.get
    )
    faults = []
    if book.fills != len(known):
        faults.append(f"the book counts {book.fills} fills, the log has {len(known)}")
    since = _since_forgotten(book, again, known.values())
    for key in sorted(book.positions.keys() | again.positions.keys()):
        folded = since.get(key) or again.positions.get(key)
        faults += _position_faults(key, book.positions.get(key), folded)
        faults += _trade_faults(key, book.legs.get(key, ()), again.legs.get(key, ()))
    for place in sorted(book.days):
        if book.days[place].money != again.day(*place).money:
            faults.append(f"session {place[0].isoformat()} in {place[1]} has other sums")
    for currency in sorted(book.totals.keys() | again.totals.keys()):
        if book.total(currency).money != again.total(currency).money:
            faults.append(f"the totals in {currency} differ")
    return faults


def _since_forgotten(book: Book, again: Book, fills: Iterable[Fill]) -> dict[str, Position]:
    """Return, of positions that count fewer fills than the log has, what the fills after the others make, where those others
    leave nothing open.
    """
    own: dict[str, list[Fill]] = {
        key: []
        for key, kept in book.positions.items()
        if key in again.positions and kept.fills < again.positions[key].fills
    }
    known = {fill.key: fill for fill in fills}
    reader = Reader(known, known.get, lambda *_: ())
    for fill in known.values() if own else ():
        if (key := reader.home(fill).position_key) in own:
            own[key].append(fill)
    found = {}
    with exactly():
        for key, some in own.items():
            home = reader.home(some[0])
            steps = effective(some)
            forgotten = again.positions[key].fills - book.positions[key].fills
            if fold_steps(home, steps[:forgotten], book.method)[0].is_flat:
                found[key], _ = fold_steps(home, steps[forgotten:], book.method)
    return found


def _position_faults(key: str, kept: Position | None, folded: Position | None) -> list[str]:
    if folded is None:
        return [f"{key} has no fill in the log"]
    if kept is None:
        return [] if folded.is_flat else [f"{key} is missing: {_text(folded.quantity)} units"]
    faults = [
        f"{key}: {name} is {_text(getattr(kept, name))}, its fills make {_text(getattr(folded, name))}"
        for name in _SUMS
        if getattr(kept, name) != getattr(folded, name)
    ]
    if kept.fills > folded.fills:
        faults.append(f"{key} counts {kept.fills} fills, the log has {folded.fills}")
    if not faults and [lot[:2] for lot in kept.lots] != [lot[:2] for lot in folded.lots]:
        faults.append(f"{key}: its lots are others than those of its fills")
    if _paid(kept) != _paid(folded):
        faults.append(f"{key}: its fees in other currencies differ")
    return faults


def _trade_faults(key: str, kept: Sequence[TradeLeg], folded: Sequence[TradeLeg]) -> list[str]:
    """Tell where trades that the book has are not those of all fills. It forgets closed ones after a day."""
    stands = {leg.start: leg for leg in folded}
    return [
        f"{key}: {name} of the trade of {leg.start[0].isoformat()} is {_text(getattr(leg, name))}, its fills make "
        f"{_text(getattr(stands[leg.start], name))}"
        for leg in kept
        for name in _LEG_SUMS
        if leg.start in stands and getattr(leg, name) != getattr(stands[leg.start], name)
    ]


def _paid(position: Position) -> dict[str, Decimal]:
    """Return the fees in other currencies; books of before 22 November 2026 may hold some that came to nothing."""
    return {name: amount for name, amount in position.other_fees.items() if amount}


def _text(value: Decimal) -> str:
    return decimal_text(value)
