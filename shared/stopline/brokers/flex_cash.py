"""Cash transactions of the Flex statements of Interactive Brokers: dividends and what is withheld of them, interest,
fees, deposits and withdrawals.

Each row is an event of its own under its `transactionID`; `amount` is positive where money came in. What is paid for a
holding names it; everything else is of the account. A reversal is a row with the other sign.
"""

import re
from typing import Any

from stopline.brokers import contracts, flex
from stopline.brokers.dialect import Context, Item, each
from stopline.brokers.moments import NEW_YORK, at_close, local_time
from stopline.brokers.row import Row, id_of, number_text
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind

TYPES = {  # as Flex writes them; deposits have two spellings
    **dict.fromkeys(
        ("Dividends", "Payment In Lieu Of Dividends", "Withholding Tax", "871(m) Withholding"),
        FillKind.DIVIDEND,
    ),
    **dict.fromkeys(
        (
            "Broker Interest Paid",
            "Broker Interest Received",
            "Bond Interest Paid",
            "Bond Interest Received",
        ),
        FillKind.FUNDING,
    ),
    **dict.fromkeys(("Other Fees", "Broker Fees", "Advisor Fees", "Commission Adjustments"), FillKind.FEE),
    **dict.fromkeys(("Deposits/Withdrawals", "Deposits & Withdrawals"), FillKind.FLOW),
}
LEVELS = {"DETAIL": True, "SUMMARY": False}
_DATE = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")


def events(message: Row, context: Context) -> list[Item]:
    """Read the cash transactions of a statement, if it has that section. Of rows in detail and their sums the rows count."""
    rows = list(message.rows("cash_transactions")) if "cash_transactions" in message else []
    detailed = any(row.value.get("levelOfDetail", "DETAIL") == "DETAIL" for row in rows)
    return each(rows, lambda row: _event(row, detailed, context))


def _event(row: Row, detailed: bool, context: Context) -> Fill | None:
    if "levelOfDetail" in row and not row.one_of("levelOfDetail", LEVELS):
        if detailed:
            return None
        raise Rejected(
            "UNSUPPORTED", "cash transactions are told as sums only: choose level Detail in the Flex query"
        )
    kind, currency = row.one_of("type", TYPES), row.text("currency")
    return context.fill(
        row.text("accountId"),
        fill_id=id_of("cash", row.text("transactionID")),
        instrument=_contract(row, kind, currency, context),
        side="BUY",
        quantity="0",
        price="0",
        fee=number_text(-row.decimal("amount")),
        fee_currency=currency,
        executed_at=_time(row, context),
        kind=kind,
    )


def _contract(row: Row, kind: FillKind, currency: str, context: Context) -> dict[str, Any]:
    """Return the holding that a row is of, as its trades name it; else money itself."""
    symbol = row.text_or("symbol")
    if kind is FillKind.FLOW or symbol is None or row.text_or("assetCategory", "CASH") == "CASH":
        return contracts.cash(currency)
    return context.instrument(symbol, lambda: flex.instrument(row, context))


def _time(row: Row, context: Context) -> str:
    """Return when it was booked; a row that has a date only counts at the close in New York."""
    name = next((name for name in ("dateTime", "reportDate") if name in row), "settleDate")
    text = row.text(name)
    if _DATE.fullmatch(text):
        return at_close(contracts.a_date(text))
    return local_time(row, name, context.zone(NEW_YORK))
