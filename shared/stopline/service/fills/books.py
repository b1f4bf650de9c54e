"""Books in the store: the document, the fill log beside it, and the fills that changed since a cursor."""

import logging
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from stopline.ledger.amend import effective
from stopline.ledger.book import Book
from stopline.ledger.encoding import decode_book, encode_book
from stopline.ledger.position import Position
from stopline.ledger.trade_leg import fold_legs
from stopline.model.account import Account
from stopline.model.errors import Transient, Unreadable
from stopline.model.fill import Fill
from stopline.model.ids import digest, document_id
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import SERVER_TIME, Clock, Create, Data, Document, Path, Store, Update, Where
from stopline.service.documents.aggregate import DAMAGED, Aggregates
from stopline.service.documents.outbox import Relay
from stopline.service.fills.book_size import CARRIED

BOOKS = "books"
FILLS = "fills"
ORDER_LASTS = timedelta(days=4)  # where brokers tell sums: a day, told on the next one, over a weekend
Arrival = tuple[Fill, datetime]
"""A booked fill, and when it was received."""
_log = logging.getLogger(__name__)
_OVERLAP = timedelta(seconds=10)  # commits in flight may become visible behind the newest timestamp seen


class BookCodec:
    """A book as the fields of its document."""

    collection = BOOKS

    def __init__(self, log: "FillLog") -> None:
        self._log = log

    def encode(self, state: Book) -> Data:
        return {
            "account": state.account,
            "state": encode_book(state),
            "revision": state.revision,
            "fills": state.fills,
            "open_positions": state.count_open(),
        }

    def decode(self, data: Data) -> Book:
        return read_book(data, self._log)


def books(store: Store, relay: Relay, clock: Clock) -> Aggregates[Book]:
    """Return access to all books."""
    return Aggregates(store, relay, clock, BookCodec(FillLog(store)), carried=CARRIED)


def read_book(data: Data, log: "FillLog", whole: bool = False) -> Book:
    """Return the book of a document, whole or in part as `decode_book` does. Legs that it holds without their
    contract, as an older version left them, are folded again out of the fill log, and the next commit writes them.
    """
    book = decode_book(data["state"], whole)
    for key in sorted(book.legs.lost):
        strategy, _, symbol = key.partition(":")
        fills = [
            *log.of(book.account, strategy, symbol),
            *(fill for some in book.held.values() for fill in some),
        ]
        legs = book.legs.found(key, fold_legs(effective(fills), book.method))
        back, lost = len(legs.get(key, ())), len(book.legs.lost[key])
        _log.warning("book %s: %s of %s lost legs of %s are back", book.account, back, lost, key)
        book = replace(book, legs=legs)
    return book


def begun(account: Account, now: datetime) -> Book:
    """Return the book of an account that has none. Its revisions count on from the second of now: one that is folded again
    after it was deleted is of a later revision than all that was worked out from the one before.
    """
    return Book(
        account.account, method=account.method, since=now, orders_named=now, revision=int(now.timestamp())
    )


def next_revision(book: Book, now: datetime) -> int:
    """Return the revision of a book's next commit: one more, or the second of now where that is later. So a book that was
    restored to an earlier state goes on above all that was committed since, and no row of it has the id of a forgotten one.
    """
    return max(book.revision + 1, int(now.timestamp()))


def unnamed_before(book: Book, now: datetime) -> datetime | None:
    """Return since when fills were executed that an order may have and that do not name it in the log; None: there are none.
    Those are of a version before the field `order_id`. One that still runs takes `orders_named` from the book again.
    """
    named = book.orders_named or now
    if named == book.since or now - named > ORDER_LASTS:
        return None
    return named - ORDER_LASTS


def fill_path(key: str) -> Path:
    """Return where a fill's document is: its key is a document id already."""
    return Path(FILLS, key)


