"""The latest prices: one document a source, merged so that an older price never replaces a newer one."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.errors import Rejected
from stopline.model.instrument import Instrument, is_option_symbol
from stopline.model.prices import NAN, PriceBatch, Quote
from stopline.ports import Clock, Data, Store, Where
from stopline.service.documents.aggregate import DAMAGED, Aggregates, Change
from stopline.service.documents.outbox import Relay

COLLECTION = "marks"
COLLAR = 3.0  # a price this many times off its last one needs a second reading; options may jump
MAX_AHEAD = timedelta(seconds=60)
KEPT = timedelta(days=5)  # a price nobody has renewed for so long is dropped
ALL_FIT = 6_000  # prices and suspects of one source: so many fit, however long they are written
ROOM = 1_000_000  # bytes for both; a document takes a little more
SUSPECTS_ROOM = 300_000  # of them, at most
log = logging.getLogger("stopline")


@dataclass(frozen=True, slots=True)
class Mark:
    """A quote and when the feed saw it."""

    quote: Quote
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Prices:
    """All marks of one source. `suspects` are prices outside the collar that wait for a second reading."""

    source: str
    marks: Mapping[str, Mark]
    suspects: Mapping[str, Mark]


class PricesCodec:
    """Prices as the fields of their document."""

    collection = COLLECTION

    def encode(self, state: Prices) -> Data:
        body = {"marks": _encode(state.marks), "suspects": _encode(state.suspects)}
        return {"source": state.source, "symbols": len(state.marks), "state": orjson.dumps(body).decode()}

    def decode(self, data: Data) -> Prices:
        """Read them; where they are damaged there are none, until the feed's next batch writes them anew."""
        try:
            body = orjson.loads(data["state"])
            return Prices(data["source"], _decode(body["marks"]), _decode(body["suspects"]))
        except DAMAGED:
            log.exception("the prices of a feed cannot be read", extra={"source": data.get("source")})
            return Prices(str(data.get("source")), {}, {})


def is_usable(mark: Mark, account: Account, now: datetime, of: Instrument | None = None) -> bool:
    """Tell whether a price may value a position: young enough, or the last one of a market that is closed: the market
    `of` an instrument, where that is known, else the account's.

    The last price before the opening ages from the opening on: the first trades of a day take a moment.
    """
    sessions = account.sessions_of(of) if of else account.sessions
    if (now - mark.as_of).total_seconds() <= account.price_max_age_s or not sessions.is_open(now):
        return True
    opening = sessions.open_of(now.astimezone(sessions.zone).date())
    return not sessions.every_day and (now - opening).total_seconds() <= account.price_max_age_s


def is_of_old_units(mark: Mark, position: Position) -> bool:
    """Tell whether a price is from before the last split of a position: times its units of now it would be a wrong value."""
    return position.split_at is not None and mark.as_of < position.split_at


def merged(prices: Prices, batch: PriceBatch) -> tuple[Prices, list[tuple[str, str]]]:
    """Return prices with a batch merged in, and (symbol, reason) of every price that was held back.

    Older prices than those held are ignored; of more than a document holds the oldest are dropped. A price far off its
    last one becomes a suspect; when the next reading agrees with the suspect it holds, otherwise the suspect is dropped
    (one bad tick must not trip a limit).
    """
    marks, suspects = dict(prices.marks), dict(prices.suspects)
    held_back: list[tuple[str, str]] = []
    for symbol, quote in batch.quotes.items():
        known = marks.get(symbol)
        fresh = Mark(quote, batch.as_of)
        if known and batch.as_of <= known.as_of:
            continue
        suspect = suspects.pop(symbol, None)
        if known and _is_far(symbol, known.quote, quote):
            if suspect and suspect.as_of >= batch.as_of:
                suspects[symbol] = suspect
                continue
            if not suspect or not _agree(suspect.quote.mark, quote.mark):
                suspects[symbol] = fresh
                held_back.append(
                    (symbol, f"{quote.mark:g} is more than {COLLAR:g} times off {known.quote.mark:g}")
                )
                continue
        marks[symbol] = fresh
    horizon = batch.as_of - KEPT
    kept = {symbol: mark for symbol, mark in marks.items() if mark.as_of >= horizon}
    waiting = {symbol: mark for symbol, mark in suspects.items() if mark.as_of >= horizon}
    if len(kept) + len(waiting) > ALL_FIT:
        waiting = _newest(waiting, SUSPECTS_ROOM)
        kept = _newest(kept, ROOM - len(orjson.dumps(_encode(waiting))))
    return Prices(batch.source, kept, waiting), held_back


