"""Which trade a row of a Flex statement is about: the one that it books, takes back, or books again.

IBKR takes a trade back by a row without ids of its own, and books it again under the trade id that it had or one that
names it, with the same execution id, its next revision, or none: what came later has the higher transaction id.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile

from stopline.brokers.row import Row, id_of
from stopline.ledger.bookings import trade_id, transaction_id
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
_NUMBER = re.compile(r"[0-9]{1,30}")


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
    if "tradeID" in row:
        return trade_id(id_of(row.text("tradeID"))), None
    return transaction_id(id_of(row.text("transactionID"))), None


def named_by(row: Row) -> str | None:
    """Return our id of the other trade that a row names as the one that was taken back: by its trade id, or by the
    transaction id of the row that booked it. None: it names none.
    """
    trade, transaction = row.text_or("origTradeID"), row.text_or("origTransactionID", "0")
    if trade is not None:
        return None if trade == row.text_or("tradeID") else trade_id(id_of(trade))
    return None if transaction in ("0", None) else transaction_id(id_of(transaction))


class Bookings:
    """The executions of one statement: which have a transaction id of their own, and which are about one trade.

    What a row is does not follow from its neighbours, which another statement may lack. They say which booking of a
    trade came first, and what a row means that has no transaction id, or one that others have too.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._by_id: dict[str, list[Row]] = defaultdict(list)  # without those that take a trade back
        self._by_trade: dict[str, list[Row]] = defaultdict(list)
        self._shared: set[str] = set()  # transaction ids of several rows
        first: dict[str, Row] = {}
        for row in rows:
            if row.value.get("levelOfDetail") != EXECUTION:
                continue
            transaction = str(row.value.get("transactionID"))
            if first.setdefault(transaction, row).value != row.value:
                self._shared.add(transaction)
            if trade := _trade_of(row):
                self._by_trade[trade].append(row)
            try:
                if kind_of(row) is not FillKind.BUST:
                    self._by_id[own_id(row)[0]].append(row)
            except Rejected:
                continue  # refused by itself when it is read

    def number(self, row: Row) -> str | None:
        """Return the transaction id of a row where it is a number, and its own."""
        text = str(row.value.get("transactionID"))
        return text if _NUMBER.fullmatch(text) and text not in self._shared else None

    def is_again(self, row: Row) -> bool:
        """Tell whether a row of the statement with the same id came before a row. Of rows without numbers one that is alike
        may be the same once more, unless their trade is taken back.
        """
        number, alike = self.number(row), self._by_id[own_id(row)[0]]
        if number is not None:
            return any(int(other) < int(number) for other in map(self.number, alike) if other)
        doubtful = any(map(_takes_back, self._by_trade[_trade_of(row)]))
        earlier = takewhile(lambda other: other is not row, alike)
        return any(doubtful or other.value != row.value for other in earlier)

    def is_alone(self, row: Row) -> bool:
        """Tell whether nothing else in the statement is about the trade of a row."""
        return len(self._by_trade[_trade_of(row)]) <= 1 and len(self._by_id[own_id(row)[0]]) <= 1

    def original(self, cancel: Row) -> str | None:
        """Return our id of the execution that a row takes back, if the statement has it."""
        for row in self._by_trade[_trade_of(cancel)]:
            if row.value.get("tradeID") == cancel.value.get("origTradeID") and not _takes_back(row):
                id_, revised = own_id(row)
                return revised or id_
        return None

    def is_booked_again(self, cancel: Row) -> bool:
        """Tell whether the statement has more rows that book the trade that a row takes back than rows that take it back."""
        about = self._by_trade[_trade_of(cancel)]
        return 2 * sum(map(_takes_back, about)) < len(about)


def _trade_of(row: Row) -> str:
    return str(row.value.get("origTradeID") or row.value.get("tradeID") or "")


def _takes_back(row: Row) -> bool:
    try:
        return kind_of(row) is FillKind.BUST
    except Rejected:
        return False
