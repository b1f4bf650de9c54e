"""Flex statements of Interactive Brokers: their XML as plain data."""

from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

from stopline.model.errors import Rejected

MAX_XML = 16 * 1024 * 1024
MAX_ROWS = 100_000


def read_flex(data: bytes) -> dict[str, Any]:
    """Return the XML of a Flex statement as `{"trades": [...]}` with its cash transactions, corporate actions, transfers and
    open positions, if it has those sections.
    """
    if len(data) > MAX_XML:
        raise Rejected("TOO_LARGE", f"message has {len(data)} bytes, the most is {MAX_XML}")
    found = _Flex()
    try:
        found.parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as problem:
        raise Rejected("BAD_XML", f"message is not XML: {str(problem)[:120]}") from None
    if not found.is_flex:
        raise Rejected("UNKNOWN_MESSAGE", "the XML is not a FlexQueryResponse")
    if found.events and not found.has_trades:
        raise Rejected(
            "UNSUPPORTED", "the statement has option events and no Trades: add that section to the Flex query"
        )
    return {
        **{name: rows for name, rows in found.rows.items() if rows or name == "trades"},
        **found.positions(),
    }


_SECTIONS = {  # element of a row: where it is collected
    "Trade": "trades",
    "CashTransaction": "cash_transactions",
    "CorporateAction": "corporate_actions",
    "Transfer": "transfers",
}


class _Flex:
    """Collects the rows and open positions of a statement. Entities and document types are refused: they can explode."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, str]]] = {name: [] for name in _SECTIONS.values()}
        self.open: list[dict[str, str]] | None = None
        self.statements: list[dict[str, str]] = []
        self.is_flex = self.has_trades = False
        self.events = 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "FlexQueryResponse":
            self.is_flex = True
        elif name == "Trades":
            self.has_trades = True
        elif name in _SECTIONS:
            self._add(self.rows[_SECTIONS[name]], attributes)
        elif name == "FlexStatement":
            self.statements.append(dict(attributes))
        elif name == "OpenPositions":
            self.open = self.open or []
        elif name == "OpenPosition":
            self.open = self.open if self.open is not None else []
            self.open.append(dict(attributes))
        elif name == "OptionEAE":
            self.events += 1
        elif name == "TradeConfirm":
            raise Rejected("UNSUPPORTED", "trade confirmations have no execution level: use a Trades section")

    def _add(self, rows: list[dict[str, str]], attributes: Mapping[str, str]) -> None:
        if len(rows) >= MAX_ROWS:
            raise Rejected("TOO_LARGE", f"the statement has more than {MAX_ROWS} rows of a section")
        rows.append(dict(attributes))

    def positions(self) -> dict[str, Any]:
        """Return the open positions, with whose and of which day they are; nothing without that section."""
        if self.open is None:
            return {}
        if len(self.statements) != 1:
            raise Rejected("UNSUPPORTED", "open positions of several accounts in one file: send one of each")
        told = self.statements[0]
        return {
            "positions": self.open,
            "account": told.get("accountId", ""),
            "toDate": told.get("toDate", ""),
        }

    def _refuse(self, *_: Any) -> None:
        raise Rejected("BAD_XML", "the XML declares a document type or an entity")
