"""From the book's trades and strategies to what exits look at: one price a trade, one MTM a strategy."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from stopline.ledger.book import Book
from stopline.ledger.days import Day
from stopline.ledger.trade import Trade
from stopline.model.account import Account
from stopline.model.decimals import EXACT, ZERO, decimal_text, divide
from stopline.model.instrument import Instrument, Kind
from stopline.model.settings.exits import StrategyExits
from stopline.rules.exits.plan import Plan, deadlines, plan_of
from stopline.rules.exits.state import Held
from stopline.rules.exits.strategy_exits import Mtm
from stopline.rules.exits.table import Watch
from stopline.rules.limits.figures import Rate, Valued, add

ONE, SMALLEST = Decimal(1), Decimal("0.00000001")

_Open = tuple[Instrument, Decimal, Decimal]  # as `_open_legs` says


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
            due = deadlines(plan, held.opened_at, account.sessions, account.zone)
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
    credit spread is short. None: it is closed, or mixes an inverse contract, whose worth is no multiple of its price,
    with others.
    """
    legs = _open_legs(trade)
    if not legs or _is_mixed(legs):
        return None
    units = max(divide(abs(quantity), unit) for _, quantity, unit in legs)
    cost = trade.cost
    if len(legs) == 1:
        [(contract, quantity, _)] = legs
        side = 1 if quantity > 0 else -1
        size = EXACT.multiply(quantity, contract.multiplier)
        entry = divide(EXACT.minus(size), cost) if contract.inverse and cost else divide(cost, size)
        weights: tuple[tuple[str, Decimal], ...] = ((contract.symbol, ONE),)
        name = contract.symbol
    else:
        side = -1 if cost < 0 else 1
        point = max(contract.multiplier for contract, _, _ in legs)
        entry = divide(EXACT.multiply(cost, Decimal(side)), EXACT.multiply(units, point))
        weights = tuple(
            (contract.symbol, divide(side * quantity * contract.multiplier, units * point))
            for contract, quantity, _ in legs
        )
        name = f"{trade.underlying} {trade.structure.value.replace('_', ' ')}"
    shape = f"{side}:" + ",".join(f"{symbol}*{decimal_text(w)}" for symbol, w in sorted(weights))
    held = Held(
        trade.trade_id,
        trade.strategy,
        name,
        1 if side > 0 else -1,
        units,
        entry,
        trade.entered_at,
        _step([contract for contract, _, _ in legs], units),
        shape,
    )
    return held, weights


def _is_mixed(legs: Sequence[_Open]) -> bool:
    return len(legs) > 1 and any(contract.inverse for contract, _, _ in legs)


def _open_legs(trade: Trade) -> list[_Open]:
    """Return the contracts that are open, with signed quantity and how much of it makes a unit of the trade."""
    whole = trade.quantity
    found: dict[str, tuple[Instrument, Decimal, Decimal]] = {}
    for leg in trade.legs:
        if leg.is_open:
            contract = leg.instrument
            _, quantity, unit = found.get(contract.symbol, (contract, ZERO, ZERO))
            part = divide(abs(leg.most), whole) if whole else ONE
            found[contract.symbol] = (contract, EXACT.add(quantity, leg.quantity), EXACT.add(unit, part))
    return [leg for leg in found.values() if leg[1]]


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
    unrealised = add(_converted(v.unrealised, v.position.instrument.currency, rate) for v in own)
    times = [seen.get(v.position.instrument.symbol) or _last(v) for v in own]
    known = [at for at in times if at is not None]
    return Mtm(made, unrealised, min(known, default=None), max(known, default=None), bool(own))


def _last(valued: Valued) -> datetime | None:
    return valued.position.last[0] if valued.position.last else None


def first_base(
    strategy: str, settings: StrategyExits, book: Book, begins: datetime, rate: Rate
) -> Decimal | None:
    """Return what a strategy had made before the session that began at `begins`; None where something was held over.

    It is exact where all its trades of the session were entered in it; otherwise it cannot be told.
    """
    trades = [
        trade
        for trade in book.trades()
        if trade.strategy == strategy and (trade.exited_at is None or trade.exited_at >= begins)
    ]
    if any(trade.entered_at < begins for trade in trades):
        return None
    ever = add(
        _converted(made_of(day, settings), currency, rate)
        for (name, currency), day in book.strategies.items()
        if name == strategy
    )
    today = add(
        _converted(made_of(Day(t.realised, t.fees, income=t.income), settings), t.currency, rate)
        for t in trades
    )
    return None if ever is None or today is None else EXACT.subtract(ever, today)


def made_of(day: Day, settings: StrategyExits) -> Decimal:
    """Return what was realised, with fees and income as a strategy's settings count them."""
    made = EXACT.subtract(day.realised, day.fees if settings.fees else ZERO)
    return EXACT.add(made, day.income if settings.income else ZERO)


def _converted(amount: Decimal | None, currency: str, rate: Rate) -> Decimal | None:
    if amount is None or not amount:
        return amount
    factor = rate(currency)
    return None if factor is None else EXACT.multiply(amount, factor)
