"""What the rows of a price file and of a fills file say."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from stopline.model.account import Account
from stopline.model.calendars import Calendar
from stopline.model.decimals import parse_decimal
from stopline.model.errors import Rejected
from stopline.model.fill import FILL_TYPE, Fill
from stopline.model.ids import is_symbol
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.replay.instruments import instrument_of, plain_symbol, terms_from
from stopline.replay.tables import Cells, Table, Times

TIME = ("time", "timestamp", "datetime", "date_time", "bar_start*", "date")
OPTION_TERMS = {
    "root": ("root",),
    "underlying": ("underlying",),
    "expiry": ("expiry", "expiration"),
    "right": ("right", "option_type", "put_call"),
    "strike": ("strike",),
}
PRICE_HEADS: Mapping[str, Sequence[str]] = {
    "time": TIME,
    "symbol": ("symbol", "ticker"),
    "last": ("last", "close", "price"),
    "bid": ("bid", "bid_close"),
    "ask": ("ask", "ask_close"),
    "iv": ("iv", "implied_volatility"),
    **OPTION_TERMS,
}
FILL_HEADS: Mapping[str, Sequence[str]] = {
    "time": (*TIME[:4], "executed_at"),
    "account": ("account",),
    "broker": ("broker",),
    "fill_id": ("fill_id", "execution_id", "exec_id", "trade_id"),
    "symbol": ("symbol", "ticker"),
    "side": ("side", "action"),
    "quantity": ("quantity", "qty", "size"),
    "price": ("price",),
    "fee": ("fee", "fees", "commission"),
    "fee_currency": ("fee_currency",),
    "kind": ("kind",),
    "event": ("event", "fill_kind"),
    "ref": ("ref",),
    "multiplier": ("multiplier",),
    "currency": ("currency",),
    "strategy": ("strategy",),
    "order_id": ("order_id",),
    "group_id": ("group_id",),
    **OPTION_TERMS,
}
SIDES = {"BUY": "BUY", "B": "BUY", "BOT": "BUY", "SELL": "SELL", "S": "SELL", "SLD": "SELL"}

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?")

Price = tuple[str, float | None, float | None, float | None, float | None]  # symbol, last, bid, ask, iv


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read files: what the user said about them."""

    zone: ZoneInfo
    sessions: Calendar
    bar_time: Literal["start", "end"] | None = None  # None: start for files of bars, else the row's own time
    bar: timedelta = timedelta(minutes=1)
    symbol: str | None = None  # of price files without such a column


class PriceFile:
    """A file of prices: trades, quotes, minute bars, or the quotes of an option chain."""

    def __init__(self, path: Path, reading: Reading, renamed: Mapping[str, str]) -> None:
        self.table = table = Table(path, PRICE_HEADS, renamed)
        self._reading = reading
        try:
            self._check()
        except BaseException:
            table.close()
            raise
        head = table.head[table.index("time")].lower()
        bars = all(map(table.knows, ("open", "high", "low", "close"))) or head.startswith("bar_start")
        starts = reading.bar_time == "start" if reading.bar_time else bars
        self._lag = reading.bar if starts and head != "date" else timedelta(0)
        self._symbols: dict[tuple[str, ...], str] = {}
        self.rows = 0
        self.unpriced = 0  # rows without a last price or both sides of a quote

    def _check(self) -> None:
        table = self.table
        table.need("time")
        self._terms = not table.has("symbol") and (table.has("root") or table.has("underlying"))
        if self._terms:
            table.need("expiry", "right", "strike")
        elif self._reading.symbol is None:
            table.need("symbol")
        if not table.has("last") and not (table.has("bid") and table.has("ask")):
            table.need("last" if not table.has("bid") and not table.has("ask") else "bid", "ask")

    def read(self) -> Iterator[tuple[datetime, Price]]:
        """Yield (moment at which the price was known, price) of each row that has one."""
        table, lag = self.table, self._lag
        times = Times(table, self._reading.zone, self._reading.sessions)
        columns = [(name, table.index(name)) for name in ("last", "bid", "ask", "iv")]
        for line, cells in table.rows():
            self.rows += 1
            moment = times.read(line, cells) + lag
            last, bid, ask, iv = (
                self._number(line, name, cells[index]) if index >= 0 else None for name, index in columns
            )
            if last is None and (bid is None or ask is None):
                self.unpriced += 1
                continue
            yield moment, (self._symbol(line, cells), last, bid, ask, iv)

    def _symbol(self, line: int, cells: Cells) -> str:
        table = self.table
        if self._terms:
            root = table.index("root") if table.has("root") else table.index("underlying")
            key = (cells[root], *(cells[table.index(name)] for name in ("expiry", "right", "strike")))
        elif table.has("symbol"):
            key = (cells[table.index("symbol")],)
        else:
            key = (self._reading.symbol or "",)
        known = self._symbols.get(key)
        if known is None:
            known = self._symbols[key] = self._new_symbol(line, key)
        return known

    def _new_symbol(self, line: int, key: tuple[str, ...]) -> str:
        try:
            symbol = terms_from(*key).symbol if self._terms else plain_symbol(key[0])
            if not is_symbol(symbol):
                raise ValueError(f"must be a symbol such as 'SPY', was {symbol[:40]!r}")
        except ValueError as problem:
            raise self.table.fault(line, "symbol", str(problem)) from None
        return symbol

    def _number(self, line: int, name: str, text: str) -> float | None:
        text = text.strip()
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise self.table.fault(line, name, f"must be a number, was {text[:40]!r}")
        value = float(text)
        if not math.isfinite(value):
            raise self.table.fault(line, name, f"is beyond the range of a double: {text[:40]!r}")
        return value


