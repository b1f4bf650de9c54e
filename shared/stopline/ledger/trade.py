"""Trades: the legs of one strategy and underlying that belong together, with what they made and may lose.

Legs of one group id are a trade; else those of one order id, where that has several instruments. What is left
is matched: legs that were opened within 5 s of the first of them, and that together make a spread known by name
(`ledger/structure.py`), are a trade. Every other leg is one by itself, from flat to flat. A group or order id
that comes back more than a day after its trade was closed begins a new trade.

Money is in the instruments' currency; P&L is positive when made, fees when paid; `net_credit` is positive when
more was received at entry than paid. None is UNKNOWN, or no number (an unbounded loss says so).
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum
from functools import cached_property
from math import gcd

from stopline.ledger.expiry import product_of
from stopline.ledger.structure import Structure, structure_of
from stopline.ledger.trade_leg import MATCHED_WITHIN, TradeLeg
from stopline.ledger.trade_risk import TradeRisk, worst_risk
from stopline.model.decimals import EXACT, ZERO, decimal_text
from stopline.model.ids import digest, position_key
from stopline.model.instrument import Instrument, Kind

CLOSED_KEPT = timedelta(days=1)


class Status(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


@dataclass(frozen=True)
class Trade:
    """One trade; `legs` in the order in which they were opened, never empty."""

    account: str
    trade_id: str
    legs: tuple[TradeLeg, ...]

    @property
    def strategy(self) -> str:
        return self.legs[0].strategy

    @property
    def underlying(self) -> str:
        return self.legs[0].instrument.underlying

    @property
    def currency(self) -> str:
        return self.legs[0].instrument.currency

    @cached_property
    def status(self) -> Status:
        return Status.OPEN if any(leg.lots for leg in self.legs) else Status.CLOSED

    @cached_property
    def current(self) -> Sequence[TradeLeg]:
        """The legs since the trade was last flat, where an id came back; of a closed one those of its last time."""
        first, over = 0, self.legs[0].start[0]
        for index, leg in enumerate(self.legs):
            if over <= leg.start[0]:
                first = index
            if leg.lots:
                break
            over = max(over, leg.exit_at or leg.start[0])
        return self.legs[first:]

    @cached_property
    def structure(self) -> Structure:
        """What the legs since it was last flat make, at their largest."""
        return structure_of(_sizes(self.current, "most"))

    @cached_property
    def quantity(self) -> Decimal:
        """Units of the spread since it was last flat: what all legs' sizes are multiples of. Of a single leg its size,
        unsigned.
        """
        sizes = [abs(leg.most) for leg in self.current if leg.instrument.kind is Kind.OPTION]
        sizes = sizes or [abs(leg.most) for leg in self.current]
        if any(size != int(size) for size in sizes):
            return min(sizes)
        return Decimal(gcd(*map(int, sizes)))

    @property
    def entered_at(self) -> datetime:
        return self.legs[0].start[0]

    @property
    def opened_at(self) -> datetime:
        """When it was opened since it was last flat: `entered_at`, unless its id came back."""
        return self.current[0].start[0]

    @property
    def exited_at(self) -> datetime | None:
        """When the last unit was closed; None while the trade is open."""
        closed = [leg.exit_at for leg in self.legs if leg.exit_at]
        return max(closed) if closed and self.status is Status.CLOSED else None

    @cached_property
    def net_credit(self) -> Decimal:
        """What was received for all units opened since it was last flat, less what was paid for them, before fees."""
        return -_sum(leg.entry_worth for leg in self.current)

    @cached_property
    def realised(self) -> Decimal:
        """Realised P&L, gross of fees."""
        return _sum(leg.realised for leg in self.legs)

    @cached_property
    def fees(self) -> Decimal:
        return _sum(leg.fees for leg in self.legs)

    @cached_property
    def income(self) -> Decimal:
        """Funding and dividends received."""
        return _sum(leg.income for leg in self.legs)

    @cached_property
    def other_fees(self) -> Mapping[str, Decimal]:
        """Fees in other currencies than the trade's, less what came in in them. They are in no sum of the trade: they need a
        rate.
        """
        paid: dict[str, Decimal] = {}
        with localcontext(EXACT):
            for leg in self.legs:
                for currency, amount in leg.other_fees.items():
                    paid[currency] = paid.get(currency, ZERO) + amount
        return {currency: amount for currency, amount in sorted(paid.items()) if amount}

    @cached_property
    def net(self) -> Decimal:
        """Realised P&L after fees and with income, those in its own currency."""
        return EXACT.add(EXACT.subtract(self.realised, self.fees), self.income)

    @cached_property
    def cost(self) -> Decimal:
        """What the open units were bought for (negative: a credit)."""
        return _sum(leg.cost for leg in self.legs)

    @cached_property
    def open_units(self) -> Sequence[tuple[str, Instrument, Decimal]]:
        """What is open of each leg: key of the position, instrument, signed units."""
        return [
            (position_key(leg.strategy, leg.instrument.symbol), leg.instrument, leg.quantity)
            for leg in self.legs
            if leg.lots
        ]

    @cached_property
    def booked(self) -> Decimal:
        """What the trade has made, less what the open units cost: with their value it is the total P&L, net of the fees in
        its own currency.
        """
        return EXACT.subtract(self.net, self.cost)

    def time_in_trade(self, now: datetime) -> timedelta:
        """Return how long the trade has been, or was, open."""
        return (self.exited_at or now) - self.entered_at

    def risk(self, spot: Decimal | None = None) -> TradeRisk:
        """Return what the trade binds, and can make and lose, at the worst since it was last flat. `spot`: the price of its
        underlying, for what is naked; None where it is not known.
        """
        contracts = (leg.instrument for leg in self.legs)
        option = next((contract for contract in contracts if contract.kind is Kind.OPTION), None)
        return worst_risk(self.current, spot, product_of(option).style if option else "equity")


def group_legs(account: str, legs: Iterable[TradeLeg]) -> list[Trade]:
    """Return the trades that an account's legs make, in the order in which they were entered."""
    scopes: dict[tuple[str, str, str], list[TradeLeg]] = {}
    for leg in legs:
        contract = leg.instrument
        scopes.setdefault((leg.strategy, contract.underlying, contract.currency), []).append(leg)
    trades: list[Trade] = []
    for scope, members in scopes.items():
        trades += _trades_of(account, scope, sorted(members, key=_start))
    return sorted(trades, key=lambda trade: (trade.legs[0].start, trade.trade_id))


