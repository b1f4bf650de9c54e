"""What an account's numbers are at one moment: P&L, equity and exposure, in the account's currency.

None is UNKNOWN and spreads: a sum with an unknown part is unknown. Loss of information is never a zero.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from stopline.ledger.book import Book
from stopline.ledger.days import KEPT_SESSIONS
from stopline.ledger.trade import Trade
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.instrument import Kind
from stopline.rules.limits.best_case import best_unrealised, known_futures
from stopline.rules.limits.flows import flowing, follow_flows
from stopline.rules.limits.net_greeks import AccountGreeks
from stopline.rules.limits.streak import streak_after
from stopline.rules.limits.track import (
    NEW,
    DayStart,
    Track,
    first_session,
    peaks,
    period_start,
    recent,
    sampled,
)
from stopline.rules.orders.open_risk import OpenRisk, Rate, Valued, add, converted, exposure, open_risks

__all__ = ["DayStart", "Figures", "Market", "Rate", "Valued", "add", "exposure", "figures", "settling"]

RISK_LEVELS = ((Decimal(20), "CRITICAL"), (Decimal(15), "HIGH"), (Decimal(10), "MEDIUM"))  # R2.8: drawdown, %
SETTLING = timedelta(seconds=5)  # how long the legs of a spread may come one after another
MOST = Decimal(10) ** 6  # %: more is told as this much


@dataclass(frozen=True, slots=True)
class Market:
    """What the market says beside the marks; what is missing is UNKNOWN.

    `spreads`: ask less bid in percent of their middle, by symbol; `spots`: prices of underlyings; `volatilities`:
    yearly (0.2 is 20 %), by underlying; `correlations` of daily returns, by the two underlyings in order.
    """

    spreads: Mapping[str, Decimal] = field(default_factory=dict)
    spots: Mapping[str, Decimal] = field(default_factory=dict)
    volatilities: Mapping[str, Decimal] = field(default_factory=dict)
    correlations: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)


NO_MARKET = Market()


class AtBest(NamedTuple):
    """The most that a strategy's P&L may be, and that of all others together; None: nobody can tell."""

    pnl: Decimal | None
    others: Decimal | None


