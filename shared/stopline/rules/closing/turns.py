"""Whose turn it is: the steps of a plan go one after another, and none stands still for one that is not filled."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from stopline.ledger.book import Book
from stopline.model.closing_state import Asked, RequestStatus
from stopline.rules.closing.of_trade import too_much

TURN = timedelta(seconds=35)  # for so long a step keeps the next one waiting: what a first command is given


def with_turns(asked: Mapping[str, Asked], book: Book, now: datetime) -> dict[str, Asked]:
    """Return requests with those begun of which what goes before is over, by the book or by its status, or has had its turn
    for `TURN`.
    """
    found = dict(asked)
    for id_, one in asked.items():
        if one.has_turn or one.status is not RequestStatus.CLOSING:
            continue
        first = found.get(one.request.after or "")
        if first is None or _is_over(first, book) or (first.has_turn and now - first.began_at >= TURN):
            found[id_] = one.model_copy(update={"turn_at": now})
    return found


def next_turns(asked: Mapping[str, Asked]) -> Iterator[datetime]:
    """Yield when requests that wait have their turn at the latest, as far as that is known."""
    for one in asked.values():
        first = asked.get(one.request.after or "")
        if one.status is RequestStatus.CLOSING and not one.has_turn and first is not None and first.has_turn:
            yield first.began_at + TURN


def _is_over(one: Asked, book: Book) -> bool:
    if one.status is not RequestStatus.CLOSING:
        return True
    return one.request.trade_id is not None and not any(too_much(book, one.request).values())
