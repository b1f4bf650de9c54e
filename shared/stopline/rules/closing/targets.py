"""What has to go: which positions, how many units of each, how urgently; and which long units protect short ones."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.ledger.trade import Trade
from stopline.model.closing import URGENCIES, CloseRequest, Urgency
from stopline.model.closing_state import Asked, Sent
from stopline.model.decimals import EXACT_QUANTIZE, ZERO, divide
from stopline.model.ids import position_key
from stopline.model.instrument import Instrument, Kind

HALT: Urgency = "now"
HALTED = "trading halted"


@dataclass(frozen=True, slots=True)
class HeldLeg:
    """What a trade holds of one position: signed units, and how many of them make one unit of the trade."""

    key: str
    quantity: Decimal
    unit: Decimal
    group_id: str | None = None


def trade_legs(book: Book, trade_id: str) -> list[HeldLeg] | None:
    """Return the open legs of a trade; empty when it is closed, None when the book knows no such trade."""
    trade = _trade(book, trade_id)
    if trade is None:
        return None
    size = trade.quantity
    return [
        HeldLeg(
            key=position_key(leg.strategy, leg.instrument.symbol),
            quantity=leg.quantity,
            unit=divide(abs(leg.most), size) if size else Decimal(1),
            group_id=leg.tag.removeprefix("group:") if leg.tag.startswith("group:") else None,
        )
        for leg in trade.legs
        if leg.is_open
    ]


def _trade(book: Book, trade_id: str) -> Trade | None:
    return next((t for t in book.trades() if t.trade_id == trade_id), None)


def opened(book: Book, request: CloseRequest) -> dict[str, Decimal]:
    """Return how many units of which positions the trade of a request ever opened: late fills of its opening add to
    them, fills that close it change nothing.
    """
    trade = _trade(book, request.trade_id or "")
    found: dict[str, Decimal] = {}
    for leg in trade.legs if trade else ():
        key = position_key(leg.strategy, leg.instrument.symbol)
        found[key] = found.get(key, ZERO) + abs(leg.opened)
    return found


def too_much(book: Book, request: CloseRequest) -> dict[str, Decimal]:
    """Return how many units of which positions a trade holds beyond what a request leaves of it."""
    legs = trade_legs(book, request.trade_id or "") or []
    excess: dict[str, Decimal] = {}
    for leg in legs:
        excess[leg.key] = excess.get(leg.key, ZERO) + max(abs(leg.quantity) - request.leave * leg.unit, ZERO)
    return excess


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many units of a position have to go. `requests`: who asked for it; empty where only a halt does."""

    position: Position
    units: Decimal
    urgency: Urgency
    requests: tuple[str, ...]
    reason: str
    group_id: str | None = None


def wanted(
    book: Book, asked: Sequence[Asked], sent: Collection[Sent], halted: Callable[[Position], bool]
) -> dict[str, Wanted]:
    """Return what has to go, by position key. Requests that overlap want the most that one of them does, trades of
    one position their sum; never more than is held.
    """
    positions = {position.key: position for position in book.open_positions()}
    found = {key: Wanted(p, abs(p.quantity), HALT, (), HALTED) for key, p in positions.items() if halted(p)}
    of_trades: dict[
        tuple[str, str], Decimal
    ] = {}  # by position and trade: the most that a request wants of it
    for one in asked:
        request = one.request
        for key, units, group_id in _parts(one, book, positions, sent):
            before = found.get(key)
            if before is None:
                reason = f"{request.rule}: {request.reason}"[:500]
                before = Wanted(positions[key], ZERO, request.urgency, (), reason, group_id)
            both = max(before.units, units)
            if request.scope == "trade":
                mine = of_trades.get((key, request.trade_id or ""), ZERO)
                of_trades[key, request.trade_id or ""] = max(mine, units)
                both = before.units + max(units - mine, ZERO)
            found[key] = Wanted(
                before.position,
                min(both, abs(before.position.quantity)),
                max(before.urgency, request.urgency, key=URGENCIES.index),
                (*before.requests, request.request_id),
                before.reason,
                before.group_id if before.group_id == group_id else None,
            )
    return found


Part = tuple[str, Decimal, str | None]
"""Position key, units that are too many, and the group of the trade that they are of."""


