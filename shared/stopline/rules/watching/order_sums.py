"""Orders beside their fills. With an execution a broker may say how much of its order is filled so far; what is booked of
the order must add up to that.

Fills come in any order, so an order is looked at when none of it was executed for as long as a delivery may be put off.
A broker may give an order's number again on another day. Then it is the newest fills, by session, that must add up.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation, localcontext

from stopline.ledger.amend import effective, is_amendment, on_its_day, root_of, says_no_day
from stopline.model.decimals import EXACT, ZERO
from stopline.model.fill import ORDER_FILLED, TRADES, Fill, FillKind
from stopline.rules.watching.reconcile import BreakKind, Finding

QUIET = timedelta(minutes=10)
_TELLS = TRADES | {FillKind.CORRECT, FillKind.BUST}


@dataclass(frozen=True, slots=True)
class OrderSum:
    """An order in one instrument: `told` units are filled by what its broker said last, at `last`, `booked` are here."""

    broker: str
    order: str
    symbol: str
    booked: Decimal
    told: Decimal
    last: datetime

    @property
    def finding(self) -> Finding:
        kind = None if self.booked == self.told else BreakKind.ORDER
        return Finding(self.symbol, kind, self.booked, self.told, brokers=(self.broker,), order=self.order)


def order_sums(fills: Iterable[Fill], session_of: Callable[[datetime], date]) -> list[OrderSum]:
    """Return the orders of which a broker said how much is filled, by what is booked of them. `fills` are an account's, or
    of some of its positions, amendments too, in any order.
    """
    known = {fill.key: fill for fill in fills}
    known |= {f.key: on_its_day(f, known.values()) for f in known.values() if says_no_day(f)}
    orders: dict[tuple[str, str, str], list[Fill]] = {}
    for fill in known.values():
        of = root_of(fill, known.get)[1] if is_amendment(fill) else fill
        if of is not None and of.order_id and of.kind in TRADES:
            orders.setdefault((of.broker, of.order_id, of.instrument.symbol), []).append(fill)
    with localcontext(EXACT):
        return [_sum(key, orders[key], session_of) for key in sorted(orders) if _teller(orders[key])]


def _sum(
    key: tuple[str, str, str], fills: Sequence[Fill], session_of: Callable[[datetime], date]
) -> OrderSum:
    teller = _teller(fills)
    assert teller is not None
    told, until = _told(teller) or ZERO, teller.executed_at
    seen = [fill for fill in fills if fill.executed_at <= until]
    # A correction that came between may be in what the broker said or not: either may add up.
    ways = [[step.fill for step in effective(seen)], [fill for fill in seen if not is_amendment(fill)]]
    booked = [_units(way) for way in ways]
    adds_up = told in booked or any(told in _newest(way, session_of) for way in ways)
    last = max(fill.executed_at for fill in fills)
    return OrderSum(*key, told if adds_up else booked[0], told, last)


def _teller(fills: Sequence[Fill]) -> Fill | None:
    """Return the fill that says last how much is filled: of one moment, the one that says most."""
    telling = [(f.executed_at, told, f.key, f) for f in fills if (told := _told(f)) is not None]
    return max(telling)[3] if telling else None


def _told(fill: Fill) -> Decimal | None:
    text = (fill.model_extra or {}).get(ORDER_FILLED)
    if fill.kind not in _TELLS or not isinstance(text, str):
        return None
    try:
        told = Decimal(text)
    except InvalidOperation:
        return None
    return told if told.is_finite() else None


def _newest(fills: Sequence[Fill], session_of: Callable[[datetime], date]) -> list[Decimal]:
    """Return what the fills of the newest session add up to, of the two newest, and so on."""
    by_session: dict[date, Decimal] = {}
    for fill in fills:
        session = session_of(fill.executed_at)
        by_session[session] = by_session.get(session, ZERO) + fill.quantity
    sums, total = [], ZERO
    for session in sorted(by_session, reverse=True):
        total += by_session[session]
        sums.append(total)
    return sums


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