def fill_create(
    fill: Fill, message_id: str, received_at: datetime, home: tuple[str, str] | None = None
) -> Create:
    """Return the write that books a fill once for ever: idempotency record and audit log in one. `home`: strategy and symbol
    of the position where it counts, in whose log it is found, where those are not its own. Only they may change, when the
    fill of an amendment comes (`FillLog.moved`).
    """
    strategy, symbol = home or (fill.strategy, fill.instrument.symbol)
    data = {
        "account": fill.account,
        "broker": fill.broker,
        "strategy": strategy,
        "symbol": symbol,
        "order_id": fill.order_id,
        "executed_at": fill.executed_at,
        "fill": fill.text,
        "hash": fill.hash,
        "message_id": message_id,
        "received_at": received_at,
        "booked_at": SERVER_TIME,
    }
    return Create(fill_path(fill.key), data)


def read_fill(document: Document) -> Fill:
    """Return the fill of a document of the fill log. Raises Unreadable: no message is to blame for it."""
    try:
        return _decoded(document.data["fill"])
    except DAMAGED as problem:
        raise Unreadable(f"{document.path} cannot be read: {problem!r}"[:500]) from problem


@lru_cache(maxsize=8192)
def _decoded(text: str) -> Fill:
    """Return the fill of a text; remembered, because every late fill reads its position's log again."""
    return validate(Fill, orjson.loads(text))


def _arrival(document: Document) -> Arrival:
    fill = read_fill(document)
    return fill, document.data.get("received_at") or fill.executed_at


class FillLog:
    """Reads booked fills: of a position or a time oldest first, of accounts, orders and symbols in no order."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def since_flat(self, position: Position | None, late: Fill) -> list[Fill]:
        """Return the fills since the position was last flat before a late one; all of them where that is not
        known.
        """
        start = None
        if position and position.cycle and late.order >= position.cycle:
            start = position.cycle[0]
        return self.of(late.account, late.strategy, late.instrument.symbol, start)

    def find(self, key: str) -> Fill | None:
        """Return a booked fill by its key, or None."""
        document = self._store.get(fill_path(key))
        return read_fill(document) if document else None

    def moved(self, homes: Mapping[str, tuple[str, str]]) -> list[Update]:
        """Return the writes that put booked fills, by key, into the logs of other positions: strategy and symbol."""
        found = self._documents(homes)
        return [
            Update(found[key].path, {"strategy": strategy, "symbol": symbol}, found[key].version)
            for key, (strategy, symbol) in homes.items()
            if key in found
        ]

    def booked(self, keys: Iterable[str]) -> Set[str]:
        """Return which of some keys are of booked fills."""
        return self._documents(keys).keys()

    def _documents(self, keys: Iterable[str]) -> dict[str, Document]:
        paths = [fill_path(key) for key in keys]
        found = self._store.get_all(paths) if paths else []
        return {document.path.id: document for document in found if document is not None}

    def has(self, key: str) -> bool:
        """Tell whether a fill is booked, by its key."""
        return self._store.get(fill_path(key)) is not None

    def of(
        self,
        account: str,
        strategy: str,
        symbol: str,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[Fill]:
        """Return a position's fills executed at or after a moment, the first `limit` of them."""
        where = [
            Where("account", "==", account),
            Where("strategy", "==", strategy),
            Where("symbol", "==", symbol),
        ]
        if since is not None:
            where.append(Where("executed_at", ">=", since))
        return [read_fill(document) for document in self._store.query(FILLS, where, ["executed_at"], limit)]

    def around(self, account: str, strategy: str, first: datetime, last: datetime) -> list[Fill]:
        """Return the fills of a strategy's positions executed between two moments, both included."""
        where = [
            Where("account", "==", account),
            Where("executed_at", ">=", first),
            Where("executed_at", "<=", last),
        ]
        found = self._store.query(FILLS, where, ["executed_at"])
        return [read_fill(document) for document in found if document.data["strategy"] == strategy]

    def since(self, account: str, first: datetime, limit: int) -> list[Arrival]:
        """Return up to `limit` fills of an account executed at or after a moment."""
        where = [Where("account", "==", account), Where("executed_at", ">=", first)]
        return [_arrival(document) for document in self._store.query(FILLS, where, ["executed_at"], limit)]

    def of_symbol(self, account: str, symbol: str, limit: int) -> list[Arrival]:
        """Return up to `limit` fills of an account in an instrument, of all strategies, amendments too, in no order."""
        where = [Where("account", "==", account), Where("symbol", "==", symbol)]
        return [_arrival(document) for document in self._store.query(FILLS, where, limit=limit)]

    def of_order(self, fill: Fill, unnamed: datetime | None) -> list[Fill]:
        """Return an account's booked fills of a fill's order, of all brokers and positions, in no order. Those of documents
        before the field `order_id` are among them if they are of the fill's position, executed from `unnamed` on.
        """
        order = fill.order_id or ""
        where = [Where("account", "==", fill.account), Where("order_id", "==", order)]
        found = {one.key: one for one in map(read_fill, self._store.query(FILLS, where))}
        if unnamed is not None:
            older = self.of(fill.account, fill.strategy, fill.instrument.symbol, unnamed)
            found |= {one.key: one for one in older if one.order_id == order}
        return list(found.values())

    def first(self, account: str) -> Fill | None:
        """Return the fill of an account that was executed first."""
        found = self._store.query(FILLS, [Where("account", "==", account)], ["executed_at"], 1)
        return read_fill(found[0]) if found else None

    def of_account(self, account: str, limit: int) -> list[Fill]:
        """Return up to `limit` fills of an account, amendments too, in no order."""
        found = self._store.query(FILLS, [Where("account", "==", account)], limit=limit)
        return [read_fill(document) for document in found]


