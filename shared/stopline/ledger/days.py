"""What each session booked in each currency."""

from collections.abc import Callable
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
    """Sums what fills book, by session and currency; and by `strategy`, which is that of the position at hand."""

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

    def add(self, currency: str, booked: Booked, sign: int) -> None:
        at, realised, fee, oldest, aside = booked
        session = self._session_of(at)
        carried = sign if oldest and self._session_of(oldest) < session else 0
        income = sign * aside.income if aside else ZERO
        self._add(session, currency, Day(sign * realised, sign * fee, carried, income))
        if aside and aside.other_fee:
            self._add(session, aside.other_fee[0], Day(fees=sign * aside.other_fee[1]))
        if aside and aside.flow:
            self._add(session, aside.flow[0], Day(flow=sign * aside.flow[1]))

    def _add(self, session: date, currency: str, more: Day) -> None:
        self.days[session, currency] = _sum(self.days.get((session, currency), NO_DAY), more)
        lasting = replace(more, carried=0)
        self.totals[currency] = _sum(self.totals.get(currency, NO_DAY), lasting)
        own = (self.strategy, currency)
        self.strategies[own] = _sum(self.strategies.get(own, NO_DAY), lasting)


def _sum(one: Day, other: Day) -> Day:
    return Day(
        one.realised + other.realised,
        one.fees + other.fees,
        one.carried + other.carried,
        one.income + other.income,
        one.flow + other.flow,
    )


def recent(days: dict[tuple[date, str], Day]) -> dict[tuple[date, str], Day]:
    """Keep the last sessions; older ones stand in BigQuery and in the totals."""
    if len(days) <= KEPT_SESSIONS:
        return days
    sessions = sorted({session for session, _ in days})[-KEPT_SESSIONS:]
    return {key: day for key, day in days.items() if key[0] >= sessions[0]}
