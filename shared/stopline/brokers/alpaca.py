"""Alpaca: trade updates (websocket and broker events), account activities, open positions and orders.

Executions are `fill` and `partial_fill`: quantity and price stand beside the order, what the order says of
itself is cumulative. An update has no fee and no account. Several legs give one fill each.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from stopline.brokers import contracts
from stopline.brokers.contracts import split_id
from stopline.brokers.cumulative import filled
from stopline.brokers.dialect import Context, Dialect, Item, each, of_any
from stopline.brokers.holdings import Line, Open, statement_of
from stopline.brokers.moments import at_close, at_midnight, rfc3339
from stopline.brokers.row import Row, id_of, number_text
from stopline.ledger.leg_name import client_id
from stopline.model.decimals import ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind
from stopline.model.statement import Statement

QUOTES = ("USD", "USDT", "USDC", "BTC")
SIDES = {"buy": "BUY", "sell": "SELL", "sell_short": "SELL", "buy_minus": "BUY", "sell_plus": "SELL"}
KINDS = {
    "fill": FillKind.TRADE,
    "partial_fill": FillKind.TRADE,
    "trade_correct": FillKind.CORRECT,
    "trade_bust": FillKind.BUST,
}
STATES = (
    "new accepted accepted_for_bidding pending_new canceled pending_cancel expired replaced pending_replace "
    "rejected done_for_day stopped suspended calculated held restated order_replace_rejected "
    "order_cancel_rejected"
)
EVENTS: dict[str, FillKind | None] = {**KINDS, **dict.fromkeys(STATES.split())}
WORKING = (
    "new accepted accepted_for_bidding pending_new partially_filled held pending_cancel pending_replace "
    "pending_review done_for_day stopped suspended calculated"
)
OVER = "filled canceled expired replaced rejected"
WORKS = {
    **dict.fromkeys(WORKING.split(), True),
    **dict.fromkeys(OVER.split(), False),
}  # by status of the order
LIFECYCLE = {"OPASN": FillKind.ASSIGN, "OPEXC": FillKind.EXERCISE, "OPEXP": FillKind.EXPIRE}
FEES = {"FEE", "CFEE"}
SPLITS = {"FSPLIT", "RSPLIT"}  # a unit split (USPLIT) is into other contracts
PAYMENTS = {
    "CSD": FillKind.FLOW,
    "CSW": FillKind.FLOW,
}  # and DIV, DIVNRA, DIVROC ...: cash dividends and their taxes


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read a trade update, an activity, or `{"activities": [...]}`."""
    message = Row(value, "message")
    if "activity_type" in message:
        return each([message], lambda row: _activity(row, context, {}))
    if "activities" in message:
        rows = list(message.rows("activities"))
        causes = {
            row.text_or("id", "") or "": LIFECYCLE[str(row.value["activity_type"])]
            for row in rows
            if str(row.value.get("activity_type")) in LIFECYCLE
        }
        return each(rows, lambda row: _activity(row, context, causes))
    if "positions" in message:
        return []
    if "stream" in message:
        if message.one_of("stream", {"trade_updates": True, "authorization": False, "listening": False}):
            return _update(message.row("data"), context)
        return []
    if "event" in message and "order" in message:
        return _update(message, context)
    raise of_any(
        ("a trade update (`stream`, `event`)", "an activity (`activity_type`)", "`activities`", "`positions`")
    )


def _update(data: Row, context: Context) -> list[Item]:
    kind = data.one_of("event", EVENTS)
    if kind is None:
        return []
    order = data.row("order")
    if not data.value.get("legs"):
        if order.text_or("order_class") == "mleg":
            raise data.bad("legs", "is missing, but the order has several legs")
        return each([data], lambda row: _execution(row, order, kind, context, None))
    legs = {leg.text("id"): leg for leg in order.rows("legs")}

    def leg(row: Row) -> Fill:
        of = legs.get(row.text("order_id"))
        if of is None:
            raise row.bad("order_id", "is of no leg of the order")
        return _execution(row, of, kind, context, data)

    return each(data.rows("legs"), leg)


def _execution(row: Row, order: Row, kind: FillKind, context: Context, parent: Row | None) -> Fill:
    symbol = order.text_or("symbol") or row.text("symbol")
    at = row if "timestamp" in row or parent is None else parent
    told = (row if parent is None else parent).text_or("account_id")
    bust = kind is FillKind.BUST
    return context.fill(
        told,
        fill_id=id_of(row.text("execution_id")),
        instrument=_instrument(symbol, order.text_or("asset_class"), context),
        side=order.one_of("side", SIDES),
        quantity=number_text(abs(row.decimal_or("qty") if bust else row.decimal("qty"))),
        price=number_text(row.decimal_or("price") if bust else row.decimal("price")),
        executed_at=rfc3339(at, "timestamp"),
        order_id=id_of(order.text("id")),
        group_id=id_of(parent.row("order").text("id")) if parent else None,
        client_order_id=client_id((parent.row("order") if parent else order).value.get("client_order_id")),
        kind=kind,
        order_filled=filled(order, "filled_qty"),
        ref=None
        if kind is FillKind.TRADE
        else _previous(row if "previous_execution_id" in row else parent or row),
    )


