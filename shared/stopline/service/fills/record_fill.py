"""Book fills: exactly once, in any order of arrival, with their effects in the same commit."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial

from stopline.ledger.arrivals import MAX_HELD, Reader, TooManyHeld, freed, without
from stopline.ledger.book import Book
from stopline.ledger.bookings import is_row_bust
from stopline.ledger.lifecycle import SpotOf
from stopline.ledger.position import Position
from stopline.ledger.recall import Recall
from stopline.model.account import Account
from stopline.model.errors import Rejected, Transient
from stopline.model.fill import Fill
from stopline.model.ids import digest, document_id, position_key
from stopline.model.messages import Alert, alert_effect
from stopline.ports import SERVER_TIME, Clock, Path, Put, Store
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.batching import Batcher
from stopline.service.fills.book_size import check_size, fits
from stopline.service.fills.bookable import by_position, check_coin, check_fill
from stopline.service.fills.books import FillLog, begun, fill_create, next_revision
from stopline.service.fills.doubles import doubles, needs_log
from stopline.service.fills.fill_effects import cause_of, fill_effects
from stopline.service.fills.message_parts import MAX_FILLS, parts
from stopline.service.fills.outcome import Outcome, Result, conflicting, refusals
from stopline.service.fills.unbooked import Unbooked
from stopline.service.fills.unnamed_day import on_their_days


class FillRecorder:
    """Books fills of any accounts. Safe to call from several threads and instances at once."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        accounts: AccountReader,
        books: Aggregates[Book],
        spots: Callable[[str], SpotOf],
    ) -> None:
        self._spots = spots
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._books = books
        self._log = FillLog(store)
        self._batcher: Batcher[_Request] = Batcher(self._book, _join)

    def record(self, fills: Sequence[Fill], message_id: str) -> list[Outcome]:
        """Book the fills of one message, however many; return what became of each, in their order.

        Raises Unavailable, Contended or Unpublished: some of the message may be booked; let it come again.
        """
        outcomes: dict[int, Outcome] = {}
        by_account: dict[str, list[tuple[int, Fill]]] = {}
        for index, fill in enumerate(fills):
            by_account.setdefault(fill.account, []).append((index, fill))
        trouble: Transient | None = None
        for name, indexed in by_account.items():
            try:
                outcomes |= self._record_account(self._accounts.require(name), indexed, message_id)
            except Rejected as refused:
                outcomes |= {i: Outcome(fill, Result.REFUSED, refused) for i, fill in indexed}
            except Transient as problem:  # one account's trouble does not hold up the others of the message
                trouble = problem
        if trouble is not None:
            raise trouble
        return [outcomes[index] for index in range(len(fills))]

    def _record_account(
        self, account: Account, indexed: list[tuple[int, Fill]], message_id: str
    ) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        first: dict[str, tuple[int, Fill]] = {}
        twins: list[tuple[int, Fill]] = []
        repeated: list[tuple[int, Fill]] = []
        now = self._clock.now()
        for index, fill in indexed:
            refused = check_fill(fill, account, now)
            if refused:
                outcomes[index] = Outcome(fill, Result.REFUSED, refused)
            elif fill.key in first:
                twins.append((index, fill))
            else:
                first[fill.key] = (index, fill)
        busts = [fill for _, fill in first.values() if is_row_bust(fill)]
        for some in parts(fill for _, fill in first.values()):
            request = _Request(account, message_id, now, {fill.key: fill for fill in some}, busts)
            self._batcher.run(account.account, request)
            outcomes |= {first[key][0]: outcome for key, outcome in request.outcomes.items()}
            repeated += [first[key] for key in request.fills if key in request.repeated]
        for index, fill in twins:
            same = fill.hash == first[fill.key][1].hash
            outcomes[index] = Outcome(fill, Result.DUPLICATE) if same else conflicting(fill)
        again = [(index, fill) for index, fill in twins if outcomes[index].result is Result.DUPLICATE]
        self._note_duplicates([*repeated, *again], message_id)
        return outcomes

    def _book(self, requests: list["_Request"]) -> None:
        """Book what several messages bring for one account in one commit; in several, where one has no room for all."""
        booking = _Booking(self._store, self._log, requests, self._spots)
        outcomes, repeated = dict[str, Outcome](), set[str]()
        while booking.takes_next():
            self._books.change(requests[0].account.account, booking.decide)
            outcomes |= booking.outcomes
            repeated |= booking.repeated
        for request in requests:
            request.outcomes = {key: outcomes[key] for key in request.fills}
            request.repeated = repeated & request.fills.keys()

    def _note_duplicates(self, repeated: Sequence[tuple[int, Fill]], message_id: str) -> None:
        """Record which items of which messages carried a fill again: the conservation line counts them.

        The same message again writes the same notes; a redelivery is not a duplicate.
        """
        notes = [
            Put(
                Path("duplicates", document_id(fill.key, digest(message_id), str(index))),
                {
                    "fill": fill.key,
                    "account": fill.account,
                    "message_id": message_id,
                    "noted_at": SERVER_TIME,
                },
            )
            for index, fill in repeated
        ]
        for start in range(0, len(notes), MAX_FILLS):
            self._store.commit(notes[start : start + MAX_FILLS])


