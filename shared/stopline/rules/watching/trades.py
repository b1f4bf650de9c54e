"""What prices show of a trade while it is open: its total P&L, the worst and the best of it, and the volatility index
at its entry and exit.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.ledger.trade import Status, Trade
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.rules.orders.open_risk import Rate, add, converted

MarkOf = Callable[[str], Decimal | None]
"""The usable mark of a position, by its key; None: UNKNOWN."""

Index = tuple[Decimal, datetime]
"""The last reading of the volatility index, and when the feed saw it."""


@dataclass(frozen=True, slots=True)
class TradeWatch:
    """Extremes of a trade's total P&L net of fees, over the evaluations in which all its legs had a price; the
    volatility index when it was entered and left. None is UNKNOWN. `told`: the history has them.
    """

    low: Decimal | None = None
    high: Decimal | None = None
    vix_entry: Decimal | None = None
    vix_exit: Decimal | None = None
    told: bool = False


UNSEEN = TradeWatch()


def other_costs(trade: Trade, rate: Rate) -> Decimal | None:
    """Return the fees in other currencies, less what came in in them, in the trade's own; None where a rate is UNKNOWN.
    `rate` is into the account's currency; rounded to 12 decimals.
    """
    if not trade.other_fees:
        return ZERO
    own = rate(trade.currency)
    costs = add(converted(amount, currency, rate) for currency, amount in trade.other_fees.items())
    return None if costs is None or not own else divide(costs, own)


def total_pnl(trade: Trade, mark_of: MarkOf, rate: Rate) -> Decimal | None:
    """Return what a trade has made with its open legs at their marks, net of all fees, in its own currency; None where a
    mark or a rate is UNKNOWN.
    """
    costs = other_costs(trade, rate)
    if costs is None:
        return None
    total = EXACT.subtract(trade.booked, costs)
    for key, contract, units in trade.open_units:
        mark = mark_of(key)
        if mark is None:
            return None
        total = EXACT.add(total, EXACT.multiply(units, contract.worth(mark)))
    return total


def watch_trades(
    trades: Iterable[Trade],
    before: Mapping[str, TradeWatch],
    mark_of: MarkOf,
    rate: Rate,
    index: Index | None,
    now: datetime,
    tolerance: timedelta,
) -> dict[str, TradeWatch]:
    """Return what is known of the trades of a book now; of those that have left it nothing is kept.

    The index counts for an entry or exit when its reading is at most `tolerance` away from it. A closed trade is
    to be told (`told` turns true) once the index at its exit is known, or can no longer become known.
    """
    return {
        trade.trade_id: _seen(trade, before.get(trade.trade_id, UNSEEN), mark_of, rate, index, now, tolerance)
        for trade in trades
    }


def _seen(
    trade: Trade,
    known: TradeWatch,
    mark_of: MarkOf,
    rate: Rate,
    index: Index | None,
    now: datetime,
    tolerance: timedelta,
) -> TradeWatch:
    exited = trade.exited_at
    is_open = trade.status is Status.OPEN
    pnl = total_pnl(trade, mark_of, rate)
    is_over = known.told and trade.other_fees  # what was paid in another currency moves on with its rate
    # never valued while open: the end says no extreme
    if pnl is not None and (is_open or (known.low is not None and not is_over)):
        known = replace(
            known,
            low=pnl if known.low is None else min(known.low, pnl),
            high=pnl if known.high is None else max(known.high, pnl),
        )
    entry = known.vix_entry if known.vix_entry is not None else _at(index, trade.entered_at, tolerance)
    if exited is None:
        return replace(known, vix_entry=entry, vix_exit=None, told=False)
    exit_ = known.vix_exit if known.vix_exit is not None else _at(index, exited, tolerance)
    told = known.told or exit_ is not None or now - exited > tolerance
    return replace(known, vix_entry=entry, vix_exit=exit_, told=told)


def _at(index: Index | None, moment: datetime, tolerance: timedelta) -> Decimal | None:
    return index[0] if index is not None and abs(index[1] - moment) <= tolerance else None