def _newest(marks: Mapping[str, Mark], room: int) -> dict[str, Mark]:
    """Return the newest marks that can be written in so many bytes."""
    if len(orjson.dumps(_encode(marks))) <= room:
        return dict(marks)
    found: dict[str, Mark] = {}
    for symbol, mark in sorted(marks.items(), key=lambda item: item[1].as_of, reverse=True):
        room -= len(orjson.dumps(_encode({symbol: mark})))
        if room < 0:
            break
        found[symbol] = mark
    return found


def _is_far(symbol: str, known: Quote, quote: Quote) -> bool:
    if is_option_symbol(symbol):
        return False
    return known.mark > 0 and not _agree(known.mark, quote.mark)


def _agree(before: float, after: float) -> bool:
    """Tell whether two prices are within the collar of each other; zero agrees with zero only, NaN with nothing."""
    return before == after or (before > 0 and before / COLLAR <= after <= before * COLLAR)


class MarkTable:
    """Every source's marks, as this instance knows them. Of two sources' prices the newer holds."""

    def __init__(self, store: Store, relay: Relay, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._documents: Aggregates[Prices] = Aggregates(store, relay, clock, PricesCodec())
        self._cursor: datetime | None = None
        self._suspects: dict[str, frozenset[str]] = {}  # by source
        self._lock = threading.Lock()
        self.marks: dict[str, Mark] = {}
        self.sources: dict[str, str] = {}  # by symbol: whose price that mark is
        self.changes = 0  # counts the prices taken: equal when no mark is another

    @property
    def suspects(self) -> frozenset[str]:
        """Symbols of which a price far off the last one waits for a second reading."""
        return frozenset().union(*self._suspects.values())

    def merge(self, batch: PriceBatch) -> list[tuple[str, str]]:
        """Store a batch; return what was held back, with reasons. A batch from the future is Rejected."""
        if batch.as_of > self._clock.now() + MAX_AHEAD:
            raise Rejected("IN_THE_FUTURE", f"prices as of {batch.as_of.isoformat()} are ahead of the clock")
        held_back: list[tuple[str, str]] = []

        def decide(prices: Prices | None, attempt: int) -> Change[Prices] | None:
            nonlocal held_back
            before = prices or Prices(batch.source, {}, {})
            after, held_back = merged(before, batch)
            unchanged = after.marks == before.marks and after.suspects == before.suspects
            return None if unchanged else Change(after)

        state = self._documents.change(batch.source, decide)
        if state:
            self._take(state)
        return held_back

    def refresh(self) -> None:
        """Read what other instances stored since the last time."""
        where = [Where("changed_at", ">", self._cursor - timedelta(seconds=10))] if self._cursor else []
        for document in self._store.query(COLLECTION, where, ["changed_at"]):
            self._cursor = max(self._cursor or document.data["changed_at"], document.data["changed_at"])
            state = self._documents.adopt(document.path.id, document)
            if state:
                self._take(state)

    def _take(self, state: Prices) -> None:
        with self._lock:
            self._suspects = {**self._suspects, state.source: frozenset(state.suspects)}
            if not state.marks.keys() <= self.marks.keys():  # others may be going through the old ones
                self.marks, self.sources = dict(self.marks), dict(self.sources)
            for symbol, mark in state.marks.items():
                known = self.marks.get(symbol)
                if known is None or mark.as_of > known.as_of:
                    self.marks[symbol] = mark
                    self.sources[symbol] = state.source
                    self.changes += 1


def _encode(marks: Mapping[str, Mark]) -> dict[str, list[Any]]:
    return {
        s: [m.as_of.timestamp(), m.quote.last, m.quote.bid, m.quote.ask, m.quote.iv] for s, m in marks.items()
    }


def _decode(items: Mapping[str, list[Any]]) -> dict[str, Mark]:
    return {
        symbol: Mark(Quote(*(NAN if x is None else x for x in rest)), datetime.fromtimestamp(at, UTC))
        for symbol, (at, *rest) in items.items()
    }