@dataclass(slots=True)
class _Request:
    """One message's fills of one account, each key once, or a part of them; and what became of them."""

    account: Account
    message_id: str
    now: datetime
    fills: dict[str, Fill]
    busts: Sequence[Fill]  # the rows of the whole message that take trades back
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)  # keys of fills that another message booked


def _join(requests: list[_Request], request: _Request) -> bool:
    """Tell whether one more message fits into the commit: within its size, and with no fill in it already."""
    known = {key for other in requests for key in other.fills}
    return len(known) + len(request.fills) <= MAX_FILLS and known.isdisjoint(request.fills)


class _Booking:
    """The decision about fills of one account, repeated until its commit stands: `outcomes` are of the fills taken last."""

    def __init__(
        self, store: Store, log: FillLog, requests: list[_Request], spots: Callable[[str], SpotOf]
    ) -> None:
        self._store = store
        self._log = log
        self._account = requests[-1].account
        self._spot = spots(self._account.account)
        self._now = max(request.now for request in requests)
        self._left = [fill for request in requests for fill in request.fills.values()]
        self._most = len(self._left)  # for one commit
        self._busts = [fill for request in requests for fill in request.busts]
        self._given = list[Fill]()
        self._message_ids = {key: request.message_id for request in requests for key in request.fills}
        self.outcomes: dict[str, Outcome] = {}
        self.repeated: set[str] = set()
        self._recall = Recall()
        self._homes: dict[
            str, tuple[str, str]
        ] = {}  # strategy and symbol of the position where each fill counts
        self._freed = list[Fill]()  # amendments that the book does not hold any more

    def takes_next(self) -> bool:
        """Go on to the fills of the next commit, after those that were decided about; False: there are none."""
        self._left = self._left[len(self._given) :]
        self._given = self._left[: self._most]
        return bool(self._given)

    def decide(self, book: Book | None, attempt: int) -> Change[Book] | None:
        """Book what is not booked yet. The fill log is asked first only where that is needed anyway."""
        book = book or begun(self._account, self._now)
        if book.orders_named is None:
            book = replace(book, orders_named=self._now)
        new, refused = on_their_days(self._given, self._log)
        self.outcomes = refusals(self._given, refused)
        unbooked = Unbooked(self._store, self._log, book, new, self._busts, self._message_ids)
        if attempt > 0 or any(needs_log(fill, book, self._now) for fill in new):
            new = unbooked.new()
            refused = doubles(new, book, self._log, self._now)
            self.outcomes |= unbooked.outcomes | refusals(new, refused)
            new = [fill for fill in new if fill.key not in refused]
        before = book
        booked, book, alert = self._fitting(before, new)
        self.outcomes |= unbooked.told(self.outcomes)
        self.repeated = unbooked.repeated
        if not booked:
            return None
        creates = [
            fill_create(fill, self._message_ids[fill.key], self._now, self._homes[fill.key])
            for fill in booked
        ]
        effects = fill_effects(self._account, before, book, booked, self._spot, self._recall.stood, self._now)
        if alert is not None:
            effects.append(alert_effect(alert))
        book = book.pruned(self._now)
        if len(booked) > 1 and not fits(book, effects):
            self._most = len(self._given) // 2
            self._given = self._given[: self._most]
            return self.decide(before, attempt)
        moved = {fill.key: home for fill in self._freed if (home := self._homes[fill.key]) != _home(fill)}
        return Change(book, effects, creates, self._log.moved(moved))

    def _fitting(self, before: Book, fills: list[Fill]) -> tuple[list[Fill], Book, Alert | None]:
        """Fold the fills that the book has room for; what opens lots in a full one is refused."""
        booked, book = self._apply(before, fills)
        if not booked:
            return booked, book, None
        try:
            return booked, book, check_size(before, book.pruned(self._now), cause_of(booked), self._now)
        except Rejected as refused:
            grown = {key for key in book.positions if book.count_lots(key) > before.count_lots(key)}
            out = {f.key for f in booked if position_key(*self._homes[f.key]) in grown} or {
                f.key for f in booked
            }
            self.outcomes |= refusals(booked, dict.fromkeys(out, refused))
            return self._fitting(before, [fill for fill in booked if fill.key not in out])

    def _apply(self, book: Book, fills: list[Fill]) -> tuple[list[Fill], Book]:
        """Fold the fills position by position, so that one that is refused does not hold up the others."""
        booked: dict[str, Fill] = {}
        revision = next_revision(book, self._now)
        stored, whole = cache(self._log.find), cache(partial(self._log.of, book.account))
        reader = Reader({fill.key: fill for fill in fills}, stored, lambda _, fill: whole(*_home(fill)))
        self._homes, self._freed = {fill.key: _home(reader.home(fill)) for fill in fills}, []

        def find(key: str) -> Fill | None:
            return booked.get(key) or stored(key)

        def log(position: Position | None, late: Fill) -> list[Fill]:
            """Return what the log has, and what goes into it by this very commit."""
            here = [f for f in (*booked.values(), *self._freed) if self._homes[f.key] == _home(late)]
            known = self._log.since_flat(position, late) if position else whole(*_home(late))
            return [*known, *here]

        self._recall = Recall(partial(self._log.around, self._account.account))
        groups = deque(by_position(fills, {key: position_key(*home) for key, home in self._homes.items()}))
        while groups:
            group = groups.popleft()
            before = book
            try:
                check_coin(group, book)
                book = book.with_fills(
                    group,
                    self._account.sessions.session_of,
                    log,
                    self._now,
                    find,
                    self._recall,
                )
            except TooManyHeld as full:
                self.outcomes |= refusals(group, dict.fromkeys(full.amendments, full))
                others = [fill for fill in group if fill.key not in full.amendments]
                groups.extendleft([others] if others else [])
                continue
            except Rejected as refused:
                self.outcomes |= refusals(group, {fill.key: refused for fill in group})
                continue
            booked.update({fill.key: fill for fill in group})
            self._note_freed(before, book, reader)
            self.outcomes |= {fill.key: Outcome(fill, Result.APPLIED) for fill in group}
        return list(booked.values()), self._relieved(book, reader).at_revision(revision) if booked else book

    def _relieved(self, before: Book, reader: Reader) -> Book:
        """Return a book that holds too much without amendments that an older version held beside their fills."""
        if sum(map(len, before.held.values())) <= MAX_HELD:
            return before
        book = replace(before, held=without(before.held, self._log.booked(before.held)))
        self._note_freed(before, book, reader)
        return book

    def _note_freed(self, before: Book, book: Book, reader: Reader) -> None:
        """Note the amendments that the book does not hold any more, and where their fills count."""
        free = freed(before.held, book.held)
        self._homes |= {fill.key: _home(reader.home(fill)) for fill in free}
        self._freed += free


def _home(fill: Fill) -> tuple[str, str]:
    """Return strategy and symbol of a fill's position."""
    return fill.strategy, fill.instrument.symbol
