"""Interactive Brokers: executions, commission reports and open orders of TWS, trades of Flex statements, positions of both.

An execution id ends with its revision: `...01.01` is the execution, `...01.02` corrects it. Both are known by
what comes before. Each revision has a commission report of its own, and the last one counts. A combination is told as a
BAG and by its legs: the legs count.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from stopline.brokers import contracts
from stopline.brokers.dialect import Context, Dialect, Item, each, of_any
from stopline.brokers.flex_xml import read_flex
from stopline.brokers.holdings import Line, Open, statement_of
from stopline.brokers.moments import from_text, local_time, rfc3339
from stopline.brokers.row import Row, id_of, number_text
from stopline.ledger.leg_name import CLIENT_ID, client_id
from stopline.model.decimals import ZERO, divide
from stopline.model.errors import Rejected
from stopline.model.fill import TRADES, Fill, FillKind
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import decode_object

UNSET = 1e300  # IBKR writes the largest double where it knows no number
NEW_YORK = "America/New_York"  # of the times in Flex statements
SIDES = {"BOT": "BUY", "SLD": "SELL"}
WORKS = {  # whether an order of this status may still be executed
    **dict.fromkeys(("ApiPending", "PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel"), True),
    **dict.fromkeys(("ApiCancelled", "Cancelled", "Filled", "Inactive"), False),
}
LIMITED = ("LMT", "STP LMT", "LOC", "TRAIL LIMIT")
EVENTS = {"execDetails": "execution", "commissionReport": "fee", "both": "both"}
BUY_SELL = {"BUY": "BUY", "SELL": "SELL", "BUY (Ca.)": "BUY", "SELL (Ca.)": "SELL"}
TRANSACTIONS = {
    "ExchTrade": FillKind.TRADE,
    "DvpTrade": FillKind.TRADE,
    "FracShare": FillKind.TRADE,
    "TradeCorrect": FillKind.CORRECT,
    "TradeCancel": FillKind.BUST,
    "FracShareCancel": FillKind.BUST,
    "BookTrade": None,  # an assignment, exercise or expiry: the notes say which
}
NOTES = {
    "A": FillKind.ASSIGN,
    "Ex": FillKind.EXERCISE,
    "Ep": FillKind.EXPIRE,
    "L": FillKind.LIQUIDATION,
    "Ca": FillKind.BUST,
    "Co": FillKind.CORRECT,
}
Trades = Mapping[str, list[Row]]  # of one statement, by trade id
_REVISION = re.compile(r"(.+)\.([0-9]{2,4})")


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read an execution, or the trades of a Flex statement."""
    message = Row(value, "message")
    if "execution" in message:
        return each([message], lambda row: _execution(row, context))
    if "trades" in message:
        actions = message.rows("corporate_actions") if "corporate_actions" in message else ()
        rows = list(message.rows("trades"))
        by_trade: dict[str, list[Row]] = {}
        for row in rows:
            by_trade.setdefault(str(row.value.get("tradeID")), []).append(row)
        trades = each(rows, lambda row: _flex_trade(row, by_trade, context))
        return trades + each(actions, _corporate_action)
    if "transactionType" in message:
        return each([message], lambda row: _flex_trade(row, {}, context))
    if "positions" in message:
        return []
    raise of_any(
        (
            "`execution` with `contract`",
            "a Flex statement",
            "one of its trades (`transactionType`)",
            "`positions`",
        )
    )


# --- TWS ---


