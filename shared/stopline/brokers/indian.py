"""What Zerodha and Upstox have in common: trades of Indian exchanges, naive times of Kolkata, cumulative orders."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

from stopline.brokers import contracts
from stopline.brokers.cumulative import Execution, increments
from stopline.brokers.dialect import Context, Item, each
from stopline.brokers.moments import MONTHS, local_time
from stopline.brokers.row import Row, id_of, number_text
from stopline.ledger.leg_name import CLIENT_ID, client_id
from stopline.model.decimals import ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import CUMULATIVE, Fill, FillKind

KOLKATA = "Asia/Kolkata"
SIDES = {"BUY": "BUY", "SELL": "SELL"}
RIGHTS = {"CE": "C", "PE": "P"}
EQUITY = {"NSE", "BSE", "NSE_EQ", "BSE_EQ"}
UNITS = {"NFO", "BFO", "NSE_FO", "BSE_FO"}  # quantities are units of the underlying there
LOTS = {"MCX", "CDS", "BCD", "NCO", "MCX_FO", "NCD_FO", "BCD_FO", "NSE_COM"}  # and lots here
_ROOT = r"(360ONE|NIFTYNXT50|[A-Z][A-Z&-]*)"  # a root with digits reads in two ways, unless it is known
_STRIKE = r"([0-9]+(?:\.[0-9]+)?)"
_MONTHLY = re.compile(_ROOT + r"([0-9]{2})([A-Z]{3})" + _STRIKE + r"(CE|PE)")
_WEEKLY = re.compile(_ROOT + r"([0-9]{2})([1-9OND])([0-9]{2})" + _STRIKE + r"(CE|PE)")
_FUTURE = re.compile(_ROOT + r"([0-9]{2})([A-Z]{3})FUT")
_SPACED = re.compile(r"([A-Z0-9&-]+) (?:" + _STRIKE + r" (CE|PE)|FUT) ([0-9]{2}) ([A-Z]{3}) ([0-9]{2})")
_WEEKLY_MONTHS = {**{str(n): n for n in range(1, 10)}, "O": 10, "N": 11, "D": 12}


class Words(NamedTuple):
    """Where one of the two brokers writes what both tell."""

    symbol: str
    segment: Callable[[Row], str]
    times: tuple[str, ...]  # the first that is there counts


def trades_of(rows: Iterable[Row], context: Context, words: Words, tag: str | None = None) -> list[Item]:
    """Read trades: one execution each, known by exchange, day and the exchange's trade number. `tag`: of their order."""

    def read(row: Row) -> Fill:
        facts = _facts(row, context, words)
        day = facts["executed_at"][:10].replace("-", "")
        return context.fill(
            row.text_or("user_id"),
            fill_id=id_of(row.text("exchange"), day, row.text("trade_id")),
            quantity=number_text(row.decimal("quantity")),
            price=number_text(row.decimal("average_price")),
            **facts | ({CLIENT_ID: tag} if tag else {}),
        )

    return each(rows, read)


def _facts(row: Row, context: Context, words: Words) -> dict[str, Any]:
    """Return what a trade and an order tell alike."""
    symbol, where = row.text(words.symbol), words.segment(row)
    time = next((name for name in words.times if name in row), words.times[0])
    return {
        "instrument": context.instrument(symbol, lambda: instrument_of(symbol, where, context)),
        "side": row.one_of("transaction_type", SIDES, "UNKNOWN_SIDE"),
        "executed_at": local_time(row, time, context.zone(KOLKATA)),
        "order_id": id_of(row.text("order_id")),
        "order_tells": CUMULATIVE,
        CLIENT_ID: client_id(row.value.get("tag")),
    }


def order_state(order: Row, statuses: Mapping[str, bool], context: Context, words: Words) -> list[Item]:
    """Return the items of a message about an order: of its `trades`, where it carries them.

    An order says what is filled so far, by quantity and average. Without its trades nothing can be booked from
    that, and with too few of them a person must know. A trade of another order among them is refused.

    Where the trades cannot be had, `applied` lists what was published of the order before (quantity and price, the
    oldest first, empty at first): then what is filled beyond it is booked as provisional. Trades with `applied` take
    the place of that when they are all there, and count for nothing before.
    """
    order.one_of("status", statuses)
    filled = order.decimal_or("filled_quantity")
    applied = _applied(order) if "applied" in order.value else None
    if "trades" not in order:
        if filled > 0 and applied is None:
            raise _incomplete(order, f"says {filled} are filled so far, and not by which trades")
        return _beyond(order, filled, applied or [], context, words)
    trades = trades_of(order.rows("trades"), context, words, client_id(order.value.get("tag")))
    trades = [_of_order(item, id_of(order.text("order_id"))) for item in trades]
    found = sum((item.fill.quantity for item in trades if item.fill), ZERO)
    if found < filled and applied is not None:
        return _beyond(order, filled, applied, context, words)
    if found < filled:
        told = _incomplete(order, f"says {filled} are filled so far, its trades are {found}")
        return [*trades, Item({k: v for k, v in order.value.items() if k != "trades"}, None, told)]
    return trades + each([order], lambda row: _replaced(row, applied or [], context, words))


