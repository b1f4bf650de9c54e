"""What a close request wants of its trade: what the book still shows open of it beyond what is left, less what has been
executed for it and the book counts for other trades.

Trades of one position share it. A fill that names its trade is booked on it; one that a broker hands back without
the name is booked in the lot order of the account, perhaps on another trade. What the trade then still shows must not
be sold once more.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from stopline.ledger.book import Book
from stopline.ledger.leg_name import name_of
from stopline.ledger.trade_leg import UNSPLIT
from stopline.model.closing import CloseRequest
from stopline.model.closing_state import Asked, Sent, SentLeg
from stopline.model.decimals import ZERO, divide
from stopline.model.ids import position_key
from stopline.rules.closing.splits import in_units_of, noted, since_split


@dataclass(frozen=True, slots=True)
class HeldLeg:
    """What a trade holds of one position: signed units, how many of them make one unit of the trade, and the group id by
    which fills name it.
    """

    key: str
    quantity: Decimal
    unit: Decimal
    group_id: str


def trade_legs(book: Book, trade_id: str) -> list[HeldLeg] | None:
    """Return the open legs of a trade; empty when it is closed, None when the book knows no such trade."""
    trade = book.trade(trade_id)
    if trade is None:
        return None
    size = trade.quantity
    return [
        HeldLeg(
            key=position_key(leg.strategy, leg.instrument.symbol),
            quantity=leg.quantity,
            unit=divide(abs(leg.most), size) if size else Decimal(1),
            group_id=name_of(leg.tag),
        )
        for leg in trade.legs
        if leg.is_open
    ]


def begun(
    request: CloseRequest, book: Book, known: Collection[Asked], sent: Collection[Sent], now: datetime
) -> Asked:
    """Return a request as it is taken. What earlier ones of its trade have sold astray is not asked for again."""
    splits = noted(request, book, {})
    asked = Asked(request=request, since=now, opened=_opened(book, request), splits=splits)
    same = [
        in_units_of(book, one)
        for one in known
        if request.trade_id and one.request.trade_id == request.trade_id
    ]
    gone = [astray(one, book, sent) for one in same]
    units = {
        key: count
        - max((one.get(key, ZERO) for one in gone), default=ZERO)
        + executed(asked, key, book, sent)
        for key, count in too_much(book, request).items()
    }
    return asked.model_copy(update={"units": units})


def _opened(book: Book, request: CloseRequest) -> dict[str, Decimal]:
    """Return how many units of which positions the trade of a request ever opened, splits left out: late fills of its
    opening add to them, fills that close it and splits change nothing.
    """
    trade = book.trade(request.trade_id or "")
    found: dict[str, Decimal] = {}
    for leg in trade.legs if trade else ():
        key = position_key(leg.strategy, leg.instrument.symbol)
        units = leg.opened if leg.split == UNSPLIT else divide(leg.opened * leg.split[1], leg.split[0])
        found[key] = found.get(key, ZERO) + abs(units)
    return found


def too_much(book: Book, request: CloseRequest) -> dict[str, Decimal]:
    """Return how many units of which positions the book shows of a trade beyond what a request leaves of it."""
    legs = trade_legs(book, request.trade_id or "") or []
    excess: dict[str, Decimal] = {}
    for leg in legs:
        excess[leg.key] = excess.get(leg.key, ZERO) + max(abs(leg.quantity) - request.leave * leg.unit, ZERO)
    return excess


def astray(one: Asked, book: Book, sent: Collection[Sent]) -> dict[str, Decimal]:
    """Return how many units of which positions the book shows of a request's trade although they have been sold for it."""
    excess = too_much(book, one.request)
    if not any(excess.values()):
        return {}
    ever = _opened(book, one.request)
    found = {}
    for key, units in excess.items():
        late = since_split(max(ever[key] - one.opened.get(key, ZERO), ZERO), one.splits.get(key))
        left = max(one.units.get(key, ZERO) + late - executed(one, key, book, sent), ZERO)
        if units > left:
            found[key] = units - left
    return found


def executed(one: Asked, key: str, book: Book, sent: Iterable[Sent]) -> Decimal:
    """Return how many units of a position the commands for a request's trade have closed: by their fills; where others hold
    the position too, by their broker's word if that is more, because fills that do not come would be theirs then.
    """
    legs = trade_legs(book, one.request.trade_id or "") or ()
    held = sum((leg.quantity for leg in legs if leg.key == key), ZERO)
    shared = key in book.positions and abs(book.positions[key].quantity) > abs(held)
    mine = [(s, leg) for s, leg in _legs_of(one, sent) if leg.key == key]
    closed = (max(leg.filled, s.told(leg)) if shared else leg.filled for s, leg in mine)
    return sum(closed, one.done.get(key, ZERO))


def why_astray(one: Asked, sent: Iterable[Sent]) -> str:
    """Say why the book does not show of a trade what was executed for it."""
    mine = list(_legs_of(one, sent))
    if any(leg.astray for _, leg in mine):
        return "the broker's fills do not name the trade"
    if any(s.told(leg) > leg.filled for s, leg in mine):
        return "the broker says that it has executed them, and their fills have not come"
    return "other trades of the position took them"


def _legs_of(one: Asked, sent: Iterable[Sent]) -> Iterator[tuple[Sent, SentLeg]]:
    for s in sent:
        for leg in s.legs:
            if leg.trade_id is not None and leg.trade_id == one.request.trade_id:
                yield s, leg
