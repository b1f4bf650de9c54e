"""What breakers look at, out of an account's figures and readings, and prices; None is UNKNOWN."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.ledger.book import Book
from stopline.ledger.trade import Trade
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, divide
from stopline.model.instrument import Instrument
from stopline.rules.limits.figures import Figures

HUNDRED = Decimal(100)


def money_facts(f: Figures, book: Book) -> Mapping[str, Decimal | None]:
    """Return loss and profit in % of the capital paid in, loss of the day in % of the equity at its start, drawdown in %
    of the equity at the peak, and the number of open positions as a trader counts them. No fact needs a limit that is on.
    """
    paid_in = f.equity_at(ZERO)
    made = f.made_since(f.day_start.basis if f.day_start else None)
    return {
        "loss": _percent(None if f.total is None else max(EXACT.minus(f.total), ZERO), paid_in),
        "profit": _percent(None if f.total is None else max(f.total, ZERO), paid_in),
        "daily_loss": _percent(None if made is None else max(EXACT.minus(made), ZERO), f.day_start_equity),
        "drawdown": f.drawdown,
        "positions": Decimal(_count(book.open_trades())),
    }


def sure_facts(f: Figures) -> Mapping[str, Decimal | None]:
    """Return the same losses as they are at least, whatever the missing prices are; None: nobody can tell."""
    basis = f.day_start.basis if f.day_start else None
    best, made = f.total_at_best, f.made_at_best(basis)
    at_start = None if basis is None else f.surely_at(basis)
    return {
        "loss": _percent(None if best is None else max(EXACT.minus(best), ZERO), f.surely_at(ZERO)),
        "daily_loss": _percent(None if made is None else max(EXACT.minus(made), ZERO), at_start),
        "drawdown": f.drawdown_at_best,
    }


def _count(trades: Iterable[Trade]) -> int:
    """Return how many positions trades are: a spread, or what fills name by a group id, is one each. Other legs count once
    for their strategy and underlying, as in `max_concurrent_positions`: they may be of a spread that nobody named.
    """
    found = set()
    for trade in trades:
        is_one = len(trade.legs) > 1 or trade.legs[0].tag.startswith("group:")
        found.add((trade.strategy, trade.underlying, trade.trade_id if is_one else ""))
    return len(found)


def unpriced_now(
    account: Account, held: Collection[Instrument], unpriced: Collection[str], now: datetime
) -> Decimal | None:
    """Return how many contracts of positions lack a price while their market is open, and was so for as long as a price may
    be old: the first prices of a day take a moment. Where a market is closed nobody can tell whether its feed works: that
    is UNKNOWN, unless another one's is known not to.
    """
    seen = [i for i in held if _is_in_session(account, i, now)]
    silent = {i.symbol for i in seen} & set(unpriced)
    return Decimal(len(silent)) if silent or len(seen) == len(held) else None


def _is_in_session(account: Account, instrument: Instrument, now: datetime) -> bool:
    return account.sessions_of(instrument).awaits_prices(now, timedelta(seconds=account.price_max_age_s))


def _percent(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    if part is None or whole is None or whole <= 0:
        return None
    return divide(EXACT.multiply(part, HUNDRED), whole, places=6)
