"""From the book's trades and strategies to what exits look at: one price a trade, one MTM a strategy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from stopline.ledger.book import Book
from stopline.ledger.days import Day
from stopline.ledger.trade import Trade
from stopline.ledger.trade_leg import UNSPLIT, TradeLeg, average_price
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, decimal_text, divide
from stopline.model.instrument import Instrument, Kind
from stopline.model.settings.exits import StrategyExits
from stopline.rules.exits.plan import Plan, deadlines, plan_of, times_of
from stopline.rules.exits.state import Held
from stopline.rules.exits.strategy_exits import Mtm
from stopline.rules.exits.table import Watch
from stopline.rules.limits.figures import Rate, Valued, add

ONE, SMALLEST = Decimal(1), Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class _Open:
    """What is open of one contract: signed units, how many of them make a unit of the trade, the average price at which all
    of it was opened since it was last flat, and its splits since then.
    """

    contract: Instrument
    quantity: Decimal
    unit: Decimal
    paid: Decimal
    split: tuple[Decimal, Decimal]

    @property
    def size(self) -> Decimal:
        return EXACT.multiply(self.quantity, self.contract.multiplier)


def watches(account: Account, trades: Iterable[Trade]) -> list[Watch]:
    """Return each open trade with its plan; trades whose plan is empty too."""
    settings = account.exits
    plans: dict[str, Plan] = {}
    result = []
    for trade in trades:
        if trade.trade_id in settings.single:
            plan = plan_of(settings, trade.strategy, trade.trade_id)
        else:
            plan = plans.get(trade.strategy) or plans.setdefault(
                trade.strategy, plan_of(settings, trade.strategy)
            )
        found = subject(trade)
        if found is not None:
            held, legs = found
            set_at = times_of(settings, held.strategy, held.trade_id)
            due = deadlines(plan, held.opened_at, account.sessions, account.zone, set_at)
            result.append(Watch(held, plan, tuple(due), legs))
    return result


def unwatched(account: Account, trades: Iterable[Trade]) -> list[str]:
    """Return the open trades that have a plan and that no exit can see, in words for people."""
    return [
        f"{trade.underlying} {trade.structure.value.replace('_', ' ')}"
        " (an inverse contract among others has no common price: no exits of its own)"
        for trade in trades
        if _is_mixed(_open_legs(trade))
        and not plan_of(account.exits, trade.strategy, trade.trade_id).is_empty
    ]


def subject(trade: Trade) -> tuple[Held, tuple[tuple[str, Decimal], ...]] | None:
    """Return an open trade as its exits see it, and its legs' weights in the price of one unit.

    Units are those of a close request: what the legs at their largest are multiples of. A spread's price is the net value
    of a unit, in points of the leg with the largest multiplier, turned so that what it was opened at is positive; a
    credit spread is short. Its entry is of all units that were opened since it was last flat, so that closing a part of it
    moves no level. None: it is closed, or mixes an inverse contract, whose worth is no multiple of its price, with others.
    """
    legs = _open_legs(trade)
    if not legs or _is_mixed(legs):
        return None
    units = max(divide(abs(leg.quantity), leg.unit) for leg in legs)
    if len(legs) == 1:
        [one] = legs
        side = 1 if one.quantity > 0 else -1
        entry, name = one.paid, one.contract.symbol
        weights: tuple[tuple[str, Decimal], ...] = ((name, ONE),)
    else:
        cost = _total(EXACT.multiply(leg.size, leg.paid) for leg in legs)
        side = -1 if cost < 0 else 1
        point = max(leg.contract.multiplier for leg in legs)
        parts = [divide(side * leg.size, units * point) for leg in legs]
        weights = tuple((leg.contract.symbol, part) for leg, part in zip(legs, parts, strict=True))
        entry = divide(EXACT.multiply(cost, Decimal(side)), EXACT.multiply(units, point))
        name = f"{trade.underlying} {trade.structure.value.replace('_', ' ')}"
    shape = f"{side}:" + ",".join(f"{symbol}*{decimal_text(w)}" for symbol, w in sorted(weights))
    is_split = any(leg.split != UNSPLIT for leg in legs)
    held = Held(
        trade.trade_id,
        trade.strategy,
        name,
        1 if side > 0 else -1,
        units,
        entry,
        trade.opened_at,
        _step([leg.contract for leg in legs], units),
        shape,
        tuple((leg.contract.symbol, *leg.split) for leg in legs) if is_split else (),
    )
    return held, weights


def _is_mixed(legs: Sequence[_Open]) -> bool:
    return len(legs) > 1 and any(leg.contract.inverse for leg in legs)


def _open_legs(trade: Trade) -> list[_Open]:
    whole = trade.quantity
    found: dict[str, list[TradeLeg]] = {}
    for leg in trade.legs:
        if leg.is_open:
            found.setdefault(leg.instrument.symbol, []).append(leg)
    several = (_open_leg(same, whole) for same in found.values())
    return [leg for leg in several if leg.quantity]


def _open_leg(same: Sequence[TradeLeg], whole: Decimal) -> _Open:
    """Return what several legs in one contract are together."""
    contract = same[0].instrument
    opened, worth = _total(leg.opened for leg in same), _total(leg.entry_worth for leg in same)
    units = [divide(abs(leg.most), whole) if whole else ONE for leg in same]
    paid = average_price(contract, opened, worth) or ZERO
    return _Open(contract, _total(leg.quantity for leg in same), _total(units), paid, same[0].split)


def _total(numbers: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(numbers, ZERO)


def _step(contracts: Sequence[Instrument], units: Decimal) -> Decimal:
    """Return what a trade may be closed in: whole units, but parts of coins and of fractional shares."""
    divisible = all(contract.kind in (Kind.CRYPTO, Kind.CASH) for contract in contracts)
    return SMALLEST if divisible or units != int(units) else ONE


def mtm_of(
    strategy: str,
    settings: StrategyExits,
    book: Book,
    positions: Iterable[Valued],
    seen: Mapping[str, datetime],
    rate: Rate,
) -> Mtm:
    """Return a strategy's P&L since its first fill. `seen`: when each symbol's price was."""
    own = [v for v in positions if v.position.strategy == strategy]
    made = add(
        _converted(made_of(day, settings), currency, rate)
        for (name, currency), day in book.strategies.items()
        if name == strategy
    )
    gains = [_converted(v.unrealised, v.position.instrument.currency, rate) for v in own]
    times = [seen.get(v.position.instrument.symbol) or v.position.priced_at for v in own]
    unknown = {v.position.instrument.symbol for v in own if v.unrealised is None}
    known = tuple(at for at in times if at is not None)
    return Mtm(made, add(gains), known, bool(own), tuple(sorted(unknown)))


def first_base(
    strategy: str, settings: StrategyExits, book: Book, begins: datetime, rate: Rate
) -> Decimal | None:
    """Return what a strategy had made before the session that began at `begins`; None where something was held over.

    It is exact where all its trades of the session were entered in it; otherwise it cannot be told. Nor can it where only
    one of fees and income counts, and a trade has them in another currency: it knows them in one number.
    """
    trades = [
        trade
        for trade in book.trades()
        if trade.strategy == strategy and (trade.exited_at is None or trade.exited_at >= begins)
    ]
    mixed = settings.fees is not settings.income and any(trade.other_fees for trade in trades)
    if mixed or any(trade.entered_at < begins for trade in trades):
        return None
    ever = add(
        _converted(made_of(day, settings), currency, rate)
        for (name, currency), day in book.strategies.items()
        if name == strategy
    )
    today = add(
        _converted(made_of(day, settings), currency, rate) for t in trades for currency, day in _made(t)
    )
    return None if ever is None or today is None else EXACT.subtract(ever, today)


def _made(trade: Trade) -> Iterator[tuple[str, Day]]:
    """Yield what a trade has made by currency."""
    yield trade.currency, Day(trade.realised, trade.fees, income=trade.income)
    for currency, paid in trade.other_fees.items():
        yield currency, Day(fees=paid)


def made_of(day: Day, settings: StrategyExits) -> Decimal:
    """Return what was realised, with fees and income as a strategy's settings count them."""
    made = EXACT.subtract(day.realised, day.fees if settings.fees else ZERO)
    return EXACT.add(made, day.income if settings.income else ZERO)


def _converted(amount: Decimal | None, currency: str, rate: Rate) -> Decimal | None:
    if amount is None or not amount:
        return amount
    factor = rate(currency)
    return None if factor is None else EXACT.multiply(amount, factor)