def closed_before(trade: Trade, moment: datetime) -> bool:
    """Tell whether a trade is over since before a moment."""
    exited = trade.exited_at
    return exited is not None and exited < moment


def _trades_of(account: str, scope: tuple[str, ...], legs: list[TradeLeg]) -> list[Trade]:
    tagged: dict[str, list[TradeLeg]] = {}
    alone: list[TradeLeg] = []
    for leg in legs:
        if leg.tag:
            tagged.setdefault(leg.tag, []).append(leg)
        else:
            alone.append(leg)
    trades = []
    for tag, members in tagged.items():
        for cycle in _cycles(members):
            symbols = {leg.instrument.symbol for leg in cycle}
            if tag.startswith("order:") and len(symbols) == 1:
                alone += cycle
            else:
                day = cycle[0].start[0].date().isoformat()  # not its first fill: that may still come
                trades.append(_trade(account, scope, cycle, f"{tag}:{day}"))
    for members in _matched(sorted(alone, key=_start)):
        trades.append(
            _trade(account, scope, members, f"{members[0].instrument.symbol}:{members[0].start[1]}")
        )
    return trades


def _trade(account: str, scope: tuple[str, ...], legs: Sequence[TradeLeg], name: str) -> Trade:
    return Trade(account, digest("trade", account, *scope, name), tuple(legs))


def _cycles(legs: Sequence[TradeLeg]) -> list[list[TradeLeg]]:
    """Cut legs of one id where all of them had been closed for a day."""
    cycles: list[list[TradeLeg]] = []
    for leg in legs:
        over = [before.exit_at for before in cycles[-1] if not before.lots] if cycles else []
        ended = max((moment for moment in over if moment), default=None)
        if not cycles or (len(over) == len(cycles[-1]) and ended and leg.start[0] - ended > CLOSED_KEPT):
            cycles.append([])
        cycles[-1].append(leg)
    return cycles


def _matched(legs: Sequence[TradeLeg]) -> list[list[TradeLeg]]:
    """Put legs together, given in the order of their start, that were opened within moments and make a known spread, with
    or without the shares among them. Where they make none, each stays alone: which of them belong together is not guessed.
    """
    groups, at = list[list[TradeLeg]](), 0
    while at < len(legs):
        until = bisect_right(legs, legs[at].start[0] + MATCHED_WITHIN, lo=at, key=lambda leg: leg.start[0])
        near = legs[at:until]
        options = [leg for leg in near if leg.instrument.kind is Kind.OPTION]
        spread = next((some for some in (near, options) if some and _is_spread(some)), [])
        groups += [list(spread)] if spread else []
        groups += [[leg] for leg in near if not any(leg is member for member in spread)]
        at = until
    return groups


def _is_spread(legs: Sequence[TradeLeg]) -> bool:
    distinct = len({leg.instrument.symbol for leg in legs}) == len(legs)
    return distinct and structure_of(_sizes(legs, "first")).is_spread


def _sizes(legs: Sequence[TradeLeg], which: str) -> list[tuple[Instrument, Decimal]]:
    """Return the distinct instruments of legs with their units; several legs in one instrument count together."""
    sizes: dict[str, tuple[Instrument, Decimal]] = {}
    for leg in legs:
        symbol = leg.instrument.symbol
        held = sizes[symbol][1] if symbol in sizes else ZERO
        sizes[symbol] = (leg.instrument, max(held, getattr(leg, which), key=abs))
    return list(sizes.values())


def _start(leg: TradeLeg) -> tuple[datetime, str]:
    return leg.start


def _sum(parts: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(parts, ZERO)


def describe_leg(leg: TradeLeg) -> dict[str, str | None]:
    """Return a leg as plain data for people and rows."""
    return {
        "symbol": leg.instrument.symbol,
        "size": decimal_text(leg.most),
        "quantity": decimal_text(leg.quantity),
        "entry_price": _text(leg.entry_price),
        "exit_price": _text(leg.exit_price),
        "realised": decimal_text(leg.realised),
        "fees": decimal_text(leg.fees),
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