@dataclass(frozen=True, slots=True)
class Figures:
    """An account's numbers. Money in the account's currency; P&L net of fees; exposures positive.

    `track` is what to remember after this moment. `strategies`: the P&L of each since it began. `..._at_best`: no more than
    this whatever the missing prices are (`best_case.py`), the P&L itself where none is missing; None: nobody can tell.
    """

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
    counted: Decimal | None = ZERO  # those of them that percentages take notice of: see `follow_flows`
    greeks: AccountGreeks | None = None  # None: not asked for
    risks: Mapping[str, OpenRisk] = field(default_factory=dict)  # by underlying
    strategies: Mapping[str, Decimal | None] = field(default_factory=dict)
    track: Track = NEW
    market: Market = NO_MARKET
    rates: Mapping[str, Decimal | None] = field(
        default_factory=dict
    )  # by pair (`EURUSD`): those that are needed
    settling: frozenset[str] = frozenset()  # underlyings with an option leg that was executed just now
    open_trades: Callable[[], Sequence[Trade]] = tuple  # worked out for who asks
    total_at_best: Decimal | None = None
    strategies_at_best: Callable[[], Mapping[str, AtBest]] = (
        dict  # worked out for who asks; empty where `total` is known
    )
    is_flowing: bool = False  # money has come or gone that `counted` lacks: no percentage is sure

    @property
    def day_start_equity(self) -> Decimal | None:
        """Equity when the session began, with the flows since: what the daily loss is a percentage of."""
        return self.equity_at(self.day_start.basis) if self.day_start else None

    def equity_at(self, total: Decimal | None) -> Decimal | None:
        """Return the equity with another P&L since the start, at the deposits and withdrawals that percentages are at."""
        return add([self.account.capital, self.counted, total])

    def surely_at(self, total: Decimal | None) -> Decimal | None:
        """Return the same for what is lost at least; None while flows have come that percentages take no notice of yet: what
        the equity will be then, and the P&L that they are measured from, nobody can tell before all has a price.
        """
        return None if self.is_flowing else self.equity_at(total)

    def made_since(self, basis: Decimal | None) -> Decimal | None:
        """Return the P&L since it stood at a number; None without one of them."""
        return None if self.total is None or basis is None else EXACT.subtract(self.total, basis)

    def made_at_best(self, basis: Decimal | None) -> Decimal | None:
        """Return the most that may have been made since the P&L stood at a number."""
        best = self.total_at_best
        return None if best is None or basis is None else EXACT.subtract(best, basis)

    @property
    def gross_exposure(self) -> Decimal | None:
        return add(self.exposures.values())

    @property
    def unpriced(self) -> list[str]:
        """Symbols of open positions without a usable price."""
        return sorted({v.position.instrument.symbol for v in self.positions if v.mark is None})

    @property
    def unrated(self) -> list[str]:
        """Pairs of currencies, such as EURUSD, whose rate is needed and UNKNOWN."""
        return sorted(pair for pair, rate in self.rates.items() if rate is None)

    @property
    def peak(self) -> Decimal:
        """The P&L that the account's drawdown is measured from."""
        track = self.track
        return track.day_peak if self.account.risk.peak_mode == "end_of_day" else track.peak.top

    @property
    def drawdown(self) -> Decimal | None:
        """How far, in percent of the equity at the peak, equity is below it: 0 or above, losses only."""
        return self.below(self.peak, self.total, self.equity_at(ZERO))

    @property
    def drawdown_at_best(self) -> Decimal | None:
        """The drawdown, no smaller than which it is whatever the missing prices are."""
        return self.below(self.peak, self.total_at_best, self.surely_at(ZERO))

    def beside(self, pnl: Decimal | None) -> Decimal | None:
        """Return the equity without a strategy's P&L: what its own comes on top of."""
        equity = self.equity_at(self.total)
        return None if equity is None or pnl is None else EXACT.subtract(equity, pnl)

    def below(self, peak: Decimal, total: Decimal | None, base: Decimal | None) -> Decimal | None:
        """Return how far a P&L is below its peak, in percent of `base` and the peak."""
        if total is None or base is None:
            return None
        whole = EXACT.add(base, peak)
        fallen = max(EXACT.subtract(peak, total), ZERO)
        if whole <= 0:
            return MOST if fallen else ZERO
        return min(divide(EXACT.multiply(fallen, Decimal(100)), whole, places=6), MOST)

    @property
    def risk_level(self) -> str | None:
        """LOW, MEDIUM, HIGH or CRITICAL by the drawdown (R2.8); None: UNKNOWN."""
        drawdown = self.drawdown
        if drawdown is None:
            return None
        return next((name for least, name in RISK_LEVELS if drawdown >= least), "LOW")


def figures(
    account: Account,
    book: Book,
    positions: Sequence[Valued],
    rate: Rate,
    day_start: DayStart | None,
    last_total: tuple[datetime, Decimal] | None,
    now: datetime,
    track: Track = NEW,
    market: Market = NO_MARKET,
) -> Figures:
    """Work out an account's numbers.

    `day_start` is the stored one (of any session), `last_total` the last complete valuation before now: when
    the session has rolled, the new day's start comes from them, or is unknown. `track` is what was remembered.
    """
    session = account.sessions.session_of(now)
    realised = add(converted(day.net, currency, rate) for currency, day in book.totals.items())
    realised_day = _realised_since(book, session, rate)
    unrealised = add(converted(v.unrealised, v.position.instrument.currency, rate) for v in positions)
    total = add([realised, unrealised])
    flows = add(converted(day.flow, currency, rate) for currency, day in book.totals.items())
    sessions = account.sessions
    risks = open_risks(positions, rate, account.risk.margin_rates, market.spots)
    strategies = _strategies(book, positions, rate)
    paid_in = {currency: day.flow for currency, day in book.totals.items()}
    own = account.risk.strategy_capital
    track, day_start = follow_flows(track, day_start, paid_in, account.capital, rate, total, strategies, own)
    start = period_start(sessions, session, book, realised, realised_day, day_start, last_total)

    def since(period: str, stored: DayStart | None) -> DayStart | None:
        first = first_session(sessions, session, period)
        if first == session:
            return start
        return period_start(
            sessions, first, book, realised, _realised_since(book, first, rate), stored, last_total
        )

    remembered = replace(
        peaks(track, total, start, strategies, account.risk.peaks_since),
        week=since("week", track.week),
        month=since("month", track.month),
        samples=sampled(track.samples, now, total, _born(book, account)),
        recent=recent(track.recent, now, total),
        streak=streak_after(track.streak, book.trades(), rate, now),
    )
    futures = {*account.measures.futures, *known_futures(positions)} if total is None else set()
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
            v.position.key: converted(
                None if v.value is None else abs(v.value), v.position.instrument.currency, rate
            )
            for v in positions
        },
        exposures={underlying: risk.exposure for underlying, risk in risks.items()},
        flows=flows,
        counted=flows
        if track.flows is None
        else add(converted(amount, currency, rate) for currency, amount in track.flows.items()),
        risks=risks,
        strategies=strategies,
        track=remembered,
        market=market,
        rates=_rates(account, book, positions, rate),
        settling=settling(positions, now),
        open_trades=book.open_trades,
        total_at_best=total
        if total is not None
        else add([realised, best_unrealised(positions, rate, futures)]),
        strategies_at_best=cache(lambda: _at_best(book, positions, rate, futures)) if total is None else dict,
        is_flowing=total is None and track.flows not in (None, flowing(paid_in)),
    )


