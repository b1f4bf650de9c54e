"""Follow the trades of an account on each evaluation, and tell the history what prices showed of those that closed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import SpotOf
from stopline.model.account import Account
from stopline.model.messages import HistoryRow
from stopline.risk.border import to_decimal
from stopline.rules.limits.figures import Rate, Valued
from stopline.rules.watching.trades import UNSEEN, Index, TradeWatch, watch_trades
from stopline.service.history.trade_rows import seen_row
from stopline.service.prices.marks import Mark


class Followed(NamedTuple):
    """What is known of the trades of a book now, and the rows to write with it."""

    trades: Mapping[str, TradeWatch]
    rows: Sequence[HistoryRow]


def index_reading(account: Account, marks: Mapping[str, Mark]) -> Index | None:
    """Return the last reading of the account's volatility index; None where it has none, or no price came."""
    symbol = account.measures.volatility_index
    mark = marks.get(symbol) if symbol else None
    value = to_decimal(mark.quote.mark) if mark else None
    return None if mark is None or value is None else (value, mark.as_of)


def follow_trades(
    account: Account,
    book: Book,
    positions: Sequence[Valued],
    before: Mapping[str, TradeWatch],
    index: Index | None,
    rate: Rate,
    spot: SpotOf,
    now: datetime,
) -> Followed:
    """Bring up to date what prices show of an account's trades."""
    trades = book.trades()
    mark_of = {valued.position.key: valued.mark for valued in positions}.get
    tolerance = timedelta(seconds=account.price_max_age_s)
    after = watch_trades(trades, before, mark_of, rate, index, now, tolerance)
    rows = [
        seen_row(trade, after[trade.trade_id], book.revision, spot, rate)
        for trade in trades
        if after[trade.trade_id].told and not before.get(trade.trade_id, UNSEEN).told
    ]
    return Followed(after, rows[:500])
