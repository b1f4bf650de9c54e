"""Trades of the Flex statements of Interactive Brokers, and the contracts that their rows are of.

Executions count, not the orders and lots that they add up to. A trade that is cancelled and booked again is what its last
row says, whichever statements have the rows (`ledger/bookings.py`).
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from stopline.brokers import contracts
from stopline.brokers.dialect import Context, Item, each
from stopline.brokers.flex_rows import EXECUTION, Bookings, kind_of, named_by, own_id
from stopline.brokers.moments import NEW_YORK, from_text, local_time
from stopline.brokers.row import Row, id_of, number_text
from stopline.ledger.bookings import ORIGINAL, TRADE, TRANSACTION, booked_again, trade_id, transaction_id
from stopline.ledger.leg_name import CLIENT_ID, client_id
from stopline.model.decimals import ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind

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
    """Read a row so that it says the same whatever else its statement has: others may have the rows that it belongs to."""
    if not row.one_of("levelOfDetail", LEVELS):
        return None
    kind = kind_of(row)
    side, quantity = row.one_of("buySell", BUY_SELL, "UNKNOWN_SIDE"), row.decimal("quantity")
    if kind is not FillKind.BUST and quantity and (quantity > 0) != (side == "BUY"):
        raise Rejected("CONTRADICTION", f"buySell is {side}, quantity {quantity}")
    number, (fee, currency) = bookings.number(row), _fee(row)
    if kind is FillKind.BUST and number is None:
        if fee or not bookings.is_booked_again(row):
            raise row.bad("transactionID", "is missing, or that of another row too: it says what came last")
        return None
    facts = _facts(row, side, number, context)
    if kind is FillKind.BUST:
        ref = named_by(row) or trade_id(id_of(row.text("origTradeID")))
        facts[ORIGINAL] = bookings.original(row)
        return _changes(row, kind, transaction_id(str(number)), ref, facts, context)
    id_, revised = own_id(row)
    if revised is not None:
        return _once(row, _changes(row, FillKind.CORRECT, id_, revised, facts, context), bookings)
    other = named_by(row)
    if kind is FillKind.CORRECT and other is None and bookings.is_alone(row):
        row.text("origTradeID")  # a correction of what it does not say
    kind = FillKind.TRADE if kind is FillKind.CORRECT else kind
    paid = {"fee": number_text(fee), "fee_currency": currency}
    fill = context.fill(row.text("accountId"), fill_id=id_, kind=kind, **_terms(row), **paid, **facts)
    fills = _once(row, [fill], bookings)
    if other is not None:  # which is taken back, also where a query leaves that row out
        row_id = id_ if number is None else transaction_id(number)
        bust = {**facts, "kind": FillKind.BUST, "fill_id": f"{row_id}:original", "ref": other}
        fills.append(context.fill(row.text("accountId"), **_terms(row), **bust))
    return fills


def _facts(row: Row, side: str, number: str | None, context: Context) -> dict[str, Any]:
    return {
        "instrument": context.instrument(row.text("symbol"), lambda: instrument(row, context)),
        "side": side,
        "executed_at": _time(row, context),
        "order_id": id_of(row.text("ibOrderID")) if "ibOrderID" in row else None,
        CLIENT_ID: client_id(row.value.get("orderReference")),
        TRADE: id_of(row.text("tradeID")) if "tradeID" in row else None,
        TRANSACTION: number,
    }


def _once(row: Row, fills: list[Fill], bookings: Bookings) -> list[Fill]:
    """Return the fills of a row, under the row's own id where another one before it has theirs."""
    if not bookings.is_again(row):
        return fills
    transaction = id_of(row.text("transactionID"))
    return [again for fill in fills for again in booked_again(fill, transaction)]


def _changes(
    row: Row, kind: FillKind, id_: str, ref: str, facts: dict[str, Any], context: Context
) -> list[Fill]:
    """Return what a row changes of a trade, and what it charges itself: what the rows of a trade charge adds up."""
    fee, currency = _fee(row)
    facts = {**facts, "ref": ref}
    fills = [context.fill(row.text("accountId"), fill_id=id_, kind=kind, **_terms(row), **facts)]
    if fee:
        paid = {"fee": number_text(fee), "fee_currency": currency, "quantity": "0", "price": "0"}
        facts |= {"fill_id": f"{id_}:fee", "kind": FillKind.FEE}
        fills.append(context.fill(row.text("accountId"), **paid, **facts))
    return fills


def _terms(row: Row) -> dict[str, str]:
    return {
        "quantity": number_text(abs(row.decimal("quantity"))),
        "price": number_text(row.decimal("tradePrice")),
    }


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