def settling(positions: Sequence[Valued], now: datetime) -> frozenset[str]:
    """Return the underlyings of which an option leg was executed just now."""
    return frozenset(
        v.position.instrument.underlying
        for v in positions
        if v.position.priced_at is not None
        and v.position.instrument.kind is Kind.OPTION
        and abs(now - v.position.priced_at) < SETTLING
    )


def _rates(
    account: Account, book: Book, positions: Sequence[Valued], rate: Rate
) -> dict[str, Decimal | None]:
    """Return the rates of all currencies that the account has money in."""
    currencies = {v.position.instrument.currency for v in positions}
    currencies |= {currency for currency, day in book.totals.items() if day.net or day.flow}
    own = account.currency
    return {f"{currency}{own}": rate(currency) for currency in sorted(currencies) if currency != own}


def _born(book: Book, account: Account) -> datetime | None:
    """Return when the account's first session began; None where it has none, or it is too long ago to be known."""
    known = {session for session, _ in book.days}
    return account.sessions.session_start(min(known)) if 0 < len(known) < KEPT_SESSIONS else None


def _realised_since(book: Book, first: date, rate: Rate) -> Decimal | None:
    """Return what was booked in the sessions from `first` on, `first` alone where it is the last."""
    return add(converted(day.net, currency, rate) for (s, currency), day in book.days.items() if s >= first)


def _strategies(book: Book, positions: Sequence[Valued], rate: Rate) -> dict[str, Decimal | None]:
    """Return each strategy's P&L since it began: realised + unrealised - fees."""
    parts: dict[str, list[Decimal | None]] = {}
    for (name, currency), day in sorted(book.strategies.items()):
        parts.setdefault(name, []).append(converted(day.net, currency, rate))
    for v in positions:
        amount = converted(v.unrealised, v.position.instrument.currency, rate)
        parts.setdefault(v.position.strategy, []).append(amount)
    return {name: add(amounts) for name, amounts in parts.items()}


def _at_best(
    book: Book, positions: Sequence[Valued], rate: Rate, futures: Collection[str]
) -> dict[str, AtBest]:
    """Return what strategies have made at best, each beside the others: these together no more than one by one."""
    booked: dict[str, list[Decimal | None]] = {}
    held: dict[str, list[Valued]] = {}
    for (name, currency), day in book.strategies.items():
        booked.setdefault(name, []).append(converted(day.net, currency, rate))
    for v in positions:
        held.setdefault(v.position.strategy, []).append(v)
    found = {
        name: add([*booked.get(name, ()), best_unrealised(held.get(name, ()), rate, futures)])
        for name in sorted(booked.keys() | held.keys())
    }
    unbound = {name for name, best in found.items() if best is None}
    whole = add(best for best in found.values() if best is not None) or ZERO
    return {
        name: AtBest(best, None if unbound - {name} else EXACT.subtract(whole, best or ZERO))
        for name, best in found.items()
    }
