"""Is a book what its fills fold to? The fold from nothing, beside the book that grew fill by fill."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal

from stopline.ledger.amend import effective
from stopline.ledger.book import Book, booked, fold_steps
from stopline.ledger.position import Position, exactly
from stopline.model.decimals import decimal_text
from stopline.model.fill import Fill

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
    for key in sorted(book.positions.keys() | again.positions.keys()):
        kept, folded = book.positions.get(key), again.positions.get(key)
        if kept and folded and kept.fills < folded.fills:
            own = [fill for fill in known.values() if fill.position_key == key]
            folded = _since(own, folded, again, folded.fills - kept.fills)
        faults += _position_faults(key, kept, folded)
    for place in sorted(book.days):
        if book.days[place].money != again.day(*place).money:
            faults.append(f"session {place[0].isoformat()} in {place[1]} has other sums")
    for currency in sorted(book.totals.keys() | again.totals.keys()):
        if book.total(currency).money != again.total(currency).money:
            faults.append(f"the totals in {currency} differ")
    return faults


def _since(own: Sequence[Fill], whole: Position, book: Book, forgotten: int) -> Position:
    """Return a position as its fills make it after the first `forgotten` ones, where these leave nothing open."""
    home = own[0]
    steps = effective(booked(home, lambda *_: own, book.held, set()))
    with exactly():
        before, _ = fold_steps(home, steps[:forgotten], book.method)
        return fold_steps(home, steps[forgotten:], book.method)[0] if before.is_flat else whole


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


def _paid(position: Position) -> dict[str, Decimal]:
    """Return the fees in other currencies; books of before 22 November 2026 may hold some that came to nothing."""
    return {name: amount for name, amount in position.other_fees.items() if amount}


def _text(value: Decimal) -> str:
    return decimal_text(value)
