"""What has to go: which positions, how many units of each, how urgently; and which long units protect short ones."""

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_FLOOR, Decimal

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.closing import URGENCIES, CloseRequest, Urgency
from stopline.model.closing_state import Asked, Sent, part_key
from stopline.model.decimals import EXACT_QUANTIZE, ZERO
from stopline.model.instrument import Instrument, Kind
from stopline.model.text import cut
from stopline.rules.closing.of_trade import astray, too_much, trade_legs

HALT: Urgency = "now"
HALTED = "trading halted"
REASON = 500  # bytes of why something is closed that go with each command: many of them fit one document


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many units of a position have to go. `requests`: who asked for it; `halted`: a halt does too, or alone.
    `trade_id`: they are of that trade, and fills name it by `group_id`; None: whichever trades' are next in lot order.
    """

    position: Position
    units: Decimal
    urgency: Urgency
    requests: tuple[str, ...]
    reason: str
    trade_id: str | None = None
    group_id: str | None = None
    halted: bool = False

    @property
    def part(self) -> str:
        return part_key(self.position.key, self.trade_id)

    def joined(self, units: Decimal, request: CloseRequest) -> "Wanted":
        """Return what has to go when one more request wants so much of the same."""
        return replace(
            self,
            units=max(self.units, units),
            urgency=max(self.urgency, request.urgency, key=URGENCIES.index),
            requests=(*self.requests, request.request_id),
        )


def wanted(
    book: Book, asked: Sequence[Asked], sent: Collection[Sent], halted: Callable[[Position], bool]
) -> dict[str, Wanted]:
    """Return what has to go, by its part key. Of each position that is the most that one request wants, of several trades
    their sum; never more than is held. Where a whole position goes for more than its trades it goes as one; else what is of
    a trade goes by itself, and the rest beside it.
    """
    found: dict[str, Wanted] = {}
    of_trades: dict[str, list[Wanted]] = {}
    for one in _of_trades(book, asked, sent).values():
        of_trades.setdefault(one.position.key, []).append(one)
    for position in book.open_positions():
        general = _general(position, asked, halted(position))
        trades, held = of_trades.get(position.key, []), abs(position.quantity)
        if general is not None and general.units >= held:
            found[position.key] = _with_all(general, trades)
            continue
        for one in trades:
            if one.units > 0:
                found[one.part] = one if general is None else _with_all(one, [general])
        left = ZERO if general is None else general.units - sum((one.units for one in trades), ZERO)
        if general is not None and left > 0:
            found[position.key] = replace(general, units=left)
    return found


def units_of_positions(found: Iterable[Wanted]) -> dict[str, Decimal]:
    """Return how many units have to go of each position, by its key."""
    units: dict[str, Decimal] = {}
    for one in found:
        units[one.position.key] = units.get(one.position.key, ZERO) + one.units
    return units


def _general(position: Position, asked: Sequence[Asked], halted: bool) -> Wanted | None:
    """Return what a halt, and requests of more than a trade, want of a position."""
    held = abs(position.quantity)
    found = Wanted(position, held, HALT, (), HALTED, halted=True) if halted else None
    for request in (one.request for one in asked):
        if request.scope != "trade" and _named(request, position) and held > request.leave:
            before = found or Wanted(position, ZERO, request.urgency, (), _reason(request))
            found = before.joined(held - request.leave, request)
    return found


def _of_trades(book: Book, asked: Sequence[Asked], sent: Collection[Sent]) -> dict[str, Wanted]:
    """Return what requests want of trades, by part key; 0 units where the book only does not show yet, or not for them, that
    these are gone.
    """
    positions = {position.key: position for position in book.open_positions()}
    found: dict[str, Wanted] = {}
    for one in asked:
        request = one.request
        if request.scope != "trade":
            continue
        names = {leg.key: leg.group_id for leg in trade_legs(book, request.trade_id or "") or ()}
        gone = astray(one, book, sent)
        for key, units in too_much(book, request).items():
            if units > 0 and key in positions:
                part = part_key(key, request.trade_id)
                before = found.get(part) or Wanted(
                    positions[key], ZERO, request.urgency, (), _reason(request), request.trade_id, names[key]
                )
                found[part] = before.joined(units - gone.get(key, ZERO), request)
    return found


def _with_all(one: Wanted, others: Sequence[Wanted]) -> Wanted:
    """Return what has to go with the requests and the urgency of others that mean it too."""
    requests = (id_ for each in (one, *others) for id_ in each.requests)
    urgency = max((each.urgency for each in (one, *others)), key=URGENCIES.index)
    return replace(one, urgency=urgency, requests=tuple(dict.fromkeys(requests)))


def _reason(request: CloseRequest) -> str:
    return cut(f"{request.rule}: {request.reason}", REASON)


def named(request: CloseRequest, book: Book) -> dict[str, Decimal]:
    """Return the signed units, by key, of the positions that a request of more than a trade means."""
    return {p.key: p.quantity for p in book.open_positions() if _named(request, p)}


def _named(request: CloseRequest, position: Position) -> bool:
    contract = position.instrument
    return (
        request.strategy in (None, position.strategy)
        and request.symbol in (None, contract.symbol)
        and request.underlying in (None, contract.underlying)
    )


def in_closing_order(found: Mapping[str, Wanted]) -> list[Wanted]:
    """Short positions first: a spread's long leg protects until its short leg is gone."""
    return sorted(found.values(), key=lambda w: (w.position.quantity > 0, w.part))


