"""Orders beside their fills. With an execution a broker may say how much of its order is filled so far; what is booked of
the order must add up to the most that it said.

How a broker counts is not always known, so what is booked is a range: an execution that says nothing of its order may be
counted or not, one that was busted or corrected as it was or as it is. A broker may give an order's number again on another
day: an order begins in a session of which some execution says that nothing was filled before it, and after one that is
whole in itself and would make it more than was told. What was adjusted by hand is of the last order of its number that had
begun by then and lacked it, or else of the last one. What was filled before the first fill here was not lost where it is
what an order before may have filled, the last one or one executed since its session, which this one may replace under a new
number, or where the account began that day. Where it is neither, and other orders came before, it cannot be told.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from heapq import heappop, heappush
from itertools import groupby

from stopline.ledger.amend import (
    any_day_key,
    effective,
    is_amendment,
    on_its_day,
    root_of,
    says_no_day,
    target_key,
)
from stopline.model.decimals import EXACT, ZERO, parse_decimal
from stopline.model.fill import ORDER_FILLED, TRADES, Fill, FillKind, Side
from stopline.rules.watching.finding import BreakKind, Finding

QUIET = timedelta(minutes=10)
_TELLS = TRADES | {FillKind.CORRECT, FillKind.BUST}
_Number = tuple[str, str, str]  # broker, order, symbol
_Key = tuple[str, str, str, date]  # and the session that it began in
_Before = tuple[bool, bool]  # whether any order was, and whether a replaced one explains what is lacking


@dataclass(frozen=True, slots=True)
class OrderSum:
    """An order in one instrument: `told` units are filled by what its broker said, `booked` are here. `last`: when its
    newest fill was executed; `came`: when one was received last, or executed. `session`: that it began in, `until`: of its
    last execution. `kind`: what is wrong; None: it adds up, or nothing can be said.
    """

    broker: str
    order: str
    symbol: str
    booked: Decimal
    told: Decimal
    last: datetime
    came: datetime
    session: date | None
    until: date | None
    kind: BreakKind | None = None

    @property
    def finding(self) -> Finding:
        return Finding(
            self.symbol,
            self.kind,
            self.booked,
            self.told,
            brokers=(self.broker,),
            order=self.order,
            session=self.session,
        )


def order_sums(
    fills: Iterable[Fill],
    session_of: Callable[[datetime], date],
    came: Mapping[str, datetime] | None = None,
    began: date | None = None,
) -> list[OrderSum]:
    """Return the orders of which a broker said how much is filled, by what is booked of them: its executions, and what was
    adjusted by hand in its name. `fills` are an account's, or of some of its instruments, amendments too, in any order.
    `came`: when fills were received, by key; `began`: the session of the account's first fill. Of an order over a split,
    whose units are of two kinds, nothing can be said.
    """
    known = {fill.key: fill for fill in fills}
    with localcontext(EXACT):
        orders = _orders(known)
        counts = {
            (*number, count.session): count
            for number, parts in orders.items()
            for count in _counted(parts, session_of)
        }
        before = _before(counts)
        splits: dict[str, list[datetime]] = {}
        for fill in known.values():
            if fill.kind is FillKind.SPLIT:
                splits.setdefault(fill.instrument.symbol, []).append(fill.executed_at)
        moments = {symbol: sorted(some) for symbol, some in splits.items()}
        sums = []
        for key in sorted(key for key, count in counts.items() if key[1] and count.told is not None):
            count = counts[key]
            heard = max(
                (came or {}).get(fill.key, fill.executed_at) for part in count.parts for fill in part.fills
            )
            old = count.session == began
            kind = None if _is_split(moments.get(key[2], ()), count) else count.wrong(before[key], old)
            booked, told = count.figures(kind)
            came_at = max(heard, count.last)
            sums.append(
                OrderSum(*key[:3], booked, told, count.last, came_at, count.session, count.until, kind)
            )
        return sums


@dataclass(slots=True)
class _Part:
    """One execution of an order, or an adjustment in its name, and what amends it."""

    fill: Fill
    amendments: list[Fill] = field(default_factory=list)

    @property
    def fills(self) -> list[Fill]:
        return [self.fill, *self.amendments]

    def units(self, side: Side) -> tuple[Decimal, Decimal]:
        """Return how many units of it its broker may have counted, from and to. An adjustment counts as it stands."""
        if self.fill.kind is FillKind.ADJUST:
            stands = sum((one.fill.signed_quantity for one in effective(self.fills)), ZERO)
            units = stands if side is Side.BUY else -stands
            return units, units
        counted = [
            fill.quantity for fill in self.fills if fill.kind in TRADES or fill.kind is FillKind.CORRECT
        ]
        if _told(self.fill) is None or any(fill.kind is FillKind.BUST for fill in self.amendments):
            counted.append(ZERO)
        return min(counted), max(counted)


@dataclass(slots=True)
class _Count:
    """What is booked of an order, from `least` to `most`; `told`: the most that its broker said; None: nothing. `gap`: what
    it had filled before all of it that is here. `first`: when any of its number was executed; `opened`: the first of it, in
    `session`; `until`: the session of its last execution.
    """

    side: Side
    first: datetime
    opened: datetime
    last: datetime
    session: date
    until: date
    parts: list[_Part] = field(default_factory=list)
    least: Decimal = ZERO
    most: Decimal = ZERO
    told: Decimal | None = None
    gap: Decimal | None = None

    def adds_up(self, elsewhere: Decimal = ZERO) -> bool:
        return self.told is not None and self.least <= self.told - elsewhere <= self.most

    def is_explained(self, carried: Sequence[Decimal]) -> bool:
        """Tell whether it adds up with one of these sizes, in order, filled before it."""
        if self.told is None or not carried:
            return False
        at = bisect_left(carried, max(self.gap or ZERO, self.told - self.most))
        return at < len(carried) and self.adds_up(carried[at])

    def begins_after(self, older: "_Count") -> bool:
        """Tell whether what is of one session before is of another order with this one's number."""
        if self.gap == ZERO:
            return True
        if self.told is None or self.gap is None or older.gap != ZERO or not older.adds_up():
            return False
        # what is there twice since is too much without that session too
        return self.least + older.least > max(self.told, older.filled) and self.least <= self.told - self.gap

    def lacks(self, units: Decimal) -> bool:
        """Tell whether units of an adjustment, negative where it takes away, bring it nearer to what was told."""
        return self.told is not None and (
            (units > 0 and self.most < self.told) or (units < 0 and self.least > self.told)
        )

    def add(self, older: "_Count") -> None:
        """Add what is of a session before."""
        self.side, self.opened, self.session = older.side, older.opened, older.session
        self.last = max(self.last, older.last)
        self.parts += older.parts
        self.least += older.least
        self.most += older.most
        self.gap = min((gap for gap in (self.gap, older.gap) if gap is not None), default=None)
        self.told = max((told for told in (self.told, older.told) if told is not None), default=None)

    def adjust(self, part: _Part) -> None:
        units, _ = part.units(self.side)
        self.parts.append(part)
        self.least += units
        self.most += units
        self.last = max(self.last, *(fill.executed_at for fill in part.fills))

    def wrong(self, before: _Before, old: bool) -> BreakKind | None:
        """Return what is wrong with it. `old`: it may be older than the account."""
        told, gap, (any_before, explained) = self.filled, self.gap or ZERO, before
        if self.adds_up() or (old and gap and self.adds_up(gap)):
            return None
        if told < self.least or not gap or not any_before:
            return BreakKind.ORDER
        return None if explained else BreakKind.ORDER_START

    @property
    def filled(self) -> Decimal:
        return self.most if self.told is None else self.told

    @property
    def may_have_filled(self) -> set[Decimal]:
        """Return what may be filled of it: the most that was told; where it adds up, also what was told last or booked."""
        if not self.adds_up():
            return {self.filled}
        said = [
            (fill.order, told) for p in self.parts for fill in p.fills if (told := _told(fill)) is not None
        ]
        return {self.filled, self.least, self.most, *([max(said)[1]] if said else ())}

    def figures(self, kind: BreakKind | None) -> tuple[Decimal, Decimal]:
        """Return what is booked, of the range what is nearest to what was told, and what was told."""
        told = self.filled
        return (told if kind is None else max(self.least, min(self.most, told))), told


