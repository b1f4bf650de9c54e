"""Orders beside their fills. With an execution a broker may say how much of its order is filled so far; what is booked of
the order must add up to that.

Fills come in any order, so an order is looked at when none of it was executed, or came, for as long as a delivery may be
put off. A broker may give an order's number again on another day. Then it is the newest fills, by session, that must add up.
An order that replaces another one under a new number may carry on what that one had filled, and one that was partly filled
when Stopline began what was filled before: that is in what its broker says from its first fill on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext

from stopline.ledger.amend import effective, is_amendment, on_its_day, root_of, says_no_day
from stopline.model.decimals import EXACT, ZERO, parse_decimal
from stopline.model.fill import ORDER_FILLED, TRADES, Fill, FillKind, Side
from stopline.rules.watching.reconcile import BreakKind, Finding

QUIET = timedelta(minutes=10)
_TELLS = TRADES | {FillKind.CORRECT, FillKind.BUST}


@dataclass(frozen=True, slots=True)
class OrderSum:
    """An order in one instrument: `told` units are filled by what its broker said last, `booked` are here. `last`: when the
    newest fill was executed; `came`: when one was received last, or executed.
    """

    broker: str
    order: str
    symbol: str
    booked: Decimal
    told: Decimal
    last: datetime
    came: datetime

    @property
    def finding(self) -> Finding:
        kind = None if self.booked == self.told else BreakKind.ORDER
        return Finding(self.symbol, kind, self.booked, self.told, brokers=(self.broker,), order=self.order)


def order_sums(
    fills: Iterable[Fill],
    session_of: Callable[[datetime], date],
    came: Mapping[str, datetime] | None = None,
    began: date | None = None,
) -> list[OrderSum]:
    """Return the orders of which a broker said how much is filled, by what is booked of them. `fills` are an account's, or
    of some of its positions, amendments too, in any order. `came`: when fills were received, by key; `began`: the session
    of the account's first fill. Of an order over a split, whose units are of two kinds, nothing can be said: it adds up.
    """
    known = {fill.key: fill for fill in fills}
    known |= {f.key: on_its_day(f, known.values()) for f in known.values() if says_no_day(f)}
    orders: dict[tuple[str, str, str], list[Fill]] = {}
    for fill in known.values():
        of = root_of(fill, known.get)[1] if is_amendment(fill) else fill
        if of is not None and of.order_id and of.kind in TRADES:
            orders.setdefault((of.broker, of.order_id, of.instrument.symbol), []).append(fill)
    with localcontext(EXACT):
        splits = [fill for fill in known.values() if fill.kind is FillKind.SPLIT]
        told = [key for key in sorted(orders) if _teller(orders[key])]
        return [_sum(key, orders, splits, session_of, came or {}, began) for key in told]


def _sum(
    key: tuple[str, str, str],
    orders: Mapping[tuple[str, str, str], Sequence[Fill]],
    splits: Iterable[Fill],
    session_of: Callable[[datetime], date],
    came: Mapping[str, datetime],
    began: date | None,
) -> OrderSum:
    fills = orders[key]
    teller = _teller(fills)
    assert teller is not None
    told, until = _told(teller) or ZERO, teller.executed_at
    seen = [fill for fill in fills if fill.executed_at <= until]
    # A correction that came between may be in what the broker said or not: either may add up.
    ways = [[step.fill for step in effective(seen)], [fill for fill in seen if not is_amendment(fill)]]
    booked = [_units(way) for way in ways]
    first, last = min(fill.executed_at for fill in fills), max(fill.executed_at for fill in fills)
    adds_up = (
        told in booked
        or any(s.instrument.symbol == key[2] and first <= s.executed_at <= last for s in splits)
        or any(
            _units(part) == told or _is_carried(part, told, key, orders, session_of, began)
            for way in ways
            for part in _newest(way, session_of)
        )
    )
    heard = max(last, *(came.get(fill.key, fill.executed_at) for fill in fills))
    return OrderSum(*key, told if adds_up else booked[0], told, last, heard)


def _is_carried(
    fills: Sequence[Fill],
    told: Decimal,
    key: tuple[str, str, str],
    orders: Mapping[tuple[str, str, str], Sequence[Fill]],
    session_of: Callable[[datetime], date],
    began: date | None,
) -> bool:
    """Tell whether what is missing was missing at the first fill already, and is what orders before had filled, or may be of
    before the account's first fill.
    """
    start = min((fill.executed_at for fill in fills if _told(fill) is not None), default=None)
    if start is None:
        return False
    said = [units for fill in fills if fill.executed_at == start and (units := _told(fill)) is not None]
    carried = max(said) - _units(fill for fill in fills if fill.executed_at <= start)
    if carried <= ZERO or told - _units(fills) != carried:
        return False
    opened = min(fill.executed_at for fill in fills)
    return session_of(opened) == began or carried in _ended(key, fills[0].side, opened, orders)


def _ended(
    key: tuple[str, str, str],
    side: Side,
    until: datetime,
    orders: Mapping[tuple[str, str, str], Sequence[Fill]],
) -> set[Decimal]:
    """Return what may have been filled of an order before: by one order of its broker, instrument and side that ended by a
    moment, as told or booked, or by the newest few of them.
    """
    before = []
    for other, fills in orders.items():
        end = max(fill.executed_at for fill in fills)
        if other != key and (other[0], other[2]) == (key[0], key[2]) and end <= until:
            teller = _teller(fills)
            units = _units(step.fill for step in effective(fills) if step.fill.side is side)
            before.append((end, other, units, _told(teller) if teller else None))
    sums, total = set[Decimal](), ZERO
    for _, _, units, told in sorted(before, key=lambda one: one[:2], reverse=True):
        total += units
        sums |= {units, total} | ({told} if told is not None and units else set())
    return sums


def _teller(fills: Sequence[Fill]) -> Fill | None:
    """Return the fill that says last how much is filled: of one moment, the one that says most."""
    telling = [(f.executed_at, told, f.key, f) for f in fills if (told := _told(f)) is not None]
    return max(telling)[3] if telling else None


def _told(fill: Fill) -> Decimal | None:
    """Return how much of its order is filled by what a fill says; None where it says nothing that can be: no plain decimal
    number, one below 0, or one below what was executed just now.
    """
    text = (fill.model_extra or {}).get(ORDER_FILLED)
    if fill.kind not in _TELLS or not isinstance(text, str):
        return None
    try:
        told = parse_decimal(text)
    except ValueError:
        return None
    return told if told >= (fill.quantity if fill.kind in TRADES else ZERO) else None


def _newest(fills: Sequence[Fill], session_of: Callable[[datetime], date]) -> Iterator[list[Fill]]:
    """Yield the fills of the newest session, of the two newest, and so on."""
    by_session: dict[date, list[Fill]] = {}
    for fill in fills:
        by_session.setdefault(session_of(fill.executed_at), []).append(fill)
    part: list[Fill] = []
    for session in sorted(by_session, reverse=True):
        part = [*part, *by_session[session]]
        yield part


def _units(fills: Iterable[Fill]) -> Decimal:
    return sum((fill.quantity for fill in fills), ZERO)


def settled_by_hand(one: OrderSum, fills: Iterable[Fill]) -> bool:
    """Tell whether a person has adjusted the instrument since an order's last fill: then somebody has looked at it."""
    return any(
        fill.kind is FillKind.ADJUST and fill.instrument.symbol == one.symbol and fill.executed_at > one.last
        for fill in fills
    )


def settled_by_statement(
    one: OrderSum,
    breaks: Iterable[str],
    waits: Mapping[str, str],
    complete_at: Iterable[datetime | None],
    quiet: timedelta,
) -> bool:
    """Tell whether complete statements of all brokers of after an order's last fill agree with the book in its instrument:
    what is held is right, whatever the order says. `breaks` and `waits` are the last pass's.
    """
    told = list(complete_at)
    if not told or one.symbol in {*breaks, *waits}:
        return False
    return all(moment is not None and moment >= one.last + quiet for moment in told)