# --- cover ------------------------------------------------------------------------------------------------


Cover = tuple[str, bool]
"""Positions of one underlying that can cover each other: puts, or calls and the underlying itself."""


def cover_of(contract: Instrument) -> Cover:
    """Return among which positions units of a contract cover, or are covered."""
    return contract.underlying, contract.right == "P"


def by_cover(book: Book) -> dict[Cover, list[Position]]:
    """Return the open positions that can cover each other."""
    found: dict[Cover, list[Position]] = {}
    for position in book.open_positions():
        found.setdefault(cover_of(position.instrument), []).append(position)
    return found


def sellable(
    one: Wanted, same: Sequence[Position], going: Container[str], alive: Callable[[str], Decimal]
) -> Decimal:
    """Return how many of the wanted units may go now, so that no short unit that is to be closed loses its cover.

    Over all strategies of the account: long calls and what is held of the underlying cover short calls, long puts
    short puts, one unit another, where they expire no earlier. A long unit that a short one needs waits until
    the fills have bought the short one back. Short units may always go. `same`: the positions that can cover each
    other, this one among them (`by_cover`); `going`: the positions of which something has to go; `alive`: units of a
    position in commands.
    """
    position = one.position
    if position.quantity < 0:
        return one.units
    shorts = [p for p in same if p.quantity < 0]
    if not any(p.key in going for p in shorts):
        return one.units
    room = [
        sum(
            (_units(p, p.quantity - alive(p.key)) for p in same if p.quantity > 0 and _end(p) >= need),
            ZERO,
        )
        + sum((_units(p, p.quantity) for p in shorts if _need(p) >= need), ZERO)
        for need in {_need(s) for s in shorts}
        if need <= _end(position)
    ]
    spare = min(room, default=ZERO) if room else None
    if spare is None:
        return one.units
    whole = Decimal(1) if position.instrument.kind is Kind.OPTION else Decimal("1E-12")
    units = EXACT_QUANTIZE.divide(max(spare, ZERO), position.instrument.multiplier)
    return min(one.units, units.quantize(whole, ROUND_FLOOR, EXACT_QUANTIZE))


def uncovered(book: Book, key: str) -> Decimal:
    """Return how many units of the underlying the options that share cover with a position are short of, 0 or more."""
    position = book.positions[key]
    same = [p for p in book.open_positions() if cover_of(p.instrument) == cover_of(position.instrument)]
    return max(-sum((_units(p, p.quantity) for p in same), ZERO), ZERO)


def _units(position: Position, quantity: Decimal) -> Decimal:
    return quantity * position.instrument.multiplier


def _end(position: Position) -> date:
    """Until when a long unit covers."""
    return position.instrument.expiry or date.max


def _need(position: Position) -> date:
    """From which expiry on a long unit covers this short one; what never expires is covered as long as anything lives."""
    return position.instrument.expiry or date.min
