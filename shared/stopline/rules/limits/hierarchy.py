"""What an account's trades come to at every level: account > underlying > strategy > trade.

Every level has its own figures: P&L, margin, exposure, share of the exposure, Greeks. Margin and exposure are not sums of
what is below: legs of one underlying and settlement cover one another at the level at which they are looked at together.
Counted are the open trades and those closed within a day. Money is in the account's currency; P&L is positive when
made, fees when paid, margin and exposure are positive. None is UNKNOWN and spreads.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from typing import NamedTuple

from stopline.ledger.lifecycle import SpotOf
from stopline.ledger.position import Position
from stopline.ledger.trade import Status, Trade
from stopline.ledger.trade_leg import TradeLeg
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.ids import position_key
from stopline.rules.limits.figures import Rate, Valued, add, exposure
from stopline.rules.limits.net_greeks import NetGreeks
from stopline.rules.orders.open_risk import options_margin
from stopline.rules.watching.trades import MarkOf

GreeksOf = Callable[[str], NetGreeks | None]
"""The Greeks of a whole position, by its key; None: UNKNOWN."""


@dataclass(frozen=True, slots=True)
class Level:
    """One node. `net` = realised + unrealised - fees + income; payments in another currency than a trade's are taken off its
    fees. `margin` is of options, by their payoff; what shares,
    futures and coins bind the broker says. `concentration`: percent of the account's exposure.
    """

    name: str
    realised: Decimal | None
    unrealised: Decimal | None
    fees: Decimal | None
    income: Decimal | None
    margin: Decimal | None
    exposure: Decimal | None
    greeks: NetGreeks
    open_trades: int
    trades: int
    concentration: Decimal | None = None
    parts: "tuple[Level, ...]" = ()

    @property
    def net(self) -> Decimal | None:
        fees = None if self.fees is None else -self.fees
        return add([self.realised, self.unrealised, fees, self.income])


class Marks(NamedTuple):
    """What is known of the market: marks and Greeks of positions by key, exchange rates, prices of underlyings."""

    mark_of: MarkOf
    greeks_of: GreeksOf
    rate: Rate
    spot_of: SpotOf


def hierarchy(account: str, trades: Sequence[Trade], marks: Marks) -> Level:
    """Return the levels of an account, parts in the order of their names, trades in that of their entry."""
    held = _held(trades)
    underlyings = []
    for underlying, of_it in _by(trades, lambda trade: trade.underlying).items():
        strategies = []
        for strategy, some in _by(of_it, lambda trade: trade.strategy).items():
            each = tuple(_level(trade.trade_id, [trade], marks, held) for trade in some)
            strategies.append(replace(_level(strategy, some, marks, held), parts=each))
        underlyings.append(replace(_level(underlying, of_it, marks, held), parts=tuple(strategies)))
    whole = replace(
        _level(account, trades, marks, held),
        margin=add(level.margin for level in underlyings),
        exposure=add(level.exposure for level in underlyings),
        parts=tuple(underlyings),
    )
    return _concentrated(whole, whole.exposure)


def _level(name: str, trades: Sequence[Trade], marks: Marks, held: Mapping[str, Decimal]) -> Level:
    legs = [leg for trade in trades for leg in trade.legs if leg.lots]
    valued = [_valued(leg, marks.mark_of) for leg in legs]

    def total(amounts: Iterable[tuple[Decimal | None, str]]) -> Decimal | None:
        return add(_converted(amount, currency, marks.rate) for amount, currency in amounts)

    underlyings = {trade.underlying for trade in trades}
    return Level(
        name=name,
        realised=total((trade.realised, trade.currency) for trade in trades),
        unrealised=total((v.unrealised, v.position.instrument.currency) for v in valued),
        fees=total(fee for trade in trades for fee in _fees(trade)),
        income=total((trade.income, trade.currency) for trade in trades),
        margin=options_margin(valued, marks.rate, marks.spot_of(*underlyings))
        if len(underlyings) == 1
        else None,
        exposure=exposure(valued, marks.rate) if len(underlyings) == 1 else None,
        greeks=_greeks(legs, marks.greeks_of, held, len(underlyings) == 1),
        open_trades=sum(trade.status is Status.OPEN for trade in trades),
        trades=len(trades),
    )


def _fees(trade: Trade) -> list[tuple[Decimal | None, str]]:
    """Return a trade's fees, each with its currency; less what came in in another one than the trade's."""
    other = [(amount, currency) for currency, amount in trade.other_fees.items()]
    return [(trade.fees, trade.currency), *other]


def _valued(leg: TradeLeg, mark_of: MarkOf) -> Valued:
    contract = leg.instrument
    position = Position(contract, leg.strategy, units=leg.quantity, spent=leg.cost)
    mark = mark_of(position_key(leg.strategy, contract.symbol))
    if mark is None:
        return Valued(position, None, None, None)
    value = EXACT.multiply(position.quantity, contract.worth(mark))
    return Valued(position, mark, value, EXACT.subtract(value, position.cost))


def _greeks(
    legs: Iterable[TradeLeg], greeks_of: GreeksOf, held: Mapping[str, Decimal], one: bool
) -> NetGreeks:
    """Add up the Greeks of legs, each by its part of the position."""
    names = ("units", "delta", "gamma", "theta", "vega", "beta_delta")
    sums: dict[str, Decimal | None] = dict.fromkeys(names, ZERO)
    for leg in legs:
        key = position_key(leg.strategy, leg.instrument.symbol)
        whole = greeks_of(key)
        for name in names:
            value, before = getattr(whole, name, None), sums[name]
            if value is None or before is None:
                sums[name] = None
            elif leg.quantity == held[key]:
                sums[name] = EXACT.add(before, value)
            else:
                with localcontext(EXACT):
                    sums[name] = before + divide(value * leg.quantity, held[key])
    return NetGreeks(**(sums if one else {**sums, "units": None}))


def _held(trades: Iterable[Trade]) -> dict[str, Decimal]:
    """Return the open units of each position."""
    held: dict[str, Decimal] = {}
    for trade in trades:
        for leg in trade.legs:
            key = position_key(leg.strategy, leg.instrument.symbol)
            held[key] = EXACT.add(held.get(key, ZERO), leg.quantity)
    return held


def _concentrated(level: Level, whole: Decimal | None) -> Level:
    share = None if level.exposure is None or not whole else divide(level.exposure * 100, whole, 4)
    return replace(
        level, concentration=share, parts=tuple(_concentrated(part, whole) for part in level.parts)
    )


def _converted(amount: Decimal | None, currency: str, rate: Rate) -> Decimal | None:
    if not amount:
        return amount
    factor = rate(currency)
    return None if factor is None else EXACT.multiply(amount, factor)


def _by(trades: Iterable[Trade], name: Callable[[Trade], str]) -> dict[str, list[Trade]]:
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(name(trade), []).append(trade)
    return dict(sorted(groups.items()))
