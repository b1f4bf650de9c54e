"""Book fills: exactly once, in any order of arrival, with their effects in the same commit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import partial

from stopline.ledger.amend import is_amendment
from stopline.ledger.book import Book
from stopline.ledger.book import booked as with_held
from stopline.ledger.bookings import booked_again, is_another, is_row_bust, number_of, placed
from stopline.ledger.lifecycle import SpotOf
from stopline.ledger.position import Position
from stopline.ledger.position_table import PositionTable
from stopline.ledger.recall import Recall
from stopline.model.account import Account
from stopline.model.errors import Rejected, Transient
from stopline.model.fill import Fill, FillKind
from stopline.model.ids import digest, document_id
from stopline.model.messages import Alert, Effect, HistoryRow, Sweep, SweepKind, alert_effect
from stopline.ports import SERVER_TIME, Clock, Document, Path, Put, Store
from stopline.service.accounts.reader import AccountReader
from stopline.service.audit.journal import row_effects
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.batching import Batcher
from stopline.service.fills.adjustments import adjustment_rows
from stopline.service.fills.book_size import check_size, fits
from stopline.service.fills.bookable import by_position, check_coin, check_fill, is_watched
from stopline.service.fills.books import (
    FillLog,
    begun,
    describe_position,
    fill_create,
    fill_path,
    next_revision,
    position_event_id,
    read_fill,
    unnamed_before,
)
from stopline.service.fills.former_forms import is_former
from stopline.service.fills.message_parts import MAX_FILLS, parts
from stopline.service.fills.provisional import counted_twice, final_fee, is_of_cumulative_order
from stopline.service.fills.restatements import restated_days, restatement_alert, restatement_rows
from stopline.service.fills.settlements import ends_option, settled_twice
from stopline.service.fills.splits import split_twice
from stopline.service.fills.unnamed_day import on_their_days
from stopline.service.fills.unplaced_rows import unplaced
from stopline.service.history.rows import fill_row, table_row
from stopline.service.history.trade_rows import trade_rows

SWEPT = 500  # fills that a sweep is told of; more in one commit are a first import


class Result(StrEnum):
    APPLIED = "applied"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one fill. A refused one carries why, and must be quarantined by the caller."""

    fill: Fill
    result: Result
    refused: Rejected | None = None


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
        for some in parts(fill for _, fill in first.values()):
            request = _Request(account, message_id, now, {fill.key: fill for fill in some})
            self._batcher.run(account.account, request)
            outcomes |= {first[key][0]: outcome for key, outcome in request.outcomes.items()}
            repeated += [first[key] for key in request.fills if key in request.repeated]
        for index, fill in twins:
            same = fill.hash == first[fill.key][1].hash
            outcomes[index] = Outcome(fill, Result.DUPLICATE) if same else _conflicting(fill)
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
    """One message's fills of one account, each key once; and what became of them."""

    account: Account
    message_id: str
    now: datetime
    fills: dict[str, Fill]
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
        self._given, self._fills = list[Fill](), list[Fill]()
        self._message_ids = {key: request.message_id for request in requests for key in request.fills}
        self.outcomes: dict[str, Outcome] = {}
        self.repeated: set[str] = set()
        self._placing: dict[str, list[Fill]] = {}  # the rows that take trades back, by position
        self._said_by: dict[str, str] = {}  # of what a fill makes of one that is booked: the key of that fill
        self._recall = Recall()

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
        self.outcomes, self.repeated, self._said_by = {}, set(), {}
        self._fills, refused = on_their_days(self._given, self._log)
        self.outcomes |= {
            f.key: Outcome(f, Result.REFUSED, refused[f.key]) for f in self._given if f.key in refused
        }
        new = self._fills
        if attempt > 0 or any(self._needs_log(fill, book) for fill in new):
            new = self._without_doubles(self._unbooked(book), book)
        before = book
        booked, book, alert = self._fitting(before, new)
        by_key = {fill.key: fill for fill in self._fills}
        for key, said_by in self._said_by.items():
            self.outcomes[said_by] = replace(self.outcomes[key], fill=by_key[said_by])
        if not booked:
            return None
        creates = [fill_create(fill, self._message_ids[fill.key], self._now) for fill in booked]
        effects = self._effects(before, book, booked)
        if alert is not None:
            effects.append(alert_effect(alert))
        book = book.pruned(self._now)
        if len(booked) > 1 and not fits(book, effects):
            self._most = len(self._given) // 2
            self._given = self._given[: self._most]
            return self.decide(before, attempt)
        return Change(book, effects, creates)

    def _fitting(self, before: Book, fills: list[Fill]) -> tuple[list[Fill], Book, Alert | None]:
        """Fold the fills that the book has room for; what opens lots in a full one is refused."""
        booked, book = self._apply(before, fills)
        if not booked:
            return booked, book, None
        try:
            return booked, book, check_size(before, book.pruned(self._now), _cause(booked), self._now)
        except Rejected as refused:
            grown = {key for key in book.positions if book.count_lots(key) > before.count_lots(key)}
            out = {fill.key for fill in booked if fill.position_key in grown} or {fill.key for fill in booked}
            self.outcomes |= {f.key: Outcome(f, Result.REFUSED, refused) for f in booked if f.key in out}
            return self._fitting(before, [fill for fill in booked if fill.key not in out])

    def _needs_log(self, fill: Fill, book: Book) -> bool:
        if is_amendment(fill) or is_of_cumulative_order(fill) or fill.kind is FillKind.SPLIT:
            return True
        if ends_option(fill):  # it may have ended before, at another price: the book forgets that after a day
            return True
        if is_watched(fill):  # one that an older version booked is a duplicate, whatever is held now
            return True
        return book.is_late(fill, self._now)

    def _without_doubles(self, fills: list[Fill], book: Book) -> list[Fill]:
        logs: dict[str, list[Fill]] = {}

        def known(fill: Fill) -> list[Fill]:
            if fill.position_key not in logs:
                logs[fill.position_key] = with_held(fill, self._of_position, book.held, set())
            return logs[fill.position_key]

        def of_order(fill: Fill) -> list[Fill]:
            booked = self._log.of_order(fill, unnamed_before(book, self._now))
            return [one for one in booked if one.position_key == fill.position_key]

        refused = counted_twice(fills, of_order) | split_twice(fills, known) | settled_twice(fills, known)
        refused |= unplaced(fills, known)
        self.outcomes |= {
            f.key: Outcome(f, Result.REFUSED, refused[f.key]) for f in fills if f.key in refused
        }
        return [fill for fill in fills if fill.key not in refused]

    def _of_position(self, _: Position | None, fill: Fill) -> list[Fill]:
        return self._log.of(fill.account, fill.strategy, fill.instrument.symbol)

    def _unbooked(self, book: Book) -> list[Fill]:
        """Return the fills that the log does not have; note duplicates and refuse conflicting ones."""
        new: list[Fill] = []
        self._placing = {}
        documents = self._store.get_all([fill_path(fill.key) for fill in self._fills])
        for fill, document in zip(self._fills, documents, strict=True):
            if document is None:
                new.append(fill)
            elif number_of(fill) is not None and is_another(read_fill(document), fill):
                new += self._booked_again(fill, booked_again(fill, str(number_of(fill))))
            elif rows := self._placed(read_fill(document), fill, book):
                new += self._booked_again(fill, rows)
                was = read_fill(document)  # the units have their place; whose fee is right nobody knows
                unlike = was.kind is not FillKind.CORRECT and len(rows) == 1 and was.fee != fill.fee
                if unlike or self._was_in_sum(was, fill):
                    self._said_by.pop(rows[0].key, None)
                    self.outcomes[fill.key] = _conflicting(fill)
            elif document.data["hash"] != fill.hash and not is_former(read_fill(document), fill):
                new += self._made_final(read_fill(document), fill)
            else:
                self._repeats(fill, document)
        return new

    def _placed(self, booked: Fill, fill: Fill, book: Book) -> list[Fill]:
        """Return what is booked of a row under its own id, since a booked fill of the same id has no place yet."""
        if number_of(fill) is None or number_of(booked) is not None:
            return []
        home = booked.position_key
        if home in self._placing:
            return placed(booked, fill, self._placing[home])
        position = book.positions.get(home)
        others = [*self._fills, *(one for fills in book.held.values() for one in fills)]
        if position is not None and position.amended:
            others += self._of_position(position, booked)
        others = self._placing[home] = [one for one in others if is_row_bust(one)]
        return placed(booked, fill, others)

    def _was_in_sum(self, booked: Fill, fill: Fill) -> bool:
        """Tell whether an older version booked what a row charges in one sum with what others of its trade do."""
        if not fill.fee or booked.kind is not FillKind.CORRECT or fill.kind is FillKind.CORRECT:
            return False
        charged = self._log.find(document_id(fill.broker, fill.account, f"{fill.fill_id}:fee"))
        return charged is None or charged.fee != fill.fee

    def _booked_again(self, fill: Fill, as_row: Sequence[Fill]) -> list[Fill]:
        """Return what is still to be booked of a row whose id a booked fill has, under the ids of the row."""
        new = []
        for one in as_row:
            document = self._store.get(fill_path(one.key))
            if document is None:
                self._said_by[one.key] = fill.key
                self._message_ids[one.key] = self._message_ids[fill.key]
                new.append(one)
            elif document.data["hash"] == one.hash:
                self._repeats(fill, document)
            else:
                self.outcomes[fill.key] = _conflicting(fill)
        return new

    def _made_final(self, booked: Fill, fill: Fill) -> list[Fill]:
        """Return the fee that is still to be booked of a fill that has the id of a booked one."""
        fee = final_fee(booked, fill)
        document = self._store.get(fill_path(fee.key)) if fee else None
        if fee is not None and document is None:
            self._said_by[fee.key] = fill.key
            self._message_ids[fee.key] = self._message_ids[fill.key]
            return [fee]
        if (fee is not None and document is not None and document.data["hash"] == fee.hash) or final_fee(
            fill, booked
        ):
            self._repeats(fill, document)
        else:
            self.outcomes[fill.key] = _conflicting(fill)
        return []

    def _repeats(self, fill: Fill, document: Document | None) -> None:
        self.outcomes[fill.key] = Outcome(fill, Result.DUPLICATE)
        if document is None or document.data["message_id"] != self._message_ids[fill.key]:
            self.repeated.add(fill.key)

    def _apply(self, book: Book, fills: list[Fill]) -> tuple[list[Fill], Book]:
        """Fold the fills position by position, so that one that is refused does not hold up the others."""
        booked: dict[str, Fill] = {}
        revision = next_revision(book, self._now)

        def find(key: str) -> Fill | None:
            return booked.get(key) or self._log.find(key)

        def log(position: Position | None, late: Fill) -> list[Fill]:
            """Return what the log has, and what goes into it by this very commit."""
            home = late.position_key
            here = [f for f in booked.values() if f.position_key == home]
            return [*self._log.since_flat(position, late), *here]

        self._recall = Recall(partial(self._log.around, self._account.account))
        for group in by_position(fills):
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
            except Rejected as refused:
                self.outcomes |= {fill.key: Outcome(fill, Result.REFUSED, refused) for fill in group}
                continue
            booked.update({fill.key: fill for fill in group})
            self.outcomes |= {fill.key: Outcome(fill, Result.APPLIED) for fill in group}
        return list(booked.values()), book.at_revision(revision) if booked else book

    def _effects(self, before: Book, book: Book, booked: list[Fill]) -> list[Effect]:
        account = self._account.account
        session_of = self._account.sessions.session_of
        rows: list[HistoryRow] = [fill_row(fill, session_of(fill.executed_at)) for fill in booked]
        changed = PositionTable.of(book.positions).changed_since(before.positions)
        rows += [self._position_row(book, key) for key in changed]
        days = restated_days(before, book, session_of(self._now))
        rows += restatement_rows(book, days, self._now)
        adjusted = adjustment_rows(booked, self._now)
        keys = tuple(fill.key for fill in booked[:SWEPT])
        sweep = Sweep(kind=SweepKind.ACCOUNT, account=account, fills=keys)
        trades = trade_rows(before, book, self._spot, self._recall.stood)
        alert = restatement_alert(book, days, booked, session_of, self._now)
        return [
            *row_effects(account, rows),
            *([alert_effect(alert)] if alert else []),
            *row_effects(account, [*trades, *adjusted]),
            Effect(digest("sweep", _cause(booked)), "sweeps", account, sweep.model_dump(mode="json")),
        ]

    def _position_row(self, book: Book, key: str) -> HistoryRow:
        position = book.positions[key]
        facts = describe_position(position)
        opened_at = facts.pop("opened_at")
        row = {"account": book.account, **facts, "as_of": self._now, "book_revision": book.revision}
        event_id = position_event_id(book.account, key, book.revision)
        return table_row("positions", event_id, row, {"opened_at": opened_at, "lots": len(position.open)})


def _cause(booked: Sequence[Fill]) -> str:
    return digest("fills", *(fill.key for fill in booked))


def _conflicting(fill: Fill) -> Outcome:
    refused = Rejected(
        "CONFLICTING_DUPLICATE",
        f"fill {fill.key} is booked with other content: the first one stands, nothing was changed",
    )
    return Outcome(fill, Result.REFUSED, refused)