def _execution(message: Row, context: Context) -> Fill | list[Fill] | None:
    row = message.row("execution")
    event = message.one_of("event", EVENTS) if "event" in message else "both"
    contract = message.row("contract") if "contract" in message else None
    if contract is not None and contract.text("secType") == "BAG":
        return None
    symbol = contract.text("symbol") if contract is not None else row.text("execId")
    known, revision = _revision(row.text("execId"))
    facts: dict[str, Any] = {
        "instrument": context.instrument(symbol, lambda: _instrument(contract, context)),
        "side": row.one_of("side", SIDES, "UNKNOWN_SIDE"),
        "executed_at": local_time(row, "time", context.zone(None)),
        "order_id": id_of(row.text("permId")) if row.decimal_or("permId") else None,
        CLIENT_ID: client_id(row.value.get("orderRef")),
    }
    fee, currency = _commission(message, row.text("execId")) if event != "execution" else (None, None)
    account = row.text("acctNumber")
    if event == "fee":
        if fee is None:
            raise message.bad("commissionReport", "knows no commission yet")
        exec_id = id_of(row.text("execId"))
        paid = {"fee": number_text(fee), "fee_currency": currency, "quantity": "0", "price": "0"}
        ref = exec_id if revision > 1 else known
        return context.fill(account, fill_id=f"{exec_id}:fee", kind=FillKind.FEE, ref=ref, **paid, **facts)
    kind = FillKind.LIQUIDATION if row.decimal_or("liquidation") else FillKind.TRADE
    if revision > 1:
        kind = FillKind.CORRECT
    return context.fill(
        account,
        fill_id=id_of(row.text("execId")) if revision > 1 else known,
        ref=known if revision > 1 else None,
        kind=kind,
        quantity=number_text(row.decimal("shares")),
        price=number_text(row.decimal("price")),
        fee=number_text(fee) if fee is not None else None,
        fee_currency=currency if fee is not None else None,
        provisional=row.value.get("pendingPriceRevision") is True,
        **facts,
    )


def _commission(message: Row, exec_id: str) -> tuple[Decimal | None, str | None]:
    if "commissionReport" not in message:
        return None, None
    report = message.row("commissionReport")
    if report.text("execId") != exec_id:
        raise Rejected(
            "CONTRADICTION", f"the commission report is of another execution than {exec_id[:60]!a}"
        )
    if not _is_set(report, "commission"):
        return None, None
    return report.decimal("commission"), report.text_or("currency")


def _is_set(row: Row, field: str) -> bool:
    """Tell whether a number is there and known: the largest double, as a number or a text, is neither."""
    if field not in row:
        return False
    try:
        return float(row.value[field]) < UNSET
    except (TypeError, ValueError):
        return True  # it is said elsewhere what is wrong with it


def _revision(exec_id: str) -> tuple[str, int]:
    """Split an execution id into what stays and the revision; an id without one is of the first."""
    match = _REVISION.fullmatch(exec_id)
    return (id_of(match[1]), int(match[2])) if match else (id_of(exec_id), 1)


def _instrument(contract: Row | None, context: Context) -> dict[str, Any]:
    if contract is None:
        raise Rejected(
            "MISSING_ATTRIBUTE",
            "the message has no `contract`: publish it with the execution, or set attribute `instrument`",
        )
    kind, symbol = contract.text("secType"), contract.text("symbol")
    currency = contract.text_or("currency") or context.need("currency", "the contract names no currency")
    if kind == "STK":
        return contracts.equity(symbol, currency)
    if kind == "CRYPTO":
        return contracts.crypto(symbol, currency)
    if kind not in ("OPT", "FOP", "FUT"):
        raise Rejected("UNSUPPORTED", f"contracts of secType {kind[:20]!a} are not booked")
    size = contract.text_or("multiplier") or context.need("multiplier", "the contract has no multiplier")
    expiry = contracts.a_date(contract.text("lastTradeDateOrContractMonth"))
    local = contract.text_or("localSymbol") or ""
    if kind == "FUT":
        if not local:
            raise contract.bad("localSymbol", "is missing: it names the future")
        return contracts.future(local.replace(" ", ""), currency, size, symbol, expiry.isoformat())
    return contracts.option(
        contract.text_or("tradingClass") or symbol,
        expiry,
        contract.one_of("right", {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}, "UNKNOWN_RIGHT"),
        contract.decimal("strike"),
        currency,
        size,
        symbol.replace(" ", "."),
    )


# --- Flex ---