class FillFile:
    """A file of fills."""

    def __init__(
        self, path: Path, reading: Reading, renamed: Mapping[str, str], default_account: str
    ) -> None:
        self.table = table = Table(path, FILL_HEADS, renamed)
        self._reading = reading
        self._default = default_account
        self.rows = 0
        try:
            table.need("time", "quantity", "price")
            if not any(map(table.has, ("root", "underlying"))):
                table.need("symbol")
            elif not table.has("symbol"):
                table.need("expiry", "right", "strike")
        except BaseException:
            table.close()
            raise

    def read(self, account_of: Callable[[str], Account]) -> Iterator[tuple[datetime, dict[str, Any]]]:
        """Yield (execution time, message) of each fill. `account_of` gives the settings behind a name."""
        times = Times(self.table, self._reading.zone, self._reading.sessions)
        for line, row in self.table.rows():
            self.rows += 1
            moment = times.read(line, row)
            cells = {
                name: row[index].strip() for name, index in self.table.names.items() if row[index].strip()
            }
            try:
                body = self._body(line, cells, moment, account_of)
                validate(Fill, body)
            except ValueError as problem:
                raise self.table.fault(line, "fill", str(problem)) from None
            except Rejected as refused:
                raise self.table.fault(line, "fill", refused.detail) from None
            yield moment, body

    def _body(
        self, line: int, cells: Mapping[str, str], moment: datetime, account_of: Callable[[str], Account]
    ) -> dict[str, Any]:
        account = account_of(cells.get("account", self._default))
        side, quantity = self._side(cells)
        body = {
            "type": FILL_TYPE,
            "fill_id": cells.get("fill_id", f"row-{line}"),
            "broker": cells.get("broker", account.brokers[0]),
            "account": account.account,
            "instrument": instrument_of(cells, account.currency),
            "side": side,
            "quantity": quantity,
            "price": cells.get("price", ""),
            "executed_at": utc_text(moment),
        }
        optional = ("strategy", "fee", "fee_currency", "order_id", "group_id", "ref")
        event = {"kind": cells["event"].upper()} if "event" in cells else {}
        return body | event | {name: cells[name] for name in optional if name in cells}

    def _side(self, cells: Mapping[str, str]) -> tuple[str, str]:
        """Return side and quantity; in a file without sides the sign of the quantity says which."""
        quantity = cells.get("quantity", "")
        if not self.table.has("side"):
            number = parse_decimal(quantity)
            return ("SELL", quantity[1:]) if number < 0 else ("BUY", quantity)
        side = SIDES.get(cells.get("side", "").upper())
        if side is None:
            raise ValueError(f"side must be BUY or SELL, was {cells.get('side', '')[:20]!r}")
        return side, quantity
