"""An account's open positions as legs that can be priced again under other prices and volatilities."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from stopline.model.instrument import Kind
from stopline.model.prices import NAN
from stopline.risk.book_risk import Book
from stopline.risk.columns import Columns
from stopline.risk.net_greeks import Terms, years_left
from stopline.risk.returns import FloatArray
from stopline.risk.revaluation import Legs, option_pricer
from stopline.service.prices.greeks import Watched, dividend_yields


def book_of(
    table: Columns,
    laid_out: Terms,
    each: Watched,
    volatility: FloatArray,
    known: Mapping[str, object],
    now: datetime,
) -> Book:
    """Return the book of one account at its marks, in the account's currency.

    `volatility` is of each position, as `net_greeks` solved it. An option's spot is its underlying's mark; anything else
    is priced at its own. A future takes the moves of its own
    symbol where these are `known`, else of its underlying. A leg without price, spot, volatility or exchange rate has
    a spot or volatility of NaN, so that it is left out by name.
    """
    rows = np.arange(table.slices[each.account.account].start, table.slices[each.account.account].stop)
    positions = [valued.position for valued in each.positions]
    price = np.array([NAN if v.mark is None else float(v.mark) for v in each.positions])
    spots: dict[tuple[str, str], int] = {}  # (whose price, whose moves): row
    at: list[float] = []
    underlying = []
    for position, own in zip(positions, price.tolist(), strict=True):
        contract = position.instrument
        option = contract.kind is Kind.OPTION
        quoted = each.quote(contract.underlying) if option else None
        moves = contract.symbol if not option and contract.symbol in known else contract.underlying
        key = (contract.underlying if option else contract.symbol, moves)
        if key not in spots:
            spots[key] = len(at)
            at.append((NAN if quoted is None else quoted.mark) if option else own)
        underlying.append(spots[key])
    spot = np.array(at, dtype=np.float64)
    places = np.array(underlying, dtype=np.int64)
    rate = float(each.account.measures.rate)
    yields = dividend_yields(each.account, each.positions)
    sigma = volatility.copy()
    factor = np.array([_rate(each, p.instrument.currency) for p in positions])
    unpaid = ~np.isfinite(factor)  # no exchange rate: as good as no price
    sigma[unpaid] = np.nan
    if unpaid.any():
        linear = places[unpaid & ~laid_out.is_option[rows]]
        spot[linear] = np.nan  # of one symbol, and so of one currency
    money = laid_out.money_per_point[rows] * np.where(unpaid, 0.0, factor)
    pricer = option_pricer(
        laid_out.is_option[rows],
        laid_out.is_call[rows],
        laid_out.strike[rows],
        years_left(laid_out, rows, now),
        rate,
        yields,
        laid_out.inverse[rows],
        laid_out.american[rows],
    )
    legs = Legs([p.key for p in positions], money, places, spot, sigma, pricer)
    return Book(legs, tuple(moves for _, moves in spots), tuple(p.instrument.underlying for p in positions))


def _rate(each: Watched, currency: str) -> float:
    found = each.rate(currency)
    return NAN if found is None else float(found)
