"""Round trips: what a trader counts as one win or one loss.

A trade that its fills name by a group id is one by itself. Other trades in the same positions, open at the same time, are
one together, from flat to flat: whoever scales in by several orders has one position, though the ledger keeps a trade for
each order. It has ended when nothing of it is open, and has made what all its trades have.

The ledger forgets a closed trade after a day, and a trip may go on: what is older is carried, added up to one part.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import NamedTuple

from stopline.ledger.trade import Trade
from stopline.model.decimals import EXACT, ZERO
from stopline.model.ids import position_key

AMENDED_FOR = timedelta(hours=23)  # shorter than the ledger keeps a closed trade
MOST = 100  # closed trades that are remembered one by one
Place = tuple[datetime, str]
"""When a trade was closed, and its id."""
OPEN = datetime.max.replace(tzinfo=UTC)


class Part(NamedTuple):
    """A trade, or several that are carried as one: `of` which positions, or which group; `at`: when closed, or `OPEN`;
    `trade`: the one closed last; `net`: what was made in `currency` after its fees; `other`: fees in other currencies.
    """

    of: str
    entered: datetime
    at: datetime
    trade: str
    currency: str
    net: Decimal
    other: tuple[tuple[str, Decimal], ...] = ()

    @property
    def place(self) -> Place:
        return self.at, self.trade


Trip = Sequence[Part]


def round_trips(trades: Iterable[Trade], kept: Sequence[Part]) -> tuple[list[Trip], list[Trip]]:
    """Return the trips that have ended, and those that go on: of the ledger's trades, and what is `kept` of older ones."""
    subjects: dict[str, list[Part]] = {}
    for part in kept:
        subjects.setdefault(part.of, []).append(part)
    known = {of: tuple(parts) for of, parts in subjects.items()}
    still_open = []
    for trade in trades:
        if trade.exited_at is None:
            still_open.append(trade)
            continue
        part = _part(trade, trade.exited_at)
        inside = known.get(part.of, ())
        if not any(each.entered <= part.entered and part.place <= each.place for each in inside):
            subjects.setdefault(part.of, []).append(part)
    for trade in still_open if subjects else ():
        of = _subject(trade)
        if of in subjects:
            subjects[of].append(_part(trade, OPEN))
    trips = [trip for parts in subjects.values() for trip in _apart(parts)]
    ended = [trip for trip in trips if all(part.at < OPEN for part in trip)]
    return ended, [trip for trip in trips if any(part.at == OPEN for part in trip)]


def trip_end(trip: Trip) -> Place:
    """Return when a trip was closed, and its last trade: as long as the ledger knows any of it, it knows that one."""
    return max(part.place for part in trip)


def made(trip: Trip) -> tuple[Decimal, str, list[tuple[str, Decimal]]]:
    """Return what a trip has made, in which currency, and the fees in others."""
    whole = _together(trip)
    return whole.net, whole.currency, [fee for fee in whole.other if fee[1]]


def carry(trips: Iterable[Trip], now: datetime) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return what to keep of trips: one part of each for what changes no more (closed for `AMENDED_FOR`, or not among the
    newest `MOST`), and the parts that may.
    """
    closed = [[part for part in trip if part.at < OPEN] for trip in trips]
    places = sorted(part.place for parts in closed for part in parts)
    before = places[-MOST - 1] if len(places) > MOST else None
    settled, young = [], []
    for parts in closed:
        old = [p for p in parts if now - p.at >= AMENDED_FOR or (before and p.place <= before)]
        settled += [_together(old)] if old else []
        young += [part for part in parts if part not in old]
    return tuple(settled), tuple(young)


def _part(trade: Trade, at: datetime) -> Part:
    other = tuple(fee for leg in trade.legs for fee in leg.other_fees.items())
    return Part(_subject(trade), trade.entered_at, at, trade.trade_id, trade.currency, trade.net, other)


def _subject(trade: Trade) -> str:
    """Return what a trade is of: its group, or its positions."""
    legs = trade.legs
    if legs[0].tag.startswith("group:"):
        return trade.trade_id
    return "+".join(sorted({position_key(leg.strategy, leg.instrument.symbol) for leg in legs}))


def _apart(parts: list[Part]) -> Iterator[Trip]:
    """Yield the parts that were open at the same time, without a moment in between at which none was."""
    trip: list[Part] = []
    over = OPEN
    for part in sorted(parts, key=lambda part: (part.entered, part.at)) if len(parts) > 1 else parts:
        if trip and part.entered >= over:
            yield trip
            trip = []
        over = max(over, part.at) if trip else part.at
        trip.append(part)
    yield trip


def _together(parts: Trip) -> Part:
    at, trade = trip_end(parts)
    other: dict[str, Decimal] = {}
    with localcontext(EXACT):
        for currency, amount in (fee for part in parts for fee in part.other):
            other[currency] = other.get(currency, ZERO) + amount
        net = sum((part.net for part in parts), ZERO)
    entered = min(part.entered for part in parts)
    return Part(parts[0].of, entered, at, trade, parts[0].currency, net, tuple(sorted(other.items())))
