"""The end of a session: its closes go into the history, once for each calendar, and the factors are worked out."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import orjson

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.calendars import Calendar, calendar
from stopline.model.errors import Transient
from stopline.model.ids import digest
from stopline.model.instrument import Kind
from stopline.model.messages import Effect, HistoryRow
from stopline.ports import Clock, Data, Store
from stopline.risk.border import to_decimal
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay
from stopline.service.history.factors import FactorBuilder, FactorReader, HistoryAway
from stopline.service.history.rows import history_effect, table_row
from stopline.service.prices.mark_prices import Desk
from stopline.service.prices.marks import Mark

log = logging.getLogger("stopline")
SCHEMA = 1
ROWS = 400  # a message
MARK = "mark"


@dataclass(frozen=True, slots=True)
class Ended:
    """The last session of a calendar that has ended: its closes by symbol, and the symbols that had no price in it."""

    calendar: str
    session: date
    closes: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


class EndedCodec:
    """An ended session as the fields of its document."""

    collection = "sessions"

    def encode(self, state: Ended) -> Data:
        body = {"schema": SCHEMA, "closes": dict(state.closes), "missing": list(state.missing)}
        return {
            "calendar": state.calendar,
            "session": state.session.isoformat(),
            "state": orjson.dumps(body).decode(),
        }

    def decode(self, data: Data) -> Ended:
        body = orjson.loads(data["state"])
        if body["schema"] > SCHEMA:
            raise Transient(
                f"sessions/{data['calendar']} has schema {body['schema']}, this version writes {SCHEMA}"
            )
        session = date.fromisoformat(data["session"])
        return Ended(data["calendar"], session, body["closes"], tuple(body["missing"]))


def ended_sessions(store: Store, relay: Relay, clock: Clock) -> Aggregates[Ended]:
    """Return access to the last ended session of every calendar, by the calendar's name."""
    return Aggregates(store, relay, clock, EndedCodec())


def last_ended(sessions: Calendar, now: datetime) -> date:
    """Return the newest session whose regular trading is over."""
    session = sessions.session_of(now)
    over = not sessions.every_day and now >= sessions.close_of(session)
    return session if over else sessions.previous_session(session)


def measured_symbols(accounts: Iterable[Account], books: Mapping[str, Book]) -> list[str]:
    """Return what the risk of accounts hangs on, the most wanted first: underlyings, what is no option, indexes, rates.

    A position counts until it leaves the book, a week after it was closed: its closes have no gap when it comes back.
    """
    wanted: Counter[str] = Counter()
    for account in accounts:
        own = {account.measures.index, account.measures.volatility_index} - {None}
        for position in books[account.account].positions.values() if account.account in books else ():
            contract = position.instrument
            if contract.kind is Kind.CASH:
                continue
            own.add(contract.underlying)
            own |= {contract.symbol} if contract.kind is not Kind.OPTION else set()
            if contract.currency != account.currency:
                own.add(f"{contract.currency}{account.currency}")
        wanted.update(symbol for symbol in own if symbol)
    return sorted(wanted, key=lambda symbol: (-wanted[symbol], symbol))


class SessionEnder:
    """Notes the closes of sessions that have ended. One that runs late, twice or on two instances does no harm."""

    def __init__(
        self, desk: Desk, ended: Aggregates[Ended], builder: FactorBuilder | None, reader: FactorReader
    ) -> None:
        self._desk = desk
        self._ended = ended
        self._builder = builder
        self._reader = reader

    def close(self, now: datetime) -> None:
        """Note the closes of every calendar whose session has ended since the last time."""
        for name, accounts in self._by_calendar().items():
            session = last_ended(calendar(name), now)
            symbols = measured_symbols(accounts, self._desk.books)
            self._ended.change(name, partial(_decide, name, session, symbols, self._desk.marks.marks))

    def build_factors(self) -> None:
        """Work out the factors of every calendar's last ended session. While the history is away the old ones hold:
        their age is told with every figure. Raises Transient where the store does not answer: of the other calendars they
        are worked out.
        """
        if self._builder is None:
            return
        faults: list[str] = []
        for name, accounts in self._by_calendar().items():
            ended = self._ended.read(name)
            if ended is None:
                continue
            symbols = measured_symbols(accounts, self._desk.books)
            days = {day for account in accounts for day in account.measures.days.values()}
            try:
                if self._builder.build(name, ended.session, ended.closes, symbols, sorted(days)):
                    self._reader.forget()
            except HistoryAway as problem:
                log.warning("factors not built", extra={"calendar": name, "problem": str(problem)[:300]})
            except Transient as problem:
                faults.append(f"{name}: {problem}")
        if faults:
            raise Transient("; ".join(faults))

    def _by_calendar(self) -> dict[str, list[Account]]:
        result: dict[str, list[Account]] = {}
        for _, account in sorted(self._desk.accounts.items()):
            result.setdefault(account.calendar, []).append(account)
        return result


def _decide(
    name: str,
    session: date,
    symbols: list[str],
    marks: Mapping[str, Mark],
    before: Ended | None,
    attempt: int,
) -> Change[Ended] | None:
    if before is not None and before.session >= session:
        return None
    return _ended(name, session, symbols, marks)


def _ended(name: str, session: date, symbols: list[str], marks: Mapping[str, Mark]) -> Change[Ended]:
    """Return a session's closes: the last marks that are of its trading, after hours counted with it."""
    sessions = calendar(name)
    opened = sessions.open_of(session)
    of_session = {
        symbol: mark
        for symbol in symbols
        if (mark := marks.get(symbol)) is not None
        and mark.as_of >= opened
        and sessions.session_of(mark.as_of) == session
        and mark.quote.mark > 0
    }
    rows = [_row(name, session, symbol, mark) for symbol, mark in of_session.items()]
    effects: list[Effect] = [
        history_effect("", rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)
    ]
    closes = {symbol: mark.quote.mark for symbol, mark in of_session.items()}
    missing = tuple(symbol for symbol in symbols if symbol not in closes)
    return Change(Ended(name, session, closes, missing), effects)


def _row(name: str, session: date, symbol: str, mark: Mark) -> HistoryRow:
    facts: dict[str, Any] = {
        "calendar": name,
        "symbol": symbol,
        "session": session,
        "close": to_decimal(mark.quote.mark, 9),
        "source": MARK,
        "as_of": mark.as_of.astimezone(UTC),
    }
    return table_row("closes", digest("close", name, symbol, session.isoformat(), MARK), facts, {})
