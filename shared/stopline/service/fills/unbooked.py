"""What of the fills of a commit the log does not have yet."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stopline.ledger.book import Book
from stopline.ledger.bookings import booked_again, is_another, is_row_bust, number_of, placed
from stopline.model.fill import Fill, FillKind
from stopline.model.ids import document_id
from stopline.ports import Document, Store
from stopline.service.fills.books import FillLog, fill_path, read_fill
from stopline.service.fills.doubles import log_of
from stopline.service.fills.former_forms import is_former
from stopline.service.fills.outcome import Outcome, Result, conflicting
from stopline.service.fills.provisional import final_fee


class Unbooked:
    """Compares the fills of one account that a commit may book with the log. `outcomes`: of those that are not new.
    `repeated`: keys of what another message booked. `busts`: the rows of the messages that take trades back, in whichever
    commit. `message_ids`, by key, gets those of what a fill makes of a booked one.
    """

    def __init__(
        self,
        store: Store,
        log: FillLog,
        book: Book,
        fills: Sequence[Fill],
        busts: Sequence[Fill],
        message_ids: dict[str, str],
    ) -> None:
        self._store = store
        self._log = log
        self._book = book
        self._fills = fills
        self._busts = busts
        self._message_ids = message_ids
        self._placing: dict[str, list[Fill]] = {}  # the rows that take trades back, by position
        self._said_by: dict[
            str, Fill
        ] = {}  # by the key of what a fill makes of one that is booked: that fill
        self.outcomes: dict[str, Outcome] = {}
        self.repeated: set[str] = set()

    def new(self) -> list[Fill]:
        """Return the fills that the log does not have; note duplicates and refuse conflicting ones."""
        new: list[Fill] = []
        documents = self._store.get_all([fill_path(fill.key) for fill in self._fills])
        for fill, document in zip(self._fills, documents, strict=True):
            if document is None:
                new.append(fill)
            elif number_of(fill) is not None and is_another(read_fill(document), fill):
                new += self._booked_again(fill, booked_again(fill, str(number_of(fill))))
            elif rows := self._placed(read_fill(document), fill):
                new += self._booked_again(fill, rows)
                was = read_fill(document)  # the units have their place; whose fee is right nobody knows
                unlike = was.kind is not FillKind.CORRECT and len(rows) == 1 and was.fee != fill.fee
                if unlike or self._was_in_sum(was, fill):
                    self._said_by.pop(rows[0].key, None)
                    self.outcomes[fill.key] = conflicting(fill)
            elif document.data["hash"] != fill.hash and not is_former(read_fill(document), fill):
                new += self._made_final(read_fill(document), fill)
            else:
                self._repeats(fill, document)
        return new

    def told(self, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
        """Return, by key, what became of fills by what became of that which they made of booked ones: a refusal of any."""
        made = sorted(self._said_by.items(), key=lambda one: outcomes[one[0]].refused is not None)
        return {fill.key: replace(outcomes[key], fill=fill) for key, fill in made}

    def _placed(self, booked: Fill, fill: Fill) -> list[Fill]:
        """Return what is booked of a row under its own id, since a booked fill of the same id has no place yet."""
        if number_of(fill) is None or number_of(booked) is not None:
            return []
        home = booked.position_key
        if home in self._placing:
            return placed(booked, fill, self._placing[home])
        position = self._book.positions.get(home)
        others = [*self._busts, *(one for fills in self._book.held.values() for one in fills)]
        if position is not None and position.amended:
            others += log_of(self._log, booked)
        others = self._placing[home] = [one for one in others if is_row_bust(one)]
        return placed(booked, fill, others)

    def _was_in_sum(self, booked: Fill, fill: Fill) -> bool:
        """Tell whether an older version booked what a row charges in one sum with what others of its trade do."""
        if not fill.fee or booked.kind is not FillKind.CORRECT or fill.kind is FillKind.CORRECT:
            return False
        charged = self._log.find(document_id(fill.broker, fill.account, f"{fill.fill_id}:fee"))
        return charged is None or charged.fee != fill.fee

    def _booked_again(self, fill: Fill, as_row: Sequence[Fill]) -> list[Fill]:
        """Return what is still to be booked of a row whose id a booked fill has, under the ids of the row. Nothing where any
        of that is booked with other content.
        """
        stored = self._store.get_all([fill_path(one.key) for one in as_row])
        if any(known and known.data["hash"] != one.hash for one, known in zip(as_row, stored, strict=True)):
            self.outcomes[fill.key] = conflicting(fill)
            return []
        new = [one for one, known in zip(as_row, stored, strict=True) if known is None]
        for one in new:
            self._said_by[one.key] = fill
            self._message_ids[one.key] = self._message_ids[fill.key]
        if stored and not new:
            self._repeats(fill, stored[0])
        return new

    def _made_final(self, booked: Fill, fill: Fill) -> list[Fill]:
        """Return the fee that is still to be booked of a fill that has the id of a booked one."""
        fee = final_fee(booked, fill)
        document = self._store.get(fill_path(fee.key)) if fee else None
        if fee is not None and document is None:
            self._said_by[fee.key] = fill
            self._message_ids[fee.key] = self._message_ids[fill.key]
            return [fee]
        if (fee is not None and document is not None and document.data["hash"] == fee.hash) or final_fee(
            fill, booked
        ):
            self._repeats(fill, document)
        else:
            self.outcomes[fill.key] = conflicting(fill)
        return []

    def _repeats(self, fill: Fill, document: Document | None) -> None:
        self.outcomes[fill.key] = Outcome(fill, Result.DUPLICATE)
        if document is None or document.data["message_id"] != self._message_ids[fill.key]:
            self.repeated.add(fill.key)