def _parts(one: Asked, book: Book, positions: Mapping[str, Position], sent: Collection[Sent]) -> list[Part]:
    request = one.request
    if request.scope != "trade":
        held = [(key, abs(p.quantity)) for key, p in positions.items() if _named(request, p)]
        return [(key, units - request.leave, None) for key, units in held if units > request.leave]
    groups = {leg.key: leg.group_id for leg in trade_legs(book, request.trade_id or "") or ()}
    excess, ever = too_much(book, request), opened(book, request)
    for key in excess:
        if groups[key] is None or _is_astray(one, key, sent):
            late = max(ever[key] - one.opened.get(key, ever[key]), ZERO)
            asked = one.units.get(key, ZERO) + late
            excess[key] = min(excess[key], asked - executed(one, key, sent))
    return [(key, units, groups[key]) for key, units in excess.items() if units > 0 and key in positions]


def executed(one: Asked, key: str, sent: Iterable[Sent]) -> Decimal:
    """Return how many units of a position the fills of a request's commands have closed."""
    mine = (leg for s in sent if one.request.request_id in s.requests for leg in s.legs if leg.key == key)
    return sum((leg.filled for leg in mine), one.done.get(key, ZERO))


def _is_astray(one: Asked, key: str, sent: Iterable[Sent]) -> bool:
    """Tell whether fills of a request came without the trade's group: the book may count them for another trade, and
    what the trade still shows must not be closed once more.
    """
    mine = (leg for s in sent if one.request.request_id in s.requests for leg in s.legs if leg.key == key)
    return key in one.done or any(leg.astray for leg in mine)


def _named(request: CloseRequest, position: Position) -> bool:
    contract = position.instrument
    return (
        request.strategy in (None, position.strategy)
        and request.symbol in (None, contract.symbol)
        and request.underlying in (None, contract.underlying)
    )


def in_closing_order(found: Mapping[str, Wanted]) -> list[Wanted]:
    """Short positions first: a spread's long leg protects until its short leg is gone."""
    return sorted(found.values(), key=lambda w: (w.position.quantity > 0, w.position.key))


# --- cover ------------------------------------------------------------------------------------------------


def sellable(
    one: Wanted, book: Book, found: Mapping[str, Wanted], alive: Callable[[str], Decimal]
) -> Decimal:
    """Return how many of the wanted units may go now, so that no short unit that is to be closed loses its cover.

    Over all strategies of the account: long calls and what is held of the underlying cover short calls, long puts
    short puts, one unit another, where they expire no earlier. A long unit that a short one needs waits until
    the fills have bought the short one back. Short units may always go. `alive`: units of a position in commands.
    """
    position = one.position
    if position.quantity < 0:
        return one.units
    same = [p for p in book.open_positions() if _shares_cover(p.instrument, position.instrument)]
    shorts = [p for p in same if p.quantity < 0]
    if not any(p.key in found for p in shorts):
        return one.units
    room = [
        sum(
            (_units(p, p.quantity - alive(p.key)) for p in same if p.quantity > 0 and _end(p) >= _need(s)),
            ZERO,
        )
        + sum((_units(p, p.quantity) for p in shorts if _need(p) >= _need(s)), ZERO)
        for s in shorts
        if _need(s) <= _end(position)
    ]
    spare = min(room, default=ZERO) if room else None
    if spare is None:
        return one.units
    whole = Decimal(1) if position.instrument.kind is Kind.OPTION else Decimal("1E-12")
    units = max(spare, ZERO) / position.instrument.multiplier if spare > 0 else ZERO
    return min(one.units, units.quantize(whole, ROUND_FLOOR, EXACT_QUANTIZE))


def uncovered(book: Book, key: str) -> Decimal:
    """Return how many units of the underlying the options that share cover with a position are short of, 0 or more."""
    position = book.positions[key]
    same = [p for p in book.open_positions() if _shares_cover(p.instrument, position.instrument)]
    return max(-sum((_units(p, p.quantity) for p in same), ZERO), ZERO)


def _shares_cover(one: Instrument, other: Instrument) -> bool:
    """Tell whether units of two contracts can cover each other: puts puts; calls and the underlying itself each other."""
    return one.underlying == other.underlying and (one.right == "P") == (other.right == "P")


def _units(position: Position, quantity: Decimal) -> Decimal:
    return quantity * position.instrument.multiplier


def _end(position: Position) -> date:
    """Until when a long unit covers."""
    return position.instrument.expiry or date.max


def _need(position: Position) -> date:
    """From which expiry on a long unit covers this short one; what never expires is covered as long as anything lives."""
    return position.instrument.expiry or date.min
