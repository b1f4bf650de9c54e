r"""FIX execution reports (35=8): tag=value text with SOH or `|`, or a JSON object of tags.

FIX 4.4 says by ExecType (150) what a report is: F a trade, G its correction, H its cancel; FIX 4.2 says it by
ExecTransType (20). Of a multi-leg order the legs count (442=2), not the total (442=3).

ExecID (17) is unique on a day only, so it is ours together with the day: that of the trade (75), else of the report (60). A
correction or cancel of an earlier day's trade carries 75; where it does not, the ledger finds the trade by number, order and
side.
"""

import re
from decimal import Decimal
from typing import Any

from stopline.brokers import contracts
from stopline.brokers.cumulative import filled
from stopline.brokers.dialect import Context, Dialect, Item, each
from stopline.brokers.moments import from_text
from stopline.brokers.row import Row, decimal_of, id_of, number_text
from stopline.ledger.leg_name import client_id, if_marked
from stopline.model.decimals import ZERO, divide
from stopline.model.errors import Rejected
from stopline.model.fill import ASSUMED, Fill, FillKind
from stopline.model.wire import MAX_BYTES, decode_object

SOH = "\x01"
REPORT = "8"
NO_FILLS = {
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "9",
    "A",
    "h",
    "j",
}  # session messages, cancel rejects, business rejects
EXEC_TYPES: dict[str, FillKind | None] = {
    "F": FillKind.TRADE,
    "G": FillKind.CORRECT,
    "H": FillKind.BUST,
    **dict.fromkeys(
        ["0", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "I", "L"]
    ),  # states of the order
}
FIX42_TYPES = {**EXEC_TYPES, "1": FillKind.TRADE, "2": FillKind.TRADE}
TRANS_TYPES = {"0": FillKind.TRADE, "1": FillKind.BUST, "2": FillKind.CORRECT, "3": None}
STATUSES = dict.fromkeys("0123456789ABCDE", True)  # OrdStatus of 4.2 and 4.4
SIDES = {"1": "BUY", "2": "SELL", "3": "BUY", "4": "SELL", "5": "SELL", "6": "SELL"}
PARTS = {"1": False, "2": False, "3": True}  # MultiLegReportingType: is it the total
RIGHTS = {"0": "P", "1": "C"}
SECURITY_TYPES = {
    **dict.fromkeys(("CS", "PS", "ETF", "MF"), "equity"),
    **dict.fromkeys(("OPT", "OOF", "OOC", "OOP"), "option"),
    "FUT": "future",
}
KINDS = dict.fromkeys(("equity", "option", "future", "crypto"), True)
REPEATED = {"137", "138"}  # the amounts of the fee group add up, of one currency
USED = {
    "1",
    "6",
    "12",
    "13",
    "15",
    "17",
    "18",
    "19",
    "20",
    "31",
    "32",
    "35",
    "37",
    "39",
    "43",
    "54",
    "55",
    "60",
    "75",
    "150",
    "167",
    "200",
    "201",
    "202",
    "205",
    "231",
    "442",
    "541",
}
_TAG = re.compile(r"[1-9][0-9]{0,5}")
_UTC = re.compile(r"[0-9]{8}-[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?")


def parse(value: dict[str, Any], context: Context) -> list[Item]:
    """Read one message as tags."""
    message = Row(value, "tag")
    kind = message.text("35")
    if kind in NO_FILLS:
        return []
    if kind != REPORT:
        raise Rejected("UNKNOWN_MESSAGE", f"35={kind[:10]} is no execution report (35=8)")
    return each([message], lambda row: _report(row, context))


def _report(row: Row, context: Context) -> Fill | None:
    kind = _kind(row)
    if "39" in row:
        row.one_of("39", STATUSES)
    if kind is None or ("442" in row and row.one_of("442", PARTS)):
        return None
    symbol, bust = row.text("55"), kind is FillKind.BUST
    executed_at = _time(row)
    day = row.text_or("75") or executed_at[:10].replace("-", "")
    name = symbol.replace(" ", "")
    quantity = row.decimal_or("32") if bust else row.decimal("32")
    price = row.decimal_or("31") if bust else row.decimal("31")
    contract = context.instrument(symbol, lambda: _instrument(row, symbol, context))
    fee, currency = (ZERO, None) if bust else _fee(row, quantity, price, contract)
    return context.fill(
        row.text_or("1"),
        fill_id=id_of(name, day, row.text("17")),
        instrument=contract,
        side=row.one_of("54", SIDES, "UNKNOWN_SIDE"),
        quantity=number_text(quantity),
        price=number_text(price),
        fee=None if bust else number_text(fee),
        fee_currency=None if bust else currency,
        executed_at=executed_at,
        order_id=id_of(row.text("37")),
        client_order_id=client_id(row.text_or("11")),
        group_id=if_marked(row.text_or("11"))
        or (id_of(row.text("37")) if row.text_or("442") == "2" else None),
        kind=kind,
        order_filled=filled(row, "14") if row.text_or("442") != "2" else None,  # of a leg, or of the whole
        ref=None if kind is FillKind.TRADE else id_of(name, day, row.text("19")),
        ref_day=None if kind is FillKind.TRADE or "75" in row else ASSUMED,
    )


def _kind(row: Row) -> FillKind | None:
    if "20" in row:  # FIX 4.2
        said = row.one_of("20", TRANS_TYPES)
        state = row.one_of("150", FIX42_TYPES) if "150" in row else FillKind.TRADE
        return said if state is not None or said is not FillKind.TRADE else None
    return row.one_of("150", EXEC_TYPES)


