"""One account's book: its positions, and what each session and currency made."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext

from stopline.ledger.amend import Effective, Find, effective, is_amendment, says_no_day
from stopline.ledger.arrivals import Arrivals, Reader, amended_beyond, amended_until, by_position, check_held
from stopline.ledger.days import NO_DAY, Day, Tally, recent
from stopline.ledger.position import FIFO, METHODS, Booked, Position
from stopline.ledger.position_table import PositionTable
from stopline.ledger.recall import Recall
from stopline.ledger.trade import Status, Trade
from stopline.ledger.trade_table import LegChanges, LegTable, pruned
from stopline.model.decimals import EXACT, ZERO, exactly
from stopline.model.errors import Rejected
from stopline.model.fill import ENDINGS, Fill
from stopline.model.instrument import Instrument

FLAT_KEPT = timedelta(days=7)

FillLog = Callable[[Position | None, Fill], Sequence[Fill]]
"""Given the position as it stands (None: not in the book) and a late fill, return all fills of that position
that were executed since the position was last flat before the late fill, or more of them; all of them for None. What amends
one of them is among them unless it was timed before that.
"""


@dataclass(frozen=True, slots=True)
class Book:
    """A book at one moment. `days` is by (session, currency); `totals` by currency since the account began;
    `strategies` by (strategy, currency) since it traded.

    `revision` counts commits; `fills` counts the fills booked, amendments too. `method` says which lots a fill
    closes, for as long as the book lives. `held` are amendments by the key of the fill that they are about: that
    fill has not come or, where an older version held them, came after them and is of another position than they say.
    `legs` are what trades are made of, by position. `since`: when its first fill was booked; None in a book of a version
    that did not note it. `orders_named`: from when on every fill booked names its order in the log; None when an older
    version, which does not, was the last to write.
    """

    account: str
    revision: int = 0
    fills: int = 0
    positions: Mapping[str, Position] = field(default_factory=dict)
    days: Mapping[tuple[date, str], Day] = field(default_factory=dict)
    totals: Mapping[str, Day] = field(default_factory=dict)
    method: str = FIFO
    held: Mapping[str, tuple[Fill, ...]] = field(default_factory=dict)
    strategies: Mapping[tuple[str, str], Day] = field(default_factory=dict)
    legs: LegTable = field(default_factory=LegTable)
    since: datetime | None = None
    orders_named: datetime | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"book {self.account}: method {self.method!r} is none of {', '.join(METHODS)}")

    def trades(self) -> Sequence[Trade]:
        """Return the open trades and those closed within a day, in the order in which they were entered."""
        return self.legs.trades(self.account)

    def trade(self, trade_id: str) -> Trade | None:
        """Return one of `trades`."""
        return self.legs.trade(self.account, trade_id)

    def open_trades(self) -> list[Trade]:
        """Return the trades with a leg that is not closed."""
        return [trade for trade in self.trades() if trade.status is Status.OPEN]

    def open_positions(self) -> list[Position]:
        """Return the positions that are not flat, by key."""
        table = PositionTable.of(self.positions)
        return [table[key] for key in table if not table.is_flat(key)]

    def count_open(self) -> int:
        """Return how many positions are not flat; none is read for it."""
        table = PositionTable.of(self.positions)
        return sum(not table.is_flat(key) for key in table)

    def count_lots(self, key: str | None = None) -> int:
        """Return how many lots are open, in all or of one position; none is read for it."""
        table = PositionTable.of(self.positions)
        return table.count_lots(key) if key else sum(map(table.count_lots, table))

    def net_quantity(self, symbol: str) -> Decimal:
        """Return what the account holds of a symbol over all strategies, signed."""
        with localcontext(EXACT):
            return sum((p.quantity for p in self.positions.values() if p.instrument.symbol == symbol), ZERO)

    def day(self, session: date, currency: str) -> Day:
        """Return what a session booked in a currency."""
        return self.days.get((session, currency), NO_DAY)

    def total(self, currency: str) -> Day:
        """Return what was booked in a currency since the account began."""
        return self.totals.get(currency, NO_DAY)

    def carried_into(self, session: date, begins: datetime) -> bool:
        """Tell whether anything was held when the present session began, at `begins`."""
        if any(day.carried for (of, _), day in self.days.items() if of == session):
            return True
        return any(position.open[0][2][0] < begins for position in self.positions.values() if position.open)

    def is_late(self, fill: Fill, now: datetime) -> bool:
        """Tell whether a fill may come before one that was folded already, so that the fill log is needed."""
        return _is_late(self.positions.get(fill.position_key), fill, now)

    def with_fills(
        self,
        fills: Iterable[Fill],
        session_of: Callable[[datetime], date],
        log: FillLog,
        now: datetime,
        find: Find = lambda _: None,
        recall: Recall | None = None,
    ) -> "Book":
        """Return the book after distinct new fills of this account, given in any order.

        A fill that comes late, a bust or a correction folds its position again out of the fill log, and the days
        and totals change by the difference. `find` looks up booked fills that amendments name; `recall`
        looks for legs that the book has forgotten. Raises Rejected when a symbol comes back as another contract, and
        TooManyHeld. What is booked must be in the log of the position where it counts, once that is known: `Reader.home`
        says which, of new fills and of those that are not `held` any more (`freed`).
        """
        positions: dict[str, Position] = {}
        ledger = Tally(dict(self.days), dict(self.totals), dict(self.strategies), session_of)
        new = {fill.key: fill for fill in fills}
        held = dict(self.held)
        legs = LegChanges(self.legs, self.method)
        groups = by_position(new, held, self.positions, Reader(new, find, log))
        check_held(held, new, find)
        with exactly():
            for key, group in groups.items():
                ledger.strategy = group.home.strategy
                refold = _Refold(ledger, log, held, legs, key)
                positions[key] = self._grown(self.positions.get(key), group, refold, now)
            if recall is not None:
                recall.bring_back(
                    legs, self.account, self.method, lambda fill: booked(fill, log, held, new.keys()), now
                )
            ledger.settle()
        return replace(
            self,
            revision=self.revision + 1,
            fills=self.fills + len(new),
            positions=PositionTable.of(self.positions).replaced(positions),
            days=ledger.days,
            totals=ledger.totals,
            held=held,
            strategies=ledger.strategies,
            legs=legs.table(),
        )

    def _grown(self, before: Position | None, group: Arrivals, refold: "_Refold", now: datetime) -> Position:
        """Return a position with what is new of it: added at its end where that is enough."""
        trades = group.trades
        named, before = before, _as_traded(before, trades)
        _check_contract(before, trades)
        amended = before is not None and before.amended
        at_end = bool(before and before.last and trades and trades[0].order > before.last)
        again = bool(group.amended or group.doubtful) or (amended and bool(trades) and not at_end)
        again = again or (amended and not group.is_beyond(before))
        again = again or before is not named or _forgotten(before, group, now)
        if again or not (before or trades):
            return refold.all(before, group.home, group.events, self.method)
        position = refold.since_flat(before, group, now, self.method) if trades else before
        assert position is not None
        if group.late_fees:
            position = position if trades else position.copy()
            for fee, root in group.late_fees:
                refold.tally.add(position.instrument.currency, position.add_late_fee(fee, root), 1)
            refold.add_late_fees(group)
        return position

    def at_revision(self, revision: int) -> "Book":
        """Return the book as commit number `revision`."""
        return self if revision == self.revision else replace(self, revision=revision)

    def pruned(self, now: datetime) -> "Book":
        """Return the book without positions that have been flat for a week, trades that have been closed for a day, and
        sessions of long ago: the fill log still has them. Where a position comes again its sums begin at nothing, until it
        is folded again as a whole.
        """
        days = recent(self.days)
        legs = pruned(self.account, self.legs, now)
        table = PositionTable.of(self.positions)
        gone = {
            key
            for key in table
            if table.is_flat(key) and (last := table[key].last) is not None and now - last[0] >= FLAT_KEPT
        }
        if not gone and legs is self.legs and len(days) == len(self.days):
            return self
        return replace(self, positions=table.replaced({}, gone), legs=legs, days=days)


def _is_late(position: Position | None, fill: Fill, now: datetime) -> bool:
    if position is None:  # never held, or flat for so long that the book has forgotten it
        return now - fill.executed_at >= FLAT_KEPT
    return position.last is not None and fill.order <= position.last


@dataclass(frozen=True, slots=True)
class _Refold:
    """Folds positions again out of the fill log, and books the difference."""

    tally: Tally
    log: FillLog
    held: Mapping[str, tuple[Fill, ...]]
    legs: LegChanges
    key: str  # of the position

    def since_flat(self, before: Position | None, group: Arrivals, now: datetime, method: str) -> Position:
        """Fold new trades of one position onto it: at the end where they come later, else again out of the log."""
        trades = group.trades
        late = _is_late(before, trades[0], now)
        known = _known(before, group.events, trades[0], self.log) if late else []
        if not known:
            return self._appended(before, trades, method, group.events)
        if amended_beyond(known, self.held):
            return self.all(before, group.home, trades, method, group.events)
        again, was = self._again(before, trades[0], known, trades, method)
        if before and _in_cycle(before, trades[0]):
            _carry_over(before, was, again)
        return again

    def all(
        self,
        before: Position | None,
        home: Fill,
        group: list[Fill],
        method: str,
        apart: Sequence[Fill] = (),
    ) -> Position:
        """Fold a position that has amendments again, from its very first fill, with what is new. `apart`: what is
        booked by the caller.
        """
        new = {fill.key for fill in (*group, *apart)}
        known = booked(home, self.log, self.held, new)
        again, _ = self._again(before, home, known, group, method)
        again.amended = True
        if again.is_flat:  # it is kept for a week after fills that were busted too
            again.last = max((f.order for f in (*known, *group) if not is_amendment(f)), default=again.last)
        again.amended_until = amended_until((*known, *group))
        undated = [fill.executed_at for fill in (*known, *group) if says_no_day(fill)]
        again.undated_until = max(undated, default=None)
        return again

    def _appended(
        self, before: Position | None, group: list[Fill], method: str, events: list[Fill]
    ) -> Position:
        """Fold new fills at the end of a position. `events`: all that is new of it; late fees are booked by the caller."""
        first = group[0]
        contract = before.instrument if before else _contract_of(group)
        position = before.copy() if before else Position(contract, first.strategy, method=method)
        for fill in group:
            self.tally.add(contract.currency, position.apply(fill), 1)
        if (before is None or before.is_flat) and any(fill.kind in ENDINGS and fill.fee for fill in group):
            known = booked(first, self.log, self.held, {fill.key for fill in events})
            self.legs.refold(self.key, effective(known), effective([*known, *group]))
        else:
            self.legs.append(self.key, group)
        return position

    def _again(
        self, before: Position | None, home: Fill, known: list[Fill], group: list[Fill], method: str
    ) -> tuple[Position, Position]:
        """Return a position as known and new fills make it, and as the known ones did."""
        stood, stands = effective(known), effective([*known, *group])
        was, booked_before = fold_steps(home, stood, method)
        currency, trades = was.instrument.currency, [fill for fill in group if not is_amendment(fill)]
        was = _as_traded(was, trades) or was
        _check_contract(was, trades)
        again, booked_after = fold_steps(home, stands, method)
        self.legs.refold(self.key, stood, stands)
        for made in booked_before:
            self.tally.add(currency, made, -1)
        for made in booked_after:
            self.tally.add(again.instrument.currency, made, 1)
        return again, was

    def add_late_fees(self, group: Arrivals) -> None:
        """Add late fees to the trades of their fills, out of the fill log where a fill is of several."""
        lost = [fee for fee, root in group.late_fees if not self.legs.add_late_fee(self.key, fee, root)]
        if lost:
            new = {fill.key for fill in group.events}
            known = booked(group.home, self.log, self.held, new) + group.trades
            given = [fee for fee, _ in group.late_fees if fee not in lost]
            self.legs.refold(self.key, effective([*known, *given]), effective([*known, *given, *lost]))


def booked(home: Fill, log: FillLog, held: Mapping[str, tuple[Fill, ...]], new: Set[str]) -> list[Fill]:
    """Return all booked fills of a position, without new ones, and what amends them."""
    known = [fill for fill in log(None, home) if fill.key not in new]
    keys = {fill.key for fill in known}
    # An older version left what names another position, and came before its fill, out of this position's log.
    return known + [
        waited
        for key in sorted({*keys, *new})
        for waited in held.get(key, ())
        if waited.key not in keys and waited.key not in new
    ]


def fold_steps(home: Fill, steps: Sequence[Effective], method: str) -> tuple[Position, list[Booked]]:
    """Fold the fills of one position as they stand after their amendments."""
    contract = _contract_of([step.fill for step in steps] or [home])
    position = Position(contract, home.strategy, method=method)
    made = []
    for step in steps:
        made.append(position.apply(step.fill))
        made += [position.add_late_fee(fee, step.fill) for fee in step.late_fees]
    return position, made


def _known(before: Position | None, events: list[Fill], first: Fill, log: FillLog) -> list[Fill]:
    """Return the fills to fold the new ones with: since the position was last flat, or all.

    The log may give more, such as a fill of the very moment in which the position was flat and opened again.
    """
    new = {fill.key for fill in events}  # a fee may be in the log for longer than its fill
    known = [f for f in log(before, first) if f.key not in new]
    if before and before.cycle and _in_cycle(before, first):
        return [f for f in known if f.order >= before.cycle]
    return known


def _in_cycle(position: Position, fill: Fill) -> bool:
    """Tell whether a fill comes after the point where a position was last flat."""
    return position.cycle is not None and fill.order >= position.cycle


def _forgotten(before: Position | None, group: Arrivals, now: datetime) -> bool:
    """Tell whether a late fee is of a fill that may lie before what the book remembers of the position: there it may be
    busted.
    """
    new = {fill.key for fill in group.trades}
    return any(
        now - root.executed_at >= FLAT_KEPT
        and root.key not in new
        and (before is None or not _in_cycle(before, root))
        for _, root in group.late_fees
    )


def _carry_over(before: Position, was: Position, again: Position) -> None:
    """Add what the position made before the point it was folded again from: that stands."""
    again.realised += before.realised - was.realised
    again.fees += before.fees - was.fees
    again.income += before.income - was.income
    again.fills += before.fills - was.fills
    for name in before.other_fees.keys() | was.other_fees.keys():
        earlier = before.other_fees.get(name, ZERO) - was.other_fees.get(name, ZERO)
        amount = again.other_fees.pop(name, ZERO) + earlier
        if amount:
            again.other_fees[name] = amount


def _contract_of(fills: Sequence[Fill]) -> Instrument:
    """Return the contract of a position: as its first trade names it, else as its first payment does."""
    return next((fill for fill in fills if not fill.is_payment), fills[0]).instrument


def _is_of(fill: Fill, contract: Instrument) -> bool:
    """Tell whether a fill is of a contract. What is paid for a holding may be in another currency than its own."""
    if fill.instrument == contract or not fill.is_payment:
        return fill.instrument == contract
    return fill.instrument.model_copy(update={"currency": contract.currency}) == contract


def _as_traded(before: Position | None, trades: Sequence[Fill]) -> Position | None:
    """Return a position of which nothing but payments has come as its first trades name it: those may be in another
    currency.
    """
    if before is None or before.cycle is not None or before.open:
        return before
    if all(fill.is_payment for fill in trades):
        return before
    contract = _contract_of(trades)
    same = before.instrument.model_copy(update={"currency": contract.currency}) == contract
    return before.in_currency_of(contract) if same and contract != before.instrument else before


def _check_contract(before: Position | None, group: list[Fill]) -> None:
    if not group:
        return
    contract = before.instrument if before else _contract_of(group)
    for fill in group:
        if not _is_of(fill, contract):
            raise Rejected(
                "CONTRACT_CHANGED",
                f"fill {fill.key}: {contract.symbol} was booked as another contract "
                "(multiplier, currency or terms differ)",
            )
