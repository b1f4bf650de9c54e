"""What each session booked in each currency."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from stopline.ledger.position import Booked
from stopline.model.decimals import EXACT, ZERO

KEPT_SESSIONS = 70


@dataclass(frozen=True, slots=True)
class Day:
    """What one session booked in one currency: realised P&L gross of fees, fees paid, income (funding and
    dividends), and what was deposited (negative: withdrawn), which is no P&L.

    `carried`: how many of its fills closed units that an earlier session had opened.
    """

    realised: Decimal = ZERO
    fees: Decimal = ZERO
    carried: int = 0
    income: Decimal = ZERO
    flow: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return EXACT.add(EXACT.subtract(self.realised, self.fees), self.income)

    @property
    def money(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """The amounts alone, for comparison."""
        return self.realised, self.fees, self.income, self.flow


NO_DAY = Day()


class Tally:
    """Sums what fills book, by session and currency; and by `strategy`, which is that of the position at hand. `settle`
    adds the sums to what stood before: once, not fill by fill.
    """

    def __init__(
        self,
        days: dict[tuple[date, str], Day],
        totals: dict[str, Day],
        strategies: dict[tuple[str, str], Day],
        session_of: Callable[[datetime], date],
    ) -> None:
        self.days = days
        self.totals = totals
        self.strategies = strategies
        self.strategy = ""
        self._session_of = session_of
        self._more: dict[tuple[str, date, str], _Sums] = {}

    def add(self, currency: str, booked: Booked, sign: int) -> None:
        at, realised, fee, oldest, aside = booked
        session = self._session_of(at)
        sums = self._sums(session, currency)
        sums.realised += sign * realised
        sums.fees += sign * fee
        if oldest and self._session_of(oldest) < session:
            sums.carried += sign
        if aside is None:
            return
        sums.income += sign * aside.income
        if aside.other_fee:
            self._sums(session, aside.other_fee[0]).fees += sign * aside.other_fee[1]
        if aside.other_income:
            self._sums(session, aside.other_income[0]).income += sign * aside.other_income[1]
        if aside.flow:
            self._sums(session, aside.flow[0]).flow += sign * aside.flow[1]

    def settle(self) -> None:
        """Add what was summed to the days, totals and strategies."""
        for (strategy, session, currency), s in self._more.items():
            more = Day(s.realised, s.fees, s.carried, s.income, s.flow)
            self.days[session, currency] = _sum(self.days.get((session, currency), NO_DAY), more)
            lasting = replace(more, carried=0)
            self.totals[currency] = _sum(self.totals.get(currency, NO_DAY), lasting)
            own = (strategy, currency)
            self.strategies[own] = _sum(self.strategies.get(own, NO_DAY), lasting)
        self._more.clear()

    def _sums(self, session: date, currency: str) -> "_Sums":
        key = (self.strategy, session, currency)
        found = self._more.get(key)
        if found is None:
            found = self._more[key] = _Sums()
        return found


@dataclass(slots=True)
class _Sums:
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    carried: int = 0
    income: Decimal = ZERO
    flow: Decimal = ZERO


def _sum(one: Day, other: Day) -> Day:
    return Day(
        one.realised + other.realised,
        one.fees + other.fees,
        one.carried + other.carried,
        one.income + other.income,
        one.flow + other.flow,
    )


def recent(days: Mapping[tuple[date, str], Day]) -> Mapping[tuple[date, str], Day]:
    """Keep the last sessions; older ones stand in BigQuery and in the totals."""
    if len(days) <= KEPT_SESSIONS:
        return days
    sessions = sorted({session for session, _ in days})[-KEPT_SESSIONS:]
    return {key: day for key, day in days.items() if key[0] >= sessions[0]}