class BookFeed:
    """The books of all accounts in memory, kept current by asking only for those that changed. `unreadable`: accounts whose
    book is damaged, and why: none of them is in `books`, and they are asked for again each time.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._log = FillLog(store)
        self._cursor: datetime | None = None
        self._texts: dict[str, int] = {}  # by account: the hash of the state that was read
        self.books: dict[str, Book] = {}
        self.unreadable: dict[str, str] = {}

    def refresh(self) -> set[str]:
        """Read what changed since the last time; return the accounts whose book is another now, or cannot be read any more.
        Raises Unavailable.
        """
        known = self._cursor
        # the first time all of them, those too that have lost the field
        asked = ([Where("changed_at", ">", known - _OVERLAP)], ["changed_at"]) if known else ((), ())
        found = {document.path.id: document for document in self._store.query(BOOKS, *asked)}
        times = [at for d in found.values() if isinstance(at := d.data.get("changed_at"), datetime)]
        damaged = [name for name in self.unreadable if name not in found]
        again = self._store.get_all([Path(BOOKS, document_id(name)) for name in damaged]) if damaged else ()
        for name, document in zip(damaged, again, strict=True):
            if document is None:
                del self.unreadable[name]
            else:
                found[name] = document
        self._cursor = max(times, default=known)
        return {name for name, document in found.items() if self._take(name, document)}

    def _take(self, name: str, document: Document) -> bool:
        """Read a book, unless its text is known: then only its outbox was flushed. Tell whether what is known changed."""
        try:
            text = hash(document.data["state"])
            if self._texts.get(name) == text:
                return False
            self.books[name] = read_book(document.data, self._log, whole=True)
        except (*DAMAGED, Transient) as problem:  # its fills, too, may be what cannot be read
            self._texts.pop(name, None)
            self.unreadable[name] = f"{document.path} cannot be read: {problem!r}"[:500]
            return self.books.pop(name, None) is not None
        self._texts[name] = text
        self.unreadable.pop(name, None)
        return True


def describe_position(position: Position) -> dict[str, Any]:
    """Return a position as plain data for people and rows."""
    return {
        "strategy": position.strategy,
        "symbol": position.instrument.symbol,
        "underlying": position.instrument.underlying,
        "kind": position.instrument.kind.value,
        "quantity": position.quantity,
        "average_price": position.average_price,
        "realised": position.realised,
        "fees": position.fees,
        "currency": position.instrument.currency,
        "opened_at": utc_text(position.opened_at) if position.opened_at else None,
    }


def position_event_id(account: str, key: str, revision: int) -> str:
    """Return the id of one position's row after one commit of its book."""
    return digest("position", account, key, str(revision))
