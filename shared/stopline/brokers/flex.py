"""Trades of the Flex statements of Interactive Brokers, and the contracts that their rows are of.

Executions count, not the orders and lots that they add up to. A trade that is cancelled and booked again in one statement
is one correction.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from stopline.brokers import contracts
from stopline.brokers.dialect import Context, Item, each
from stopline.brokers.flex_rows import EXECUTION, Bookings, kind_of, own_id
from stopline.brokers.moments import NEW_YORK, from_text, local_time
from stopline.brokers.row import Row, id_of, number_text
from stopline.ledger.leg_name import CLIENT_ID, client_id
from stopline.model.decimals import ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import TRADES, Fill, FillKind

LEVELS = {EXECUTION: True, "ORDER": False, "SYMBOL_SUMMARY": False, "CLOSED_LOT": False}
BUY_SELL = {"BUY": "BUY", "SELL": "SELL", "BUY (Ca.)": "BUY", "SELL (Ca.)": "SELL"}
SPLITS = {"FS", "RS"}  # forward and reverse
_RATIO = re.compile(r"SPLIT ([0-9]+(?:\.[0-9]+)?) FOR ([0-9]+(?:\.[0-9]+)?)(?: |$)")


def events(message: Row, context: Context) -> list[Item]:
    """Read the trades of a statement and its splits; other corporate actions and transfers are refused, with what to do."""
    rows = trades(list(message.rows("trades")), context) if "trades" in message else []
    if "corporate_actions" in message:
        actions = list(message.rows("corporate_actions"))
        rows += each(actions, lambda row: _action(row, actions, context))
    if "transfers" in message:
        rows += each(message.rows("transfers"), lambda row: _by_hand(row, "transfer"))
    return rows


def _action(row: Row, others: Sequence[Row], context: Context) -> Fill:
    """Return a split of a share that keeps its symbol, told by one row with its ratio. What has more rows moved units to
    another contract, as what is said of another symbol did; that, and what is cancelled, is for a person.
    """
    said = (row.text_or("actionDescription") or row.text_or("description") or "").upper()
    ratio = _RATIO.search(said)
    action = row.text_or("actionID") or row.text_or("transactionID")
    together = [one for one in others if _words(one) == _words(row)]
    plain = row.text_or("type") in SPLITS and row.text_or("assetCategory") == "STK"
    if (
        not plain
        or ratio is None
        or action is None
        or len(together) > 1
        or said.partition("(")[0].strip() != row.text("symbol").upper()
        or "Ca" in str(row.value.get("code"))
    ):
        _by_hand(row, "corporate action")
    assert ratio is not None
    assert action is not None
    return context.fill(
        row.text("accountId"),
        fill_id=contracts.split_id(context, action),
        instrument=context.instrument(row.text("symbol"), lambda: instrument(row, context)),
        side="BUY",
        quantity=ratio[1],
        price=ratio[2],
        executed_at=local_time(row, "dateTime", context.zone(NEW_YORK)),
        kind=FillKind.SPLIT,
    )


def _words(row: Row) -> tuple[Any, ...]:
    """Return what the rows of one corporate action have in common: who, when, and what is said before the contract."""
    said = str(row.value.get("actionDescription") or row.value.get("description"))
    return row.value.get("accountId"), row.value.get("dateTime"), said.partition(" (")[0]


def trades(rows: Iterable[Row], context: Context) -> list[Item]:
    """Read trades of one statement."""
    rows = list(rows)
    bookings = Bookings(rows)
    return each(rows, lambda row: _trade(row, bookings, context))


def _trade(row: Row, bookings: Bookings, context: Context) -> Fill | list[Fill] | None:
    if not row.one_of("levelOfDetail", LEVELS):
        return None
    kind = kind_of(row)
    side, quantity = row.one_of("buySell", BUY_SELL, "UNKNOWN_SIDE"), row.decimal("quantity")
    if kind is not FillKind.BUST and quantity and (quantity > 0) != (side == "BUY"):
        raise Rejected("CONTRADICTION", f"buySell is {side}, quantity {quantity}")
    if kind is FillKind.BUST and bookings.is_booked_again(row):
        return None
    id_, ref = own_id(row)
    cancels = [] if kind is FillKind.BUST else bookings.cancels(row)
    if kind is FillKind.BUST:
        ref = bookings.original(row)
    elif cancels or kind is FillKind.CORRECT or ref is not None:
        kind, ref = FillKind.CORRECT, bookings.original(row)
        if ref == id_ and not cancels:
            row.text("origTradeID")  # a correction of what it does not say
        id_ = id_ if id_ != ref else id_of("transaction", row.text("transactionID"))
    fee, currency = _fee(row)
    facts: dict[str, Any] = {
        "instrument": context.instrument(row.text("symbol"), lambda: instrument(row, context)),
        "side": side,
        "executed_at": _time(row, context),
        "order_id": id_of(row.text("ibOrderID")) if "ibOrderID" in row else None,
        CLIENT_ID: client_id(row.value.get("orderReference")),
        "ref": ref,
    }
    paid = {"fee": number_text(fee), "fee_currency": currency} if kind in TRADES else {}
    terms = {"quantity": number_text(abs(quantity)), "price": number_text(row.decimal("tradePrice"))}
    fill = context.fill(row.text("accountId"), fill_id=id_, kind=kind, **terms, **paid, **facts)
    if kind is not FillKind.CORRECT:
        return fill
    # What the rows of a trade charge adds up: its correction has the difference, or its cancellation pays back.
    fee += sum((_fee(other)[0] for other in cancels), ZERO)
    paid = {"fee": number_text(fee), "fee_currency": currency, "quantity": "0", "price": "0"}
    more = context.fill(row.text("accountId"), fill_id=f"{id_}:fee", kind=FillKind.FEE, **paid, **facts)
    return [fill, more] if fee else fill


def _by_hand(row: Row, what: str) -> NoReturn:
    raise contracts.event_by_hand(
        f"{what} {row.text_or('type', '?')} of {row.text_or('symbol', '?')}"
        f" ({row.text_or('actionDescription') or row.text_or('description', '')})"
    )


def _fee(row: Row) -> tuple[Decimal, str | None]:
    """Return what was paid: commission and taxes are negative in a statement."""
    fee, currency = -row.decimal_or("ibCommission"), row.text_or("ibCommissionCurrency")
    taxes = -row.decimal_or("taxes")
    if taxes and currency is not None and row.text_or("currency", currency) != currency:
        raise Rejected("UNSUPPORTED", f"commission is in {currency[:8]}, taxes are in another currency")
    return fee + taxes or ZERO, currency


def _time(row: Row, context: Context) -> str:
    zone = context.zone(NEW_YORK)
    if "dateTime" in row:
        return local_time(row, "dateTime", zone)
    text = f"{row.text('tradeDate')} {row.text('tradeTime')}"
    return from_text(text, zone, lambda what: row.bad("tradeDate", what))


def instrument(row: Row, context: Context) -> dict[str, Any]:
    kind, symbol = row.text("assetCategory"), row.text("symbol")
    currency = row.text_or("currency") or context.need(
        "currency", f"trade of {symbol[:40]!a} names no currency"
    )
    if kind == "STK":
        return contracts.equity(symbol, currency)
    if kind == "CRYPTO":
        return contracts.crypto(symbol.partition(".")[0], currency)
    if kind not in ("OPT", "FOP", "FUT"):
        raise Rejected("UNSUPPORTED", f"trades of assetCategory {kind[:20]!a} are not booked")
    size = row.text_or("multiplier") or context.need("multiplier", f"{symbol[:40]!a} has no multiplier")
    expiry = contracts.a_date(row.text("expiry"))
    underlying = row.text_or("underlyingSymbol")
    if kind == "FUT":
        return contracts.future(symbol.replace(" ", ""), currency, size, underlying, expiry.isoformat())
    root = symbol[:6].strip() if contracts.is_occ(symbol) else symbol.split(" ")[0]
    if kind == "OPT" and underlying and not contracts.is_occ(symbol):
        root = underlying.replace(" ", ".").upper()  # of `C ALV NOV 26 300 A` the text before says call
    return contracts.option(
        root,
        expiry,
        row.one_of("putCall", {"C": "C", "P": "P"}, "UNKNOWN_RIGHT"),
        row.decimal("strike"),
        currency,
        size,
        underlying.replace(" ", ".") if underlying else context.get("underlying"),
    )