def _activity(row: Row, context: Context, causes: dict[str, FillKind]) -> Fill | list[Fill] | None:
    kind = row.text("activity_type")
    if kind == "FILL":
        return _fill_activity(row, context)
    if row.text_or("status", "executed") not in ("executed", "correct"):
        raise Rejected("UNKNOWN_STATUS", f"activity of status {row.text('status')[:40]!a} is not executed")
    if kind in FEES:
        return _fee(row, context)
    if kind in LIFECYCLE or kind in ("OPTRD", "OPCSH"):
        return _lifecycle(row, kind, context, causes)
    if kind in PAYMENTS or kind.startswith("DIV"):
        return _payment(row, PAYMENTS.get(kind, FillKind.DIVIDEND), context)
    if kind == "SPLIT" and row.text_or("activity_subtype") in SPLITS and "details" in row:
        return _split(row, row.row("details"), context)
    raise contracts.event_by_hand(f"activity {kind[:20]} of {row.text_or('symbol') or 'the account'}")


def _fill_activity(row: Row, context: Context) -> Fill:
    kind = row.one_of("execution_type" if "execution_type" in row else "type", KINDS)
    id_ = row.text_or("execution_id") or row.text("id").rpartition("::")[2]
    return context.fill(
        row.text_or("account_id"),
        fill_id=id_of(id_),
        instrument=_instrument(row.text("symbol"), row.text_or("asset_class"), context),
        side=row.one_of("side", SIDES),
        quantity=number_text(abs(row.decimal("qty"))),
        price=number_text(row.decimal("price")),
        executed_at=rfc3339(row, "transaction_time"),
        order_id=id_of(row.text("order_id")),
        kind=kind,
        order_filled=filled(row, "cum_qty"),
        ref=None if kind is FillKind.TRADE else _previous(row),
    )


def _fee(row: Row, context: Context) -> Fill:
    """Return a fee of a day: the activity names no execution. Cash out is negative there, and paid here. One that is taken
    in coins says how many, and at which price.
    """
    currency = row.text_or("currency") or context.word("currency", "USD")
    symbol = row.text_or("symbol")
    of = row.text_or("asset_class", "crypto" if row.text("activity_type") == "CFEE" else None)
    contract = _instrument(symbol, of, context) if symbol else contracts.cash(currency)
    fee, asset, price = -row.decimal_or("net_amount"), currency, ZERO
    base = contract.get("base")
    if not fee and base and "qty" in row:
        fee, asset, price = -row.decimal("qty"), base, row.decimal("price")
        if price <= 0:
            raise row.bad("price", f"must be above 0: it is what the fee of {-fee} {base} was worth")
    elif "net_amount" not in row:
        raise row.bad("net_amount", "is missing")
    return context.fill(
        row.text_or("account_id"),
        fill_id=id_of(row.text("activity_type"), row.text("id")),
        instrument=contract,
        side="BUY",
        quantity="0",
        price=number_text(price),
        fee=number_text(fee),
        fee_currency=asset,
        executed_at=_day(row),
        kind=FillKind.FEE,
    )


def _payment(row: Row, kind: FillKind, context: Context) -> Fill:
    """Return a dividend, or a deposit or withdrawal. Cash in is positive there, and negative here."""
    currency = row.text_or("currency") or context.word("currency", "USD")
    symbol = row.text_or("symbol") if kind is FillKind.DIVIDEND else None
    return context.fill(
        row.text_or("account_id"),
        fill_id=id_of(row.text("activity_type"), row.text("id")),
        instrument=_instrument(symbol, row.text_or("asset_class"), context)
        if symbol
        else contracts.cash(currency),
        side="BUY",
        quantity="0",
        price="0",
        fee=number_text(-row.decimal("net_amount")),
        fee_currency=currency,
        executed_at=_day(row, at_midnight),  # it is for what was held before, and told in the morning
        kind=kind,
    )


def _split(row: Row, details: Row, context: Context) -> Fill:
    """Return a split. It is told twice, by what is taken out and by what is put in, and is the same event both times; it
    holds from the ex-date on. The ratio counts: what is held after it may be told rounded, by less than a unit.
    """
    if row.text_or("status", "executed") != "executed":
        raise Rejected("UNKNOWN_STATUS", f"a split of status {row.text('status')[:40]!a} is not executed")
    symbol, old, new = details.text("symbol"), details.decimal("old_rate"), details.decimal("new_rate")
    held, holds = details.decimal_or("old_qty"), details.decimal_or("new_qty")
    if held and abs(held * new - holds * old) >= old:  # a fraction is rounded, or paid in cash
        raise Rejected("CONTRADICTION", f"{held} units by {new} for {old} are not the {holds} that are told")
    return context.fill(
        row.text_or("account_id"),
        fill_id=split_id(context, details.text("ca_id")),
        instrument=_instrument(symbol, row.text_or("asset_class"), context),
        side="BUY",
        quantity=number_text(new),
        price=number_text(old),
        executed_at=at_midnight(contracts.a_date(details.text("ex_date"))),
        kind=FillKind.SPLIT,
    )