def _orders(known: Mapping[str, Fill]) -> dict[_Number, list[_Part]]:
    """Return the executions by order, of no order under an empty number, with their amendments."""
    undated = [fill for fill in known.values() if says_no_day(fill)]
    if undated:
        numbered: dict[str | None, list[Fill]] = {}
        for fill in known.values():
            numbered.setdefault(any_day_key(fill), []).append(fill)
        alike = {fill.key: numbered.get(target_key(on_its_day(fill, ())), ()) for fill in undated}
        known = {**known, **{fill.key: on_its_day(fill, alike[fill.key]) for fill in undated}}
    parts = {
        fill.key: _Part(fill)
        for fill in known.values()
        if fill.kind in TRADES or (fill.kind is FillKind.ADJUST and fill.order_id)
    }
    for fill in known.values():
        if is_amendment(fill) and (part := parts.get(root_of(fill, known.get)[0])):
            part.amendments.append(fill)
    orders: dict[_Number, list[_Part]] = {}
    for part in parts.values():
        key = (part.fill.broker, part.fill.order_id or "", part.fill.instrument.symbol)
        orders.setdefault(key, []).append(part)
    return orders


def _counted(parts: Sequence[_Part], session_of: Callable[[datetime], date]) -> list[_Count]:
    """Add up the orders that had a number, newest first: sessions from the newest back to the one that it began in."""
    first = min(part.fill.executed_at for part in parts)
    executed = sorted(
        (p for p in parts if p.fill.kind in TRADES), key=lambda part: part.fill.order, reverse=True
    )
    counts: list[_Count] = []
    for session, some in groupby(executed, key=lambda part: session_of(part.fill.executed_at)):
        older = _of_session(list(some), session, first)
        if not counts or counts[-1].begins_after(older):
            counts.append(older)
        else:
            counts[-1].add(older)
    by_hand = sorted((p for p in parts if p.fill.kind not in TRADES), key=lambda part: part.fill.order)
    if not counts:
        return [_of_session(by_hand[::-1], session_of(first), first)]
    for part in by_hand:
        session = session_of(part.fill.executed_at)
        begun = [count for count in counts if count.session <= session] or counts[-1:]
        lacking = (count for count in begun if count.lacks(part.units(count.side)[0]))
        next(lacking, begun[0]).adjust(part)
    return counts


