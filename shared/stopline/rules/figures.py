"""What an account's numbers are at one moment: P&L, equity and exposure, in the account's currency.

None is UNKNOWN and spreads: a sum with an unknown part is unknown. Loss of information is never a zero.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from stopline.ledger.book import Book
from stopline.ledger.payoff import Leg, payoff
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO
from stopline.model.instrument import Kind
from stopline.rules.net_greeks import AccountGreeks

Rate = Callable[[str], Decimal | None]
"""Money of the account's currency for one unit of another currency; None: unknown."""


@dataclass(frozen=True, slots=True)
class Valued:
    """A position at its mark; `mark`, `value` and `unrealised` are None without a usable price."""

    position: Position
    mark: Decimal | None
    value: Decimal | None
    unrealised: Decimal | None


@dataclass(frozen=True, slots=True)
class DayStart:
    """The P&L since the account began, as it stood when a session began, and where that number is from."""

    session: date
    total: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class Figures:
    """An account's numbers. Money in the account's currency; P&L net of fees; exposures positive."""

    account: Account
    at: datetime
    session: date
    positions: Sequence[Valued]
    realised_day: Decimal | None
    unrealised: Decimal | None
    total: Decimal | None  # realised + unrealised - fees since the account began
    equity: Decimal | None
    day_start: DayStart | None
    pnl_day: Decimal | None
    position_values: Mapping[str, Decimal | None]  # by position key: |market value|
    exposures: Mapping[str, Decimal | None]  # by underlying
    flows: Decimal | None = ZERO  # deposits less withdrawals: capital, never P&L
    greeks: AccountGreeks | None = None  # None: not asked for

    @property
    def day_start_equity(self) -> Decimal | None:
        """Equity when the session began: what the daily loss is a percentage of."""
        return add([self.account.capital, self.flows, self.day_start.total]) if self.day_start else None

    @property
    def gross_exposure(self) -> Decimal | None:
        return add(self.exposures.values())

    @property
    def unpriced(self) -> list[str]:
        """Symbols of open positions without a usable price."""
        return sorted({v.position.instrument.symbol for v in self.positions if v.mark is None})


def add(parts: Iterable[Decimal | None]) -> Decimal | None:
    """Sum exactly; unknown if a part is."""
    total = ZERO
    for part in parts:
        if part is None:
            return None
        total = EXACT.add(total, part)
    return total


def figures(
    account: Account,
    book: Book,
    positions: Sequence[Valued],
    rate: Rate,
    day_start: DayStart | None,
    last_total: tuple[datetime, Decimal] | None,
    now: datetime,
) -> Figures:
    """Work out an account's numbers.

    `day_start` is the stored one (of any session), `last_total` the last complete valuation before now: when
    the session has rolled, the new day's start comes from them, or is unknown.
    """
    session = account.sessions.session_of(now)
    realised = add(_converted(day.net, currency, rate) for currency, day in book.totals.items())
    realised_day = add(
        _converted(day.net, currency, rate) for (s, currency), day in book.days.items() if s == session
    )
    unrealised = add(_converted(v.unrealised, v.position.instrument.currency, rate) for v in positions)
    total = add([realised, unrealised])
    flows = add(_converted(day.flow, currency, rate) for currency, day in book.totals.items())
    start = _day_start(account, session, book, realised, realised_day, day_start, last_total)
    return Figures(
        account=account,
        at=now,
        session=session,
        positions=positions,
        realised_day=realised_day,
        unrealised=unrealised,
        total=total,
        equity=add([account.capital, flows, total]),
        day_start=start,
        pnl_day=None if total is None or start is None else EXACT.subtract(total, start.total),
        position_values={
            v.position.key: _converted(
                None if v.value is None else abs(v.value), v.position.instrument.currency, rate
            )
            for v in positions
        },
        exposures=_exposures(positions, rate),
        flows=flows,
    )


def _converted(amount: Decimal | None, currency: str, rate: Rate) -> Decimal | None:
    if amount is None:
        return None
    if not amount:
        return ZERO
    factor = rate(currency)
    return None if factor is None else EXACT.multiply(amount, factor)


def _day_start(
    account: Account,
    session: date,
    book: Book,
    realised: Decimal | None,
    realised_day: Decimal | None,
    stored: DayStart | None,
    last_total: tuple[datetime, Decimal] | None,
) -> DayStart | None:
    """Return the session's start: exact where nothing was held over; else as stored; else the last valuation."""
    sessions = account.sessions
    begins = sessions.session_start(session)
    if not book.carried_into(session, begins):
        if realised is None or realised_day is None:
            return None
        exact = EXACT.subtract(realised, realised_day)  # each time: a late fill may restate an earlier day
        return DayStart(session, exact, "ledger: nothing was held over the start")
    if stored is not None and stored.session == session:
        return stored
    fresh = sessions.session_start(sessions.previous_session(session))
    if last_total is not None and fresh <= last_total[0] < begins:
        return DayStart(
            session, last_total[1], f"last complete valuation, {last_total[0].isoformat(timespec='seconds')}"
        )
    return None


def _exposures(positions: Sequence[Valued], rate: Rate) -> dict[str, Decimal | None]:
    """Return the money at risk by underlying.

    Shares, coins and futures count with the size of their net value. Options count with the worst payoff at
    expiry of all legs of an expiry (a spread once, at its width); where that is unbounded, with the value of
    the units short.
    """
    groups: dict[str, list[Valued]] = {}
    for valued in positions:
        groups.setdefault(valued.position.instrument.underlying, []).append(valued)
    return {underlying: exposure(group, rate) for underlying, group in sorted(groups.items())}


def exposure(group: Sequence[Valued], rate: Rate) -> Decimal | None:
    """Return the money at risk of positions on one underlying."""
    linear = [v for v in group if v.position.instrument.kind is not Kind.OPTION]
    net = add(_converted(v.value, v.position.instrument.currency, rate) for v in linear)
    expiries: dict[tuple[date | None, str], list[Position]] = {}
    for v in group:
        if v.position.instrument.kind is Kind.OPTION:
            contract = v.position.instrument
            expiries.setdefault((contract.expiry, contract.currency), []).append(v.position)
    options = [_converted(_option_risk(legs), currency, rate) for (_, currency), legs in expiries.items()]
    return add([None if net is None else abs(net), *options])


def _option_risk(positions: Sequence[Position]) -> Decimal:
    legs = [
        Leg(p.instrument.right or "C", p.instrument.strike or ZERO, p.quantity, p.instrument.multiplier)
        for p in positions
    ]
    result = payoff(legs)
    worst = EXACT.minus(result.worst)
    if result.slope < 0:
        worst = max(worst, EXACT.multiply(-result.slope, max(leg.strike for leg in legs)))
    paid = add(p.cost for p in positions) or ZERO  # below 0: a credit, which does not make it safer
    return EXACT.add(worst, max(paid, ZERO))