def _flex_trade(row: Row, by_trade: Trades, context: Context) -> Fill | list[Fill] | None:
    if row.one_of(
        "levelOfDetail", {"EXECUTION": False, "ORDER": True, "SYMBOL_SUMMARY": True, "CLOSED_LOT": True}
    ):
        return None
    kind = _flex_kind(row)
    side, quantity = row.one_of("buySell", BUY_SELL, "UNKNOWN_SIDE"), row.decimal("quantity")
    if kind is not FillKind.BUST and quantity and (quantity > 0) != (side == "BUY"):
        raise Rejected("CONTRADICTION", f"buySell is {side}, quantity {quantity}")
    id_, ref = _flex_id(row)
    if ref is not None and kind is FillKind.TRADE:
        kind = FillKind.CORRECT
    elif kind is FillKind.BUST:
        ref = _busted(row, by_trade)
        if ref is None:
            return None
    elif kind is FillKind.CORRECT and ref is None:
        ref = _original(row, by_trade)
    fee, currency = _flex_fee(row)
    facts: dict[str, Any] = {
        "instrument": context.instrument(row.text("symbol"), lambda: _flex_instrument(row, context)),
        "side": side,
        "executed_at": _flex_time(row, context),
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
    fee += sum((_flex_fee(other)[0] for other in _cancels(row, by_trade)), ZERO)
    paid = {"fee": number_text(fee), "fee_currency": currency, "quantity": "0", "price": "0"}
    more = context.fill(row.text("accountId"), fill_id=f"{id_}:fee", kind=FillKind.FEE, **paid, **facts)
    return [fill, more] if fee else fill


def _corporate_action(row: Row) -> None:
    raise contracts.event_by_hand(
        f"corporate action {row.text_or('type', '?')} of {row.text_or('symbol', '?')}"
        f" ({row.text_or('actionDescription') or row.text_or('description', '')})"
    )


def _flex_kind(row: Row) -> FillKind:
    kind = row.one_of("transactionType", TRANSACTIONS)
    notes = (row.text_or("notes") or "").split(";")
    told = [NOTES[note] for note in notes if note in NOTES]
    if "(Ca.)" in row.text("buySell") or FillKind.BUST in told:
        return FillKind.BUST
    if kind is not None:
        return told[0] if told and kind is FillKind.TRADE else kind
    if not told:
        raise Rejected("UNKNOWN_STATUS", f"a BookTrade with notes {';'.join(notes)[:40]!a} is not known")
    return told[0]


def _flex_id(row: Row) -> tuple[str, str | None]:
    """Return the id of a trade, and of which it is a revision: the execution's where there is one."""
    if "ibExecID" in row:
        known, revision = _revision(row.text("ibExecID"))
        return (id_of(row.text("ibExecID")), known) if revision > 1 else (known, None)
    name = "tradeID" if "tradeID" in row else "transactionID"
    return id_of({"tradeID": "trade", "transactionID": "transaction"}[name], row.text(name)), None


def _cancels(row: Row, by_trade: Trades) -> list[Row]:
    """Return the cancellations, of the same statement, of the trade that a row books again."""
    trade = row.text_or("origTradeID") or row.text_or("tradeID")
    rows = (other for rows in by_trade.values() for other in rows)
    return [
        r
        for r in rows
        if r is not row and r.text_or("origTradeID") == trade and _flex_kind(r) is FillKind.BUST
    ]


def _busted(row: Row, by_trade: Trades) -> str | None:
    """Return which trade a cancellation is about; None where the same statement books it again, corrected."""
    original = row.text("origTradeID")
    if any(_flex_id(other)[1] is not None for other in by_trade.get(original, ())):
        return None
    return _original(row, by_trade)


def _original(row: Row, by_trade: Trades) -> str:
    """Return our id of the trade that `origTradeID` names. A cancellation names no execution, so the trade must
    stand in the same statement to be found by that; else it is known by its trade id.
    """
    original = row.text("origTradeID")
    for other in by_trade.get(original, ()):
        if other is not row:
            id_, ref = _flex_id(other)
            return ref or id_
    return id_of("trade", original)


def _flex_fee(row: Row) -> tuple[Decimal, str | None]:
    """Return what was paid: commission and taxes are negative in a statement."""
    fee, currency = -row.decimal_or("ibCommission"), row.text_or("ibCommissionCurrency")
    taxes = -row.decimal_or("taxes")
    if taxes and currency is not None and row.text_or("currency", currency) != currency:
        raise Rejected("UNSUPPORTED", f"commission is in {currency[:8]}, taxes are in another currency")
    return fee + taxes or ZERO, currency


def _flex_time(row: Row, context: Context) -> str:
    zone = context.zone(NEW_YORK)
    if "dateTime" in row:
        return local_time(row, "dateTime", zone)
    text = f"{row.text('tradeDate')} {row.text('tradeTime')}"
    return from_text(text, zone, lambda what: row.bad("tradeDate", what))


def _flex_instrument(row: Row, context: Context) -> dict[str, Any]:
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
    return contracts.option(
        root,
        expiry,
        row.one_of("putCall", {"C": "C", "P": "P"}, "UNKNOWN_RIGHT"),
        row.decimal("strike"),
        currency,
        size,
        underlying.replace(" ", ".") if underlying else context.get("underlying"),
    )


# --- positions ---


def statement(value: dict[str, Any], context: Context) -> Statement | None:
    """Read the open positions of a Flex statement, as of the end of its last day, or `{"account", "as_of",
    "positions": [...], "orders": [...]}` with what TWS answers to requests for positions and all open orders.
    """
    message = Row(value, "message")
    if "positions" not in message:
        return None
    rows = list(message.rows("positions"))
    accounts = {row.text("accountId" if "accountId" in row else "account") for row in rows}
    accounts |= {message.text("account")} if "account" in message else set()
    if len(accounts) != 1:
        raise Rejected("CONTRADICTION", f"the statement is of {len(accounts)} accounts: send one of each")
    is_flex = "toDate" in message
    return statement_of(
        rows,
        (lambda row: _flex_position(row, context)) if is_flex else (lambda row: _tws_position(row, context)),
        context,
        accounts.pop(),
        _end_of(message.text("toDate")) if is_flex else rfc3339(message, "as_of"),
        (message, lambda row: _open(row, context)),
        complete=message.value.get("complete", True),
        problem=message.text_or("problem"),
    )


def _flex_position(row: Row, context: Context) -> Line | None:
    if row.text_or("levelOfDetail", "SUMMARY") != "SUMMARY":
        return None  # its lots: the summary has them
    price = row.decimal("costBasisPrice") if "costBasisPrice" in row else None
    return Line(_flex_instrument(row, context), row.decimal("position"), price)


def _tws_position(row: Row, context: Context) -> Line:
    contract = _instrument(row.row("contract"), context)
    cost = row.decimal("avgCost") if _is_set(row, "avgCost") else None
    size = Decimal(str(contract.get("multiplier", "1")))
    return Line(contract, row.decimal("position"), None if cost is None else divide(cost, size))


def _open(row: Row, context: Context) -> Iterator[Open]:
    """Yield what an order of TWS leaves open: `{"contract", "order", "orderStatus"}`. A combination names its legs by
    number only, so it cannot be read.
    """
    order, status = row.row("order"), row.row("orderStatus")
    if status.one_of("status", WORKS):
        limited = order.text("orderType") in LIMITED and _is_set(order, "lmtPrice")
        yield Open(
            id_of(order.text("permId")),
            _instrument(row.row("contract"), context),
            order.one_of("action", {"BUY": "BUY", "SELL": "SELL", "SSHORT": "SELL"}, "UNKNOWN_SIDE"),
            status.decimal("remaining") if "remaining" in status else order.decimal("totalQuantity"),
            order.decimal("lmtPrice") if limited else None,
        )


def _end_of(day: str) -> str:
    """Return when a trading day ends: what is traded later counts for the next."""
    moment = datetime.combine(contracts.a_date(day), time(20), ZoneInfo(NEW_YORK))
    return utc_text(moment.astimezone(UTC))


def decode(data: bytes) -> dict[str, Any]:
    """Read JSON, or the XML of a Flex statement."""
    return read_flex(data) if data.lstrip()[:1] == b"<" else decode_object(data)


DIALECT = Dialect(parse, decode, statement)
