"""Books against brokers' statements: where what we hold is not what they say.

An instrument is compared over all strategies, when it is quiet: no fill of it less than `quiet_s` before the
statement, and as long passed since, for fills that are on their way. What was not told, or could not be read, is never
called flat. What becomes of a difference: `breaks.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction

from stopline.ledger.book import Book
from stopline.ledger.expiry import ends_at
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.instrument import Instrument, Kind
from stopline.model.statement import Holding, Statement
from stopline.rules.watching.finding import BreakKind, Finding, both_sides

HUNDRED = Decimal(100)
MOST_SPLIT = 50  # for one, either way
ODD_SPLITS = {(3, 2), (2, 3), (4, 3), (3, 4), (5, 4), (4, 5), (5, 2), (2, 5), (5, 3), (3, 5)}


def compare(
    account: Account,
    book: Book,
    statements: Mapping[str, Statement],
    now: datetime,
    also: Iterable[str] = (),
) -> list[Finding]:
    """Compare a book with the newest statement of each broker, instrument by instrument, by symbol.

    `also` are symbols to look at that may be gone on both sides. Empty without any statement.
    """
    if not statements:
        return []
    ours: dict[str, list[Position]] = {}
    for position in book.positions.values():
        ours.setdefault(position.instrument.symbol, []).append(position)
    told: dict[str, list[Holding]] = {}
    unread = {line for statement in statements.values() for line in statement.unread}
    for statement in statements.values():
        for holding in statement.positions:
            told.setdefault(holding.symbol, []).append(holding)
    findings = [
        Finding(line, BreakKind.UNKNOWN_INSTRUMENT, brokers=_showing(line, statements))
        for line in sorted(unread)
    ]
    with localcontext(EXACT):
        for symbol in sorted({*ours, *told, *also} - unread):
            held = ours.get(symbol, [])
            waits = _waits(account, symbol, held, statements, now)
            found = _compared(account, symbol, held, told.get(symbol, []), now)
            if waits and not (found.kind is None and waits.agreement_counts):
                is_doubt = waits.ends_soon and found.kind is not BreakKind.COST
                found = replace(
                    found, kind=None, waits=waits.why, doubt=both_sides(found) if is_doubt else ""
                )
            findings.append(replace(found, brokers=_showing(symbol, statements)))
    return findings


def _showing(symbol: str, statements: Mapping[str, Statement]) -> tuple[str, ...]:
    """Return the brokers whose statements have an instrument, or a line that could not be read."""
    return tuple(
        broker
        for broker, told in sorted(statements.items())
        if symbol in told.unread or any(h.symbol == symbol and h.quantity for h in told.positions)
    )


@dataclass(frozen=True, slots=True)
class _Wait:
    why: str
    agreement_counts: bool = False  # what may not prove a difference may still prove that there is none
    ends_soon: bool = False  # within the quiet time, whether another statement comes or not


def _waits(
    account: Account,
    symbol: str,
    held: Sequence[Position],
    statements: Mapping[str, Statement],
    now: datetime,
) -> _Wait | None:
    """Say why an instrument cannot be compared now, or None."""
    quiet = timedelta(seconds=account.reconcile.quiet_s)
    last = max((p.last[0] for p in held if p.last), default=None)
    for broker in account.brokers:
        statement = statements.get(broker)
        if statement is None:
            return _Wait(f"no statement of broker {broker}")
        if not statement.tells_all and all(h.symbol != symbol for h in statement.positions):
            return _Wait(f"the statement of broker {broker} does not tell all")
        if last is not None and last + quiet > statement.as_of:
            return _Wait(f"a fill is as new as the statement of broker {broker}", agreement_counts=True)
        if statement.as_of + quiet > now:
            return _Wait("fills may be on their way", agreement_counts=True, ends_soon=True)
    return None


def _compared(
    account: Account, symbol: str, held: Sequence[Position], told: Sequence[Holding], now: datetime
) -> Finding:
    ours = sum((p.quantity for p in held), ZERO)
    theirs = sum((h.quantity for h in told), ZERO)
    contract = held[0].instrument if held else None
    found = Finding(symbol, None, ours, theirs, _our_price(held, contract), _their_price(told))
    kind = _kind(account, found, contract, told)
    if kind in (BreakKind.MISSING_AT_BROKER, BreakKind.MISSING_HERE, BreakKind.QUANTITY, BreakKind.SIGN):
        ended = ends_at(symbol, contract, account.sessions)
        kind = BreakKind.EXPIRED if ended is not None and ended <= now else kind
    return replace(found, kind=kind)


def _kind(
    account: Account, found: Finding, contract: Instrument | None, told: Sequence[Holding]
) -> BreakKind | None:
    ours, theirs = found.ours or ZERO, found.theirs or ZERO
    if contract is not None and ours and theirs:
        if any(h.currency not in (None, contract.currency) for h in told):
            return BreakKind.UNKNOWN_INSTRUMENT
        if any(h.multiplier not in (None, contract.multiplier) for h in told):
            return BreakKind.CORPORATE_ACTION  # an option that was adjusted, say
    if ours == theirs:
        return BreakKind.COST if ours and _cost_differs(account, found) else None
    if not theirs:
        return BreakKind.MISSING_AT_BROKER
    if not ours:
        return BreakKind.MISSING_HERE
    if (ours > 0) != (theirs > 0):
        return BreakKind.SIGN
    if contract is not None and contract.kind is Kind.EQUITY and _looks_split(account, found):
        return BreakKind.CORPORATE_ACTION
    return BreakKind.QUANTITY


def _our_price(held: Sequence[Position], contract: Instrument | None) -> Decimal | None:
    """Return the average price over all strategies; None when flat, for opposite positions and inverse contracts."""
    open_ = [p for p in held if p.quantity]
    if contract is None or not open_ or contract.inverse or len({p.quantity > 0 for p in open_}) > 1:
        return None
    units = sum((p.quantity for p in open_), ZERO) * contract.multiplier
    return divide(sum((p.cost for p in open_), ZERO), units)


def _their_price(told: Sequence[Holding]) -> Decimal | None:
    known = [(h.quantity, h.average_price) for h in told if h.quantity]
    units = sum((quantity for quantity, _ in known), ZERO)
    if not units or len({quantity > 0 for quantity, _ in known}) > 1:
        return None
    total = ZERO
    for quantity, price in known:
        if price is None:
            return None
        total += quantity * price
    return divide(total, units)


def _cost_differs(account: Account, found: Finding) -> bool:
    tolerance, ours, theirs = account.reconcile.cost_tolerance_pct, found.our_price, found.their_price
    if tolerance is None or ours is None or theirs is None:
        return False
    return abs(theirs - ours) * HUNDRED > abs(ours) * tolerance


def _looks_split(account: Account, found: Finding) -> bool:
    """Tell whether the numbers are those of a split: units by a whole ratio, and what they cost is the same."""
    ours, theirs, our_price, their_price = found.ours, found.theirs, found.our_price, found.their_price
    if not ours or not theirs or our_price is None or their_price is None:
        return False
    new, old = (Fraction(theirs) / Fraction(ours)).as_integer_ratio()
    simple = (1 in (new, old) and max(new, old) <= MOST_SPLIT) or (new, old) in ODD_SPLITS
    tolerance = account.reconcile.cost_tolerance_pct or Decimal(1)
    was, is_ = abs(ours * our_price), abs(theirs * their_price)
    return simple and abs(is_ - was) * HUNDRED <= was * tolerance
