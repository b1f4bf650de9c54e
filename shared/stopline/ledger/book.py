"""One account's book: its positions, and what each session and currency made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext

from stopline.ledger.position import Booked, Position, fold, position_key
from stopline.model.decimals import EXACT, ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import Fill

KEPT_SESSIONS = 70
FLAT_KEPT = timedelta(days=7)

FillLog = Callable[[Position | None, Fill], Sequence[Fill]]
"""Given the position as it stands (None: not in the book) and a late fill, return all fills of that position
that were booked since the position was last flat before the late fill; all of them if in doubt.
"""


@dataclass(frozen=True, slots=True)
class Day:
    """What one session booked in one currency: realised P&L gross of fees, and fees paid.

    `carried`: how many of its fills closed units that an earlier session had opened.
    """

    realised: Decimal = ZERO
    fees: Decimal = ZERO
    carried: int = 0

    @property
    def net(self) -> Decimal:
        return EXACT.subtract(self.realised, self.fees)


NO_DAY = Day()


@dataclass(frozen=True, slots=True)
class Book:
    """A book at one moment. `days` is by (session, currency); `totals` by currency since the account began.

    `revision` counts commits; `fills` counts the fills booked.
    """

    account: str
    revision: int = 0
    fills: int = 0
    positions: Mapping[str, Position] = field(default_factory=dict)
    days: Mapping[tuple[date, str], Day] = field(default_factory=dict)
    totals: Mapping[str, Day] = field(default_factory=dict)

    def open_positions(self) -> list[Position]:
        """Return the positions that are not flat, by key."""
        return [self.positions[key] for key in sorted(self.positions) if not self.positions[key].is_flat]

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
        return any(
            position.lots[0].opened_at < begins for position in self.positions.values() if position.lots
        )

    def is_late(self, fill: Fill, now: datetime) -> bool:
        """Tell whether a fill may come before one that was folded already, so that the fill log is needed."""
        return _is_late(self.positions.get(position_key(fill.strategy, fill.instrument.symbol)), fill, now)

    def with_fills(
        self, fills: Iterable[Fill], session_of: Callable[[datetime], date], log: FillLog, now: datetime
    ) -> "Book":
        """Return the book after distinct new fills of this account, given in any order.

        A fill that comes late folds its position again out of the fill log, and the days and totals change by
        the difference. Raises Rejected when a symbol comes back as another contract.
        """
        positions = dict(self.positions)
        ledger = _Tally(dict(self.days), dict(self.totals), session_of)
        count = 0
        with localcontext(EXACT):
            for key, group in _by_position(fills).items():
                before = positions.get(key)
                _check_contract(before, group)
                positions[key] = _folded(before, group, ledger, log, now)
                count += len(group)
        return replace(
            self,
            revision=self.revision + 1,
            fills=self.fills + count,
            positions=positions,
            days=_recent(ledger.days),
            totals=ledger.totals,
        )

    def at_revision(self, revision: int) -> "Book":
        """Return the book as commit number `revision`."""
        return replace(self, revision=revision)

    def pruned(self, now: datetime) -> "Book":
        """Return the book without positions that have been flat for a week: the fill log still has them."""
        kept = {
            key: position
            for key, position in self.positions.items()
            if not position.is_flat or position.last is None or now - position.last[0] < FLAT_KEPT
        }
        return self if len(kept) == len(self.positions) else replace(self, positions=kept)


class _Tally:
    """Sums what fills book, by session and currency."""

    def __init__(
        self,
        days: dict[tuple[date, str], Day],
        totals: dict[str, Day],
        session_of: Callable[[datetime], date],
    ) -> None:
        self.days = days
        self.totals = totals
        self._session_of = session_of

    def add(self, currency: str, booked: Booked, sign: int) -> None:
        session = self._session_of(booked.at)
        carried = sign if booked.oldest and self._session_of(booked.oldest) < session else 0
        self._add(session, currency, sign * booked.realised, sign * booked.fee, carried)
        if booked.other_fee:
            self._add(session, booked.other_fee[0], ZERO, sign * booked.other_fee[1], 0)

    def _add(self, session: date, currency: str, realised: Decimal, fee: Decimal, carried: int) -> None:
        day = self.days.get((session, currency), NO_DAY)
        self.days[session, currency] = Day(day.realised + realised, day.fees + fee, day.carried + carried)
        total = self.totals.get(currency, NO_DAY)
        self.totals[currency] = Day(total.realised + realised, total.fees + fee)


def _is_late(position: Position | None, fill: Fill, now: datetime) -> bool:
    if position is None:  # never held, or flat for so long that the book has forgotten it
        return now - fill.executed_at >= FLAT_KEPT
    return position.last is not None and fill.order <= position.last


def _folded(
    before: Position | None, group: list[Fill], tally: _Tally, log: FillLog, now: datetime
) -> Position:
    """Fold new fills of one position onto it: at the end where they come later, else again out of the log."""
    first = group[0]
    currency = first.instrument.currency
    known = _known(before, group, log) if _is_late(before, first, now) else []
    if not known:
        position = before.copy() if before else Position(first.instrument, first.strategy)
        for fill in group:
            tally.add(currency, position.apply(fill), 1)
        return position
    was, booked_before = fold(known)
    _check_contract(was, group)
    for booked in booked_before:
        tally.add(currency, booked, -1)
    again, booked_after = fold([*known, *group])
    for booked in booked_after:
        tally.add(currency, booked, 1)
    if before:
        _carry_over(before, was, again)
    return again


def _known(before: Position | None, group: list[Fill], log: FillLog) -> list[Fill]:
    """Return the fills to fold the group with: since the position was last flat, or all.

    The log may give more, such as a fill of the very moment in which the position was flat and opened again.
    """
    new = {fill.key for fill in group}
    known = [f for f in log(before, group[0]) if f.key not in new]
    if before and before.cycle and group[0].order >= before.cycle:
        return [f for f in known if f.order >= before.cycle]
    return known


def _carry_over(before: Position, was: Position, again: Position) -> None:
    """Add what the position made before the point it was folded again from: that stands."""
    again.realised += before.realised - was.realised
    again.fees += before.fees - was.fees
    again.fills += before.fills - was.fills
    for name in before.other_fees.keys() | was.other_fees.keys():
        earlier = before.other_fees.get(name, ZERO) - was.other_fees.get(name, ZERO)
        amount = again.other_fees.pop(name, ZERO) + earlier
        if amount or name in before.other_fees:
            again.other_fees[name] = amount


def _by_position(fills: Iterable[Fill]) -> dict[str, list[Fill]]:
    groups: dict[str, list[Fill]] = {}
    for fill in sorted(fills, key=lambda f: f.order):
        groups.setdefault(position_key(fill.strategy, fill.instrument.symbol), []).append(fill)
    return groups


def _check_contract(before: Position | None, group: list[Fill]) -> None:
    contract = before.instrument if before else group[0].instrument
    for fill in group:
        if fill.instrument != contract:
            raise Rejected(
                "CONTRACT_CHANGED",
                f"fill {fill.key}: {contract.symbol} was booked as another contract "
                "(multiplier, currency or terms differ)",
            )


def _recent(days: dict[tuple[date, str], Day]) -> dict[tuple[date, str], Day]:
    """Keep the last sessions; older ones stand in BigQuery and in the totals."""
    if len(days) <= KEPT_SESSIONS:
        return days
    sessions = sorted({session for session, _ in days})[-KEPT_SESSIONS:]
    return {key: day for key, day in days.items() if key[0] >= sessions[0]}
