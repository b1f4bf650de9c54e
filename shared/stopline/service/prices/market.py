"""What the market says of what an account holds: quoted spreads, prices of underlyings, how much they move."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from stopline.model.account import Account
from stopline.model.instrument import Instrument
from stopline.model.prices import Quote
from stopline.risk.border import to_decimal
from stopline.risk.co_movement import CoMovement, co_movement
from stopline.risk.factors import Factors
from stopline.rules.limits.figures import Market
from stopline.rules.limits.market import FROM_RETURNS
from stopline.rules.limits.registry import in_force
from stopline.service.prices.marks import Mark, is_usable


def needs_returns(account: Account) -> bool:
    """Tell whether a limit that is on for an account needs daily returns."""
    return any(limit.name in FROM_RETURNS for limit, _, _ in in_force(account))


def market_of(
    contracts: Iterable[Instrument],
    marks: Mapping[str, Mark],
    account: Account,
    now: datetime,
    factors: Factors | None = None,
) -> Market:
    """Return what usable quotes and daily returns say of some contracts; what they do not say is left out."""
    held = list(contracts)
    of = {c.symbol: c for c in held}
    quotes = {
        symbol: marks[symbol].quote
        for symbol in {c.symbol for c in held} | {c.underlying for c in held}
        if symbol in marks and is_usable(marks[symbol], account, now, of.get(symbol))
    }
    spreads = {symbol: quoted_spread(quote) for symbol, quote in quotes.items()}
    spots = {c.underlying: to_decimal(quotes[c.underlying].mark) for c in held if c.underlying in quotes}
    moves = co_movement(factors, sorted({c.underlying for c in held})) if factors and held else CoMovement()
    return Market(
        spreads=_known(spreads),
        spots={symbol: spot for symbol, spot in _known(spots).items() if spot > 0},
        volatilities=_known({symbol: to_decimal(x, 6) for symbol, x in moves.volatilities.items()}),
        correlations={
            pair: x for pair, value in moves.correlations.items() if (x := to_decimal(value, 6)) is not None
        },
    )


def quoted_spread(quote: Quote) -> Decimal | None:
    """Return ask less bid in percent of their middle; None where the quote has not both."""
    if not (quote.ask > 0 and quote.bid >= 0):
        return None
    return to_decimal(100 * (quote.ask - quote.bid) / quote.mark, 6)


def _known(values: Mapping[str, Decimal | None]) -> dict[str, Decimal]:
    return {name: value for name, value in values.items() if value is not None}