def _of_session(parts: list[_Part], session: date, first: datetime) -> _Count:
    """Add up what is of one session, newest first."""
    oldest = parts[-1].fill
    last = max(fill.executed_at for part in parts for fill in part.fills)
    count = _Count(oldest.side, first, oldest.executed_at, last, session, session, parts)
    for part in parts:
        least, most = part.units(oldest.side)
        count.least += least
        count.most += most
        told = _told(part.fill)
        if told is not None:
            start = told - part.fill.quantity
            count.gap = start if count.gap is None else min(count.gap, start)
        words = [said for fill in part.fills if (said := _told(fill)) is not None]
        count.told = max(words if count.told is None else [*words, count.told], default=None)
    return count


def _before(counts: Mapping[_Key, _Count]) -> dict[_Key, _Before]:
    """Return of each order what was before it, of its broker, instrument and side: whether any was; and, where it does not
    add up, whether it does with what may have been filled of the one that opened last, or of one that was executed since its
    session: any of them may be replaced.
    """
    alike: dict[tuple[str, str, Side], list[tuple[datetime, _Key]]] = {}
    for key, count in counts.items():
        alike.setdefault((key[0], key[2], count.side), []).append((count.opened, key))
    before: dict[_Key, _Before] = {}
    for some in alike.values():
        first = sorted({(counts[key].first, key[:3]) for _, key in some})[:2]
        carried: list[Decimal] = []  # sizes in order, one list for all: a set for each took their square
        ends: list[tuple[date, Decimal]] = []  # a heap of the same, by the session of the last execution
        for opened, key in sorted(some):
            count = counts[key]
            explained = not count.adds_up() and count.is_explained(carried)
            before[key] = any(moment <= opened and other != key[:3] for moment, other in first), explained
            if key[1]:
                for units in count.may_have_filled:
                    insort(carried, units)
                    heappush(ends, (count.until, units))
                while ends[0][0] < count.session:  # no later order goes on from these
                    del carried[bisect_left(carried, heappop(ends)[1])]
    return before


def _is_split(moments: Sequence[datetime], count: _Count) -> bool:
    at = bisect_left(moments, count.opened)
    return at < len(moments) and moments[at] <= count.last


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


def adjusted_in_no_name(fills: Iterable[Fill]) -> list[Fill]:
    """Return the adjustments of units by hand that stand and name no order."""
    known = {fill.key: fill for fill in fills if fill.kind is FillKind.ADJUST or is_amendment(fill)}
    about = [
        f
        for f in known.values()
        if (root := root_of(f, known.get)[1] if is_amendment(f) else f) and root.key in known
    ]
    return [one.fill for one in effective(about) if one.fill.quantity and not one.fill.order_id]


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
