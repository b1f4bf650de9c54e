"""How good the prices of an account are: stale, missing, held back, one-sided or wide quotes, gaps in the closes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from stopline.model.account import Account
from stopline.rules.limits.figures import Rate, Valued
from stopline.service.history.end_session import Ended
from stopline.service.prices.marks import MarkTable

WIDE = 0.5  # a spread of half of the middle says little of the price


def data_quality(
    account: Account,
    positions: Sequence[Valued],
    table: MarkTable,
    rate: Rate,
    ended: Ended | None,
    now: datetime,
) -> dict[str, Any]:
    """Return the symbols with each trouble, sorted; empty lists where all is well.

    `missing`: no price ever came; `stale`: the last one is too old in open hours; `suspect`: a price far off waits
    for a second reading; `wide`: the quote's spread is more than half of its middle; `no_close`: no price in the last
    session that ended; `no_rate`: a pair of currencies (`EURUSD`) without a usable price. Crossed quotes never get here:
    they are refused one by one, into the quarantine.
    """
    held = {v.position.instrument.symbol for v in positions}
    watched = held | {v.position.instrument.underlying for v in positions}
    marks = table.marks
    ages = {symbol: (now - marks[symbol].as_of).total_seconds() for symbol in watched if symbol in marks}
    open_now = account.sessions.is_open(now)
    wide = []
    for symbol in sorted(held & marks.keys()):
        quote = marks[symbol].quote
        if quote.ask > 0 and quote.bid >= 0 and quote.ask - quote.bid > WIDE * quote.mark:
            wide.append(symbol)
    return {
        "missing": sorted(watched - marks.keys()),
        "stale": sorted(s for s, age in ages.items() if open_now and age > account.price_max_age_s),
        "suspect": sorted(watched & table.suspects),
        "wide": wide,
        "no_close": sorted(watched & set(ended.missing)) if ended else [],
        "no_rate": sorted(
            f"{currency}{account.currency}"
            for currency in {v.position.instrument.currency for v in positions}
            if rate(currency) is None
        ),
        "oldest_s": round(max(ages.values()), 3) if ages else None,
    }