def _time(row: Row) -> str:
    text = row.text("60")
    if not _UTC.fullmatch(text):
        raise row.bad("60", f"must be a time such as 20261120-15:02:11.123, was {text[:40]!a}")
    return from_text(text, None, lambda what: row.bad("60", what))


def _fee(row: Row, quantity: Decimal, price: Decimal, contract: dict[str, Any]) -> tuple[Decimal, str | None]:
    """Return commission by its unit (13: 1 by unit, 2 per cent, 3 in all) with the other fees (137), and their currency
    (479, 138; None: the contract's). Raises Rejected where they are of several: one sum of them would be wrong.
    """
    commission = row.decimal_or("12")
    if commission:
        unit = row.one_of("13", {"1": quantity, "2": None, "3": Decimal(1)}, "UNKNOWN_COMMISSION")
        if unit is None:
            notional = quantity * abs(price) * Decimal(str(contract.get("multiplier", "1")))
            commission = divide(commission * notional, Decimal(100))
        else:
            commission *= unit
    try:
        amounts = [decimal_of(text) for text in _group(row, "137") if text]
    except ValueError:
        raise row.bad("137", "must be numbers") from None
    own = str(row.text_or("479") or contract.get("currency"))
    said = {str(text) for text in _group(row, "138") if text} if any(amounts) else set()
    currencies = said | ({own} if commission or len(_group(row, "138")) < len(amounts) else set())
    if len(currencies) > 1:
        raise Rejected(
            "MIXED_FEES",
            f"fees in {', '.join(sorted(currencies))} beside each other are not booked as one sum",
        )
    return commission + sum(amounts, ZERO), (said.pop() if said else row.text_or("479"))


def _group(row: Row, tag: str) -> list[Any]:
    """Return the values of a tag of a repeating group."""
    found = row.value.get(tag)
    return found if isinstance(found, list) else [] if found is None else [found]


def _instrument(row: Row, symbol: str, context: Context) -> dict[str, Any]:
    told = row.text_or("167")
    if told is not None and told not in SECURITY_TYPES:
        raise Rejected("UNSUPPORTED", f"167={told[:10]} of {symbol[:40]!a} is not booked")
    if told is None and contracts.is_occ(symbol):
        return contracts.occ_option(symbol, context, row.text_or("231"))
    kind = (
        SECURITY_TYPES[told] if told else context.need("kind", f"{symbol[:40]!a} has no SecurityType (167)")
    )
    if kind not in KINDS:
        raise Rejected("BAD_ATTRIBUTE", f"attribute kind {kind[:20]!a} is not one of {', '.join(KINDS)}")
    if kind == "crypto":
        return contracts.crypto(*contracts.pair(symbol, context, ()))
    currency = row.text_or("15") or context.need("currency", f"{symbol[:40]!a} has no Currency (15)")
    if kind == "equity":
        return contracts.equity(symbol, currency)
    size = row.text_or("231") or context.need(
        "multiplier", f"{symbol[:40]!a} has no ContractMultiplier (231)"
    )
    if kind == "future":
        expiry = _maturity(row).isoformat() if "541" in row or "205" in row else context.get("expiry")
        return contracts.future(symbol.replace(" ", ""), currency, size, context.get("underlying"), expiry)
    right = row.one_of("201", RIGHTS, "UNKNOWN_RIGHT")
    return contracts.option(
        symbol.strip(), _maturity(row), right, row.decimal("202"), currency, size, context.get("underlying")
    )


def _maturity(row: Row) -> Any:
    """Return the date of expiry: 541, or month 200 with day 205."""
    if "541" in row:
        return contracts.a_date(row.text("541"))
    month = row.text("200")
    return contracts.a_date(month if len(month) == 8 else f"{month}{row.text('205').zfill(2)}")


def decode(data: bytes) -> dict[str, Any]:
    """Read a JSON object of tags, or tag=value text. A checksum (10) that does not fit is refused."""
    if data.lstrip()[:1] == b"{":
        return decode_object(data)
    if len(data) > MAX_BYTES:
        raise Rejected("TOO_LARGE", f"message has {len(data)} bytes, the most is {MAX_BYTES}")
    try:
        text = data.decode("utf-8").strip("\r\n\t ")
    except UnicodeDecodeError as problem:
        raise Rejected("NOT_UTF8", f"message is not UTF-8 at byte {problem.start}") from None
    joint = SOH if SOH in text else "|"
    tags: dict[str, Any] = {}
    for field in text.strip(joint).split(joint):
        tag, is_there, value = field.partition("=")
        if not is_there or not _TAG.fullmatch(tag):
            raise Rejected("BAD_FIX", f"{field[:40]!a} is not tag=value")
        if not value.isprintable():
            raise Rejected("BAD_TEXT", f"control characters in tag {tag}")
        if tag in tags and tag in USED:
            raise Rejected("DUPLICATE_KEY", f"tag {tag} stands twice")
        if tag in tags and tag in REPEATED:
            before = tags[tag]
            tags[tag] = [*(before if isinstance(before, list) else [before]), value]
        else:
            tags.setdefault(tag, value)
    if not str(tags.get("8", "")).startswith("FIX"):
        raise Rejected("BAD_FIX", "the text does not begin with 8=FIX")
    _check_sum(text, joint, tags.get("10"))
    return tags


def _check_sum(text: str, joint: str, told: Any) -> None:
    if told is None:
        return
    body = text.rpartition(f"{joint}10=")[0] + joint
    total = sum(body.replace(joint, SOH).encode()) % 256
    if told != f"{total:03d}":
        raise Rejected("BAD_CHECKSUM", f"the checksum is {total:03d}, the message says {told[:10]!a}")


DIALECT = Dialect(parse, decode)