def _beyond(
    order: Row, filled: Decimal, applied: Sequence[Execution], context: Context, words: Words
) -> list[Item]:
    """Return what an order has filled beyond what was published of it."""
    if filled <= 0:
        return []
    step = increments(filled, order.decimal_or("average_price"), applied)
    return [] if step is None else each([order], lambda row: _provisional(row, *step, context, words))


def _applied(order: Row) -> list[Execution]:
    applied = [(row.decimal("quantity"), row.decimal("price")) for row in order.rows("applied")]
    if any(quantity <= 0 or price < 0 for quantity, price in applied):
        raise order.bad("applied", "must be quantities above 0 and their prices")
    return applied


def _provisional(order: Row, quantity: Decimal, price: Decimal, context: Context, words: Words) -> Fill:
    """Return what an order has filled more, known by how much it has filled with it."""
    return context.fill(
        order.text_or("user_id"),
        fill_id=_provisional_id(order, order.decimal("filled_quantity")),
        quantity=number_text(quantity),
        price=number_text(price),
        provisional=True,
        **_facts(order, context, words),
    )


def _replaced(order: Row, applied: Sequence[Execution], context: Context, words: Words) -> list[Fill]:
    """Return the busts of provisional fills whose trades are there."""
    if not applied:
        return []
    facts = _facts(order, context, words) | {"quantity": "0", "price": "0", "kind": FillKind.BUST}
    ids = [_provisional_id(order, cum) for cum in accumulate(quantity for quantity, _ in applied)]
    return [
        context.fill(order.text_or("user_id"), fill_id=f"{id_}:replaced", ref=id_, **facts) for id_ in ids
    ]


def _provisional_id(order: Row, cum: Decimal) -> str:
    return id_of(f"{order.text('order_id')}#{number_text(cum)}")


def _of_order(item: Item, order_id: str) -> Item:
    if item.fill is None or item.fill.order_id == order_id:
        return item
    told = (
        f"a trade of order {item.fill.order_id} is among the trades of order {order_id}: send it with its own"
    )
    return Item(item.raw, None, Rejected("CONTRADICTION", told))


def _incomplete(order: Row, what: str) -> Rejected:
    return Rejected(
        "CUMULATIVE",
        f"order {order.text('order_id')[:40]} {what}: send the order's trades (`trades`), as the broker's API "
        "lists them; while it does not, `applied`: what was published of the order before",
    )


def instrument_of(symbol: str, segment: str, context: Context) -> dict[str, Any]:
    """Return the contract of an exchange's symbol in one of its segments."""
    currency = context.word("currency", "INR")
    if segment in EQUITY:
        return contracts.equity(symbol.removesuffix("-EQ"), currency)
    if segment in UNITS:
        size = context.word("multiplier", "1")
    elif segment in LOTS:
        size = context.need("multiplier", f"{segment} counts lots, and {symbol[:40]!a} does not say its size")
    else:
        raise Rejected("UNSUPPORTED", f"segment {segment[:20]!a} of {symbol[:40]!a} is not known")
    plain = symbol.replace(" ", "")
    spaced, monthly = _SPACED.fullmatch(symbol), _MONTHLY.fullmatch(symbol)
    weekly, future = _WEEKLY.fullmatch(symbol), _FUTURE.fullmatch(symbol)
    if spaced and spaced[5] in MONTHS:
        expiry = _day(2000 + int(spaced[6]), MONTHS[spaced[5]], int(spaced[4]), symbol)
        if spaced[3] is None:
            return contracts.future(plain, currency, size, spaced[1], expiry.isoformat())
        return _option(spaced[1], expiry, spaced[3], spaced[2], currency, size, plain)
    if monthly and monthly[3] in MONTHS:
        expiry = _told_expiry(int(monthly[2]), MONTHS[monthly[3]], symbol, context)
        return _option(monthly[1], expiry, monthly[5], monthly[4], currency, size, plain)
    if weekly:
        expiry = _day(2000 + int(weekly[2]), _WEEKLY_MONTHS[weekly[3]], int(weekly[4]), symbol)
        return _option(weekly[1], expiry, weekly[6], weekly[5], currency, size, plain)
    if future and future[3] in MONTHS:
        return contracts.future(plain, currency, size, future[1], context.get("expiry"))
    raise Rejected(
        "MISSING_ATTRIBUTE",
        f"the terms of {symbol[:40]!a} cannot be read: attribute `instrument` must say them",
    )


def _option(
    root: str, expiry: date, right: str, strike: str, currency: str, size: str, symbol: str
) -> dict[str, Any]:
    return contracts.option(root, expiry, RIGHTS[right], Decimal(strike), currency, size, root, symbol)


def _told_expiry(year: int, month: int, symbol: str, context: Context) -> date:
    """Return the expiry of a monthly option, whose symbol names no day."""
    day = contracts.a_date(
        context.need("expiry", f"the symbol {symbol[:40]!a} names a month, no day of expiry")
    )
    if (day.year, day.month) != (2000 + year, month):
        raise Rejected("CONTRADICTION", f"attribute expiry {day} is not in the month of {symbol[:40]!a}")
    return day


def _day(year: int, month: int, day: int, symbol: str) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise Rejected("BAD_MESSAGE", f"{symbol[:40]!a} has no real expiry date") from None
