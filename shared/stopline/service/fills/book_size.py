"""How large a book's document may become: told in steps from 256 KiB, and closed to new lots well before the store refuses.

Firestore takes 1 MiB a document, and the outbox needs room beside the state: fills whose effects have none go in several
commits. Every fill reads and writes all of it.
"""

from collections.abc import Sequence
from datetime import datetime

from stopline.ledger.book import Book
from stopline.ledger.encoding import encode_book
from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.messages import Alert, Effect, Severity
from stopline.service.documents.outbox import encode_outbox

KIB = 1024
TOLD_FROM = 256 * KIB
TOLD_EVERY = 128 * KIB
FULL = 768 * KIB
CARRIED = 64 * KIB  # of effects of earlier commits, see `documents/aggregate.py`
ROOM = 1024 * KIB - CARRIED - 16 * KIB
"""Of the state with what one commit adds to the outbox: the other fields, and what is carried along, go beside it."""


def book_size(book: Book) -> int:
    """Return the bytes of a book's state in the store."""
    return len(encode_book(book).encode())


def fits(book: Book, effects: Sequence[Effect]) -> bool:
    """Tell whether a book and what follows of one commit have room in one document."""
    return book_size(book) + len(encode_outbox(effects).encode()) <= ROOM


def check_size(before: Book, after: Book, cause: str, now: datetime) -> Alert | None:
    """Return the alert where a book has grown into the next step. Raises Rejected BOOK_FULL where it would get new lots and
    is full; what closes lots is booked all the same.
    """
    size = book_size(after)
    if size < TOLD_FROM:
        return None
    if size > FULL and after.count_lots() > before.count_lots():
        raise Rejected(
            "BOOK_FULL",
            f"the book of {after.account} would have {size // KIB} KiB, the most is {FULL // KIB}: "
            "close positions, or trade new ones in another account",
        )
    step = size // TOLD_EVERY
    return _alert(after.account, size, cause, now) if step > book_size(before) // TOLD_EVERY else None


def _alert(account: str, size: int, cause: str, now: datetime) -> Alert:
    return Alert(
        alert_id=digest("book_large", account, cause),
        account=account,
        kind="book_large",
        object="book",
        severity=Severity.CRITICAL if size > FULL - TOLD_EVERY else Severity.WARNING,
        summary=f"The book has grown to {size // KIB} KiB; at {FULL // KIB} KiB it takes no new lots",
        action="Nothing was stopped. Close or combine positions, or trade new ones in another account.",
        cause=cause,
        raised_at=now,
    )