def _lifecycle(row: Row, kind: str, context: Context, causes: dict[str, FillKind]) -> Fill:
    """Return an assignment, exercise, expiry, cash settlement, or the delivery of shares that comes with it."""
    id_, quantity, price = row.text("id"), row.decimal("qty"), row.decimal_or("price")
    contract = _instrument(row.text("symbol"), row.text_or("asset_class"), context)
    if kind == "OPTRD":
        made = causes.get(id_, FillKind.ASSIGN)
        if price * quantity != -row.decimal("net_amount"):
            raise Rejected(
                "CONTRADICTION", f"activity {id_[:60]!a}: qty x price is not the net_amount that was paid"
            )
    elif kind == "OPCSH":
        made = FillKind.SETTLE
        price = contracts.settlement_price(-row.decimal("net_amount"), quantity, contract)
    else:
        made = LIFECYCLE[kind]
    return context.fill(
        row.text_or("account_id"),
        fill_id=id_of(kind, id_),
        instrument=contract,
        side="BUY" if quantity > 0 else "SELL",
        quantity=number_text(abs(quantity)),
        price=number_text(price),
        executed_at=_day(row),
        group_id=id_of(id_),
        kind=made,
    )


def _previous(row: Row) -> str:
    for name in ("previous_execution_id", "previous_id"):
        if name in row:
            return id_of(row.text(name).rpartition("::")[2])
    raise row.bad("previous_execution_id", "is missing: a bust or correction must say of which execution")


def _day(row: Row, when: Callable[[date], str] = at_close) -> str:
    """Return the time of an activity; of one that has a date only, `when` on that day, in New York."""
    for name in ("transaction_time", "executed_at"):
        if name in row:
            return rfc3339(row, name)
    return when(contracts.a_date(row.text("date")))


def _instrument(symbol: str, asset_class: str | None, context: Context) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        if asset_class == "crypto" or (asset_class is None and "/" in symbol):
            return contracts.crypto(*contracts.pair(symbol, context, QUOTES))
        if contracts.is_occ(symbol):
            return contracts.occ_option(symbol, context)
        if asset_class not in (None, "us_equity"):
            raise Rejected("UNSUPPORTED", f"asset class {asset_class[:20]!a} of {symbol[:40]!a} is not known")
        if asset_class is None and context.get("kind", "equity") == "crypto":
            return contracts.crypto(*contracts.pair(symbol, context, QUOTES))
        return contracts.equity(symbol, context.word("currency", "USD"))

    return context.instrument(symbol, read)


# --- positions ---


def statement(value: dict[str, Any], context: Context) -> Statement | None:
    """Read `{"positions": [...], "as_of": ..., "account": {...}, "orders": [...]}`: what the API answers to positions,
    account and open orders (`nested`, which names the legs), and when it was asked, which the answers do not say.
    """
    message = Row(value, "message")
    if "positions" not in message:
        return None
    account = message.row("account") if "account" in message else Row({}, "message.account")
    told = "equity" in account or "initial_margin" in account
    return statement_of(
        message.rows("positions"),
        lambda row: _position(row, context),
        context,
        account.text_or("account_number"),
        rfc3339(message, "as_of"),
        (message, lambda row: _open(row, context)),
        complete=message.value.get("complete", True),
        problem=message.text_or("problem"),
        currency=account.text_or("currency", "USD") if told else None,
        equity=number_text(account.decimal("equity")) if "equity" in account else None,
        margin=number_text(account.decimal("initial_margin")) if "initial_margin" in account else None,
    )


def _position(row: Row, context: Context) -> Line:
    long = row.one_of("side", {"long": True, "short": False}, "UNKNOWN_SIDE")
    units = abs(row.decimal("qty"))
    contract = _instrument(row.text("symbol"), row.text_or("asset_class"), context)
    return Line(contract, units if long else -units, abs(row.decimal("avg_entry_price")))


def _open(order: Row, context: Context) -> Iterator[Open]:
    """Yield what an order leaves open, and what the orders do that hang on it: a bracket's are orders of their own."""
    legs = list(order.rows("legs")) if order.value.get("legs") else []
    several = order.text_or("order_class") == "mleg"
    if order.one_of("status", WORKS) and not several:
        yield _left(order, order, context, order.text_or("limit_price") is not None)
    if several and not legs:
        raise order.bad("legs", "is missing, but the order has several legs")
    for leg in legs:
        if several and order.one_of("status", WORKS):
            yield _left(leg, order, context, False)
        elif not several:
            yield from _open(leg, context)


def _left(leg: Row, order: Row, context: Context, limited: bool) -> Open:
    whole = leg.decimal("qty") if "qty" in leg else order.decimal("qty") * leg.decimal("ratio_qty")
    return Open(
        id_of(leg.text("id")),
        _instrument(leg.text("symbol"), leg.text_or("asset_class"), context),
        leg.one_of("side", SIDES, "UNKNOWN_SIDE"),
        whole - leg.decimal_or("filled_qty"),
        leg.decimal("limit_price") if limited else None,
        order.value.get("client_order_id"),
    )


DIALECT = Dialect(parse, statement=statement)
