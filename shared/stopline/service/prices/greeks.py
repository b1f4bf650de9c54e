"""The Greeks of accounts at the marks of the moment: one pass over the columns, then sums that people read."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import numpy as np

from stopline.ledger.expiry import expiry_clock, is_american
from stopline.ledger.futures import is_on_future
from stopline.model.account import Account
from stopline.model.instrument import Instrument, Kind
from stopline.model.prices import NAN, Quote
from stopline.risk.border import to_decimal
from stopline.risk.columns import Columns
from stopline.risk.net_greeks import Terms, position_greeks, summed, terms, volatilities
from stopline.risk.returns import FloatArray
from stopline.rules.limits.figures import Rate, Valued
from stopline.rules.limits.net_greeks import AccountGreeks, NetGreeks

QuoteOf = Callable[[str], Quote | None]  # the quote of a symbol, if it may be used
_NOTHING = Quote(NAN)


@dataclass(frozen=True, slots=True)
class Watched:
    """One account with what its Greeks are made of. `betas` are those of underlyings to the account's index."""

    account: Account
    positions: Sequence[Valued]
    quote: QuoteOf
    rate: Rate
    betas: Mapping[str, float]
    at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """An account's Greeks, and the implied volatility of each of its positions, in their order: NaN where it is no option,
    or UNKNOWN. Solved once; what prices the positions again goes by the same.
    """

    greeks: AccountGreeks
    volatility: FloatArray


def expiry_of(account: Account, contract: Instrument) -> datetime:
    """Return when an option of an account is worth its intrinsic value: when the price that settles it is made, at the
    open, at a close (early ones included), or at 8 UTC on a coin (`ledger/expiry.py`).
    """
    return expiry_clock(contract, account.sessions).settles_at


def dividend_yield(account: Account, contract: Instrument, futures: Collection[str]) -> float:
    """Return the yearly dividend yield of a contract's underlying: by the account's settings, 0 where none is named. A
    future has the rate for its yield: its price is a forward, and Black-Scholes becomes Black-76. A future is one of
    `futures`, what `measures.futures` names, and what has the symbol of one (`ESZ6`) that may be delivered on the option.
    """
    settings, underlying = account.measures, contract.underlying
    if underlying in settings.dividend_yields:
        return float(settings.dividend_yields[underlying])
    forward = underlying in futures or underlying in settings.futures or is_on_future(contract)
    return float(settings.rate) if forward else 0.0


def dividend_yields(account: Account, positions: Sequence[Valued]) -> FloatArray:
    """Return the dividend yield of each position's underlying, shape (n,); what is held as a future is one."""
    held = [v.position.instrument for v in positions]
    futures = {contract.symbol for contract in held if contract.kind is Kind.FUTURE}
    return np.array([dividend_yield(account, contract, futures) for contract in held])


def option_terms(table: Columns, accounts: Mapping[str, Account]) -> Terms:
    """Lay out the terms of all positions; the options of an account that is not known have no expiry."""

    def expiry(name: str, contract: Instrument) -> datetime | None:
        return expiry_of(accounts[name], contract) if name in accounts else None

    def american(name: str, contract: Instrument) -> bool:
        return name in accounts and is_american(contract, accounts[name].sessions)

    return terms(table, expiry, american)


def net_greeks(
    table: Columns, laid_out: Terms, watched: Sequence[Watched], now: datetime
) -> dict[str, Priced]:
    """Return the Greeks and volatilities of some accounts, by name, worked out in one pass."""
    if not watched:
        return {}
    slices = [table.slices[each.account.account] for each in watched]
    rows = np.concatenate([np.arange(s.start, s.stop) for s in slices])
    held = [(each, valued) for each in watched for valued in each.positions]
    quotes = [each.quote(v.position.instrument.symbol) or _NOTHING for each, v in held]
    price = np.array([NAN if v.mark is None else float(v.mark) for _, v in held])
    spots = [each.quote(v.position.instrument.underlying) or _NOTHING for each, v in held]
    spot = np.array([quote.mark for quote in spots])
    rates = np.array([float(each.account.measures.rate) for each, _ in held])
    yields = np.concatenate([dividend_yields(each.account, each.positions) for each in watched])
    volatility = volatilities(
        laid_out,
        rows,
        price,
        np.array([quote.ask for quote in quotes]),
        spot,
        np.array([quote.iv for quote in quotes]),
        now,
        rates,
        yields,
    )
    found = position_greeks(laid_out, rows, price, spot, volatility, now, rates, yields)
    factors = {
        (each.account.account, v.position.instrument.currency): _factor(each.rate, v) for each, v in held
    }
    factor = np.array([factors[each.account.account, v.position.instrument.currency] for each, v in held])
    betas = np.array([each.betas.get(v.position.instrument.underlying, NAN) for each, v in held])
    money = found.in_money(factor)
    values = np.vstack([found.units, money, betas * money[0]])
    result, start = {}, 0
    for each in watched:
        stop = start + len(each.positions)
        solved = volatility[start:stop]
        result[each.account.account] = Priced(_account(each, values[:, start:stop], solved), solved)
        start = stop
    return result


def _factor(rate: Rate, valued: Valued) -> float:
    found = rate(valued.position.instrument.currency)
    return NAN if found is None else float(found)


def _account(each: Watched, values: FloatArray, volatility: FloatArray) -> AccountGreeks:
    positions = [valued.position for valued in each.positions]
    total = summed(values, np.zeros(len(positions), dtype=np.int64), 1)
    return AccountGreeks(
        _net(total[:, 0], alike=len({p.instrument.underlying for p in positions}) == 1),
        _groups(values, [p.instrument.underlying for p in positions], alike=True),
        _groups(values, [p.strategy for p in positions], alike=False),
        _Each({p.key: i for i, p in enumerate(positions)}, lambda i: _net(values[:, i], alike=True)),
        _Each(
            {p.key: i for i, p in enumerate(positions) if p.instrument.right is not None},
            lambda i: to_decimal(volatility[i], 6),
        ),
    )


T = TypeVar("T")


class _Each(Mapping[str, T]):
    """Values by position key that become decimals when they are read: most batches write none of them."""

    def __init__(self, places: Mapping[str, int], read: Callable[[int], T]) -> None:
        self._places = places
        self._read = read

    def __getitem__(self, key: str) -> T:
        return self._read(self._places[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _groups(values: FloatArray, keys: Sequence[str], alike: bool) -> dict[str, NetGreeks]:
    places: dict[str, int] = {}
    groups = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)
    sums = summed(values, groups, len(places))
    return {key: _net(sums[:, places[key]], alike) for key in sorted(places)}


def _net(column: FloatArray, alike: bool) -> NetGreeks:
    units, delta, gamma, theta, vega, beta_delta = (to_decimal(value, 4) for value in column.tolist())
    return NetGreeks(units if alike else None, delta, gamma, theta, vega, beta_delta)
