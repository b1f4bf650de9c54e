"""What the fill log must be asked about new fills before they are booked, and which of them say a thing once more."""

from collections.abc import Sequence
from datetime import datetime

from stopline.ledger.amend import is_amendment
from stopline.ledger.arrivals import Reader
from stopline.ledger.book import Book
from stopline.ledger.book import booked as with_held
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind
from stopline.service.fills.bookable import is_watched
from stopline.service.fills.books import FillLog, unnamed_before
from stopline.service.fills.other_contracts import of_other_contract, waiting_keys
from stopline.service.fills.provisional import counted_twice, is_of_cumulative_order
from stopline.service.fills.settlements import ends_option, settled_twice
from stopline.service.fills.splits import split_twice
from stopline.service.fills.unplaced_rows import unplaced


def needs_log(fill: Fill, book: Book, now: datetime) -> bool:
    """Tell whether a fill may be booked only after a look at what the log has; otherwise the commit's own
    preconditions tell it.
    """
    if is_amendment(fill) or is_of_cumulative_order(fill) or fill.kind is FillKind.SPLIT:
        return True
    if ends_option(fill):  # it may have ended before, at another price: the book forgets that after a day
        return True
    if any(key in book.held for key in waiting_keys(fill)):  # it may be of another contract
        return True
    if is_watched(fill):  # one that an older version booked is a duplicate, whatever is held now
        return True
    return book.is_late(fill, now)


def doubles(fills: Sequence[Fill], book: Book, log: FillLog, now: datetime) -> dict[str, Rejected]:
    """Return, by key, why fills that are not booked yet cannot be: they would count twice, wait for ever,
    or change a fill of another contract.
    """
    logs: dict[str, list[Fill]] = {}

    def known(fill: Fill) -> list[Fill]:
        if fill.position_key not in logs:
            logs[fill.position_key] = with_held(fill, lambda _, home: log_of(log, home), book.held, set())
        return logs[fill.position_key]

    def of_order(fill: Fill) -> list[Fill]:
        booked = log.of_order(fill, unnamed_before(book, now))
        return [one for one in booked if one.position_key == fill.position_key]

    refused = counted_twice(fills, of_order) | split_twice(fills, known) | settled_twice(fills, known)
    reader = Reader({fill.key: fill for fill in fills}, log.find, lambda _, fill: log_of(log, fill))
    return refused | unplaced(fills, known) | of_other_contract(fills, reader, book.held)


def log_of(log: FillLog, fill: Fill) -> list[Fill]:
    """Return the booked fills of a fill's position."""
    return log.of(fill.account, fill.strategy, fill.instrument.symbol)
