"""Interactive Brokers: executions, commission reports and open orders of TWS, trades of Flex statements, positions of both.

An execution id ends with its revision: `...01.01` is the execution, `...01.02` corrects it. Both are known by
what comes before. Each revision has a commission report of its own, and the last one counts. A combination is told as a
BAG and by its legs: the legs count.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from stopline.brokers import contracts, flex, flex_cash, moments
from stopline.brokers.cumulative import filled
from stopline.brokers.dialect import Context, Dialect, Item, each, of_any
from stopline.brokers.flex_rows import revision_of
from stopline.brokers.flex_xml import read_flex
from stopline.brokers.holdings import Line, Open, statement_of
from stopline.brokers.moments import local_time, rfc3339
from stopline.brokers.row import Row, id_of, number_text
from stopline.ledger.leg_name import CLIENT_ID, client_id
from stopline.model.decimals import divide
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.model.wire import decode_object

UNSET = 1e300  # IBKR writes the largest double where it knows no number
SIDES = {"BOT": "BUY", "SLD": "SELL"}
WORKS = {  # whether an order of this status may still be executed
    **dict.fromkeys(("ApiPending", "PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel"), True),
    **dict.fromkeys(("ApiCancelled", "Cancelled", "Filled", "Inactive"), False),
}
LIMITED = ("LMT", "STP LMT", "LOC", "TRAIL LIMIT")
EVENTS = {"execDetails": "execution", "commissionReport": "fee", "both": "both"}


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read an execution, or the trades of a Flex statement."""
    message = Row(value, "message")
    if "execution" in message:
        return each([message], lambda row: _execution(row, context))
    if "trades" in message or "cash_transactions" in message:
        return flex.events(message, context) + flex_cash.events(message, context)
    if "transactionType" in message:
        return flex.trades([message], context)
    if "positions" in message:
        return []
    raise of_any(
        (
            "`execution` with `contract`",
            "a Flex statement (`trades`, `cash_transactions`)",
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
    known, revision = revision_of(row.text("execId"))
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
        order_filled=filled(row, "cumQty"),
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
    if "execId" not in report and not (_is_set(report, "commission") and report.decimal("commission")):
        return None, None  # as ib_async begins one: it has not come
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
    return Line(flex.instrument(row, context), row.decimal("position"), price)


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
            order.value.get("orderRef"),
        )


def _end_of(day: str) -> str:
    """Return when a trading day ends: what is traded later counts for the next."""
    moment = datetime.combine(contracts.a_date(day), time(20), ZoneInfo(moments.NEW_YORK))
    return utc_text(moment.astimezone(UTC))


def decode(data: bytes) -> dict[str, Any]:
    """Read JSON, or the XML of a Flex statement."""
    return read_flex(data) if data.lstrip()[:1] == b"<" else decode_object(data)


DIALECT = Dialect(parse, decode, statement)
