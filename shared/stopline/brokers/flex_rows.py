"""Which trade a row of a Flex statement is about: the one that it books, takes back, or books again.

IBKR takes a trade back by a row without ids of its own, and books it again under the trade id that it had or one that
names it, with the same execution id, its next revision, or none: what came later has the higher transaction id.
"""

import re
from collections.abc import Mapping, Sequence

from stopline.brokers.row import Row, id_of
from stopline.model.errors import Rejected
from stopline.model.fill import FillKind

TRANSACTIONS: Mapping[str, FillKind | None] = {
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
EXECUTION = "EXECUTION"
_REVISION = re.compile(r"(.+)\.([0-9]{2,4})")
_NUMBER = re.compile(r"[0-9]+")


def kind_of(row: Row) -> FillKind:
    """Return what a row says that it is."""
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


def revision_of(exec_id: str) -> tuple[str, int]:
    """Split an execution id into what stays and the revision; an id without one is of the first."""
    match = _REVISION.fullmatch(exec_id)
    return (id_of(match[1]), int(match[2])) if match else (id_of(exec_id), 1)


def own_id(row: Row) -> tuple[str, str | None]:
    """Return the id of a row, and of which it is a revision: the execution's where there is one."""
    if "ibExecID" in row:
        known, revision = revision_of(row.text("ibExecID"))
        return (id_of(row.text("ibExecID")), known) if revision > 1 else (known, None)
    name = "tradeID" if "tradeID" in row else "transactionID"
    return id_of({"tradeID": "trade", "transactionID": "transaction"}[name], row.text(name)), None


class Bookings:
    """The executions of one statement, by the trade that they are about."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._at = {id(row): place for place, row in enumerate(rows)}
        executions = [row for row in rows if row.value.get("levelOfDetail") == EXECUTION]
        self._trades: dict[str, Row] = {}  # what first booked a trade, by its trade id
        self._by_transaction: dict[str, Row] = {}
        for row in executions:
            if "transactionID" in row:
                self._by_transaction.setdefault(str(row.value["transactionID"]), row)
            trade = row.value.get("tradeID")
            first = self._trades.get(str(trade))
            if trade and not _takes_back(row) and (first is None or self._is_after(first, row)):
                self._trades[str(trade)] = row
        self._booked: dict[str, list[Row]] = {}
        self._cancels: dict[str, list[Row]] = {}
        for row in executions:
            try:
                about = self._cancels if _takes_back(row) else self._booked
                about.setdefault(self.original(row), []).append(row)
            except Rejected:
                continue  # refused by itself when it is read

    def original(self, row: Row) -> str:
        """Return our id of the trade that a row first booked, takes back or books again.

        A cancellation names no execution, so the trade must stand in the statement to be found by that; else it is known
        by its trade id. Raises Rejected for a cancellation that names none.
        """
        trade = self._named(row)
        if _takes_back(row):
            trade = trade or row.text("origTradeID")
        else:
            id_, revised = own_id(row)
            trade = trade or row.text_or("tradeID")
            if revised is not None or trade is None:
                return revised or id_
        first = self._trades.get(trade)
        if first is None:
            return id_of("trade", trade)
        id_, revised = own_id(first)
        return revised or id_

    def cancels(self, row: Row) -> list[Row]:
        """Return the cancellations that a row answers by booking its trade again: those before it, and after what was
        booked of it before.
        """
        about = self.original(row)
        before = [cancel for cancel in self._cancels.get(about, ()) if self._is_after(row, cancel)]
        booked = [one for one in self._booked.get(about, ()) if before and self._is_after(row, one)]
        return [cancel for cancel in before if not any(self._is_after(one, cancel) for one in booked)]

    def is_booked_again(self, cancel: Row) -> bool:
        """Tell whether what a row takes back is booked again later in the statement."""
        return any(self._is_after(one, cancel) for one in self._booked.get(self.original(cancel), ()))

    def _named(self, row: Row) -> str | None:
        """Return the id of the other trade that a row names, by that or by the transaction that booked it."""
        trade = row.text_or("origTradeID")
        booked = self._by_transaction.get(row.text_or("origTransactionID", "0") or "0")
        return booked.text_or("tradeID") if trade is None and booked is not None else trade

    def _is_after(self, one: Row, other: Row) -> bool:
        """Tell whether one row came after another: by their transaction ids where they have them."""
        numbers = [str(row.value.get("transactionID")) for row in (one, other)]
        if numbers[0] != numbers[1] and all(_NUMBER.fullmatch(number) for number in numbers):
            return int(numbers[0]) > int(numbers[1])
        revision = "ibExecID" in one and own_id(one)[1] is not None and _takes_back(other)
        return revision or self._at[id(one)] > self._at[id(other)]


def _takes_back(row: Row) -> bool:
    try:
        return kind_of(row) is FillKind.BUST
    except Rejected:
        return False
