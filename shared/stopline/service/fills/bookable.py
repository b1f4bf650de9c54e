"""Which fills may be booked at all: whatever the book holds, and options in their own coin by what it does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.decimals import ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind
from stopline.model.increments import increments_of, off_step
from stopline.model.instrument import coin_fault
from stopline.model.times import utc_text

MAX_AGE = timedelta(days=45)
MAX_AHEAD = timedelta(seconds=60)
CLOSED_BY_EXPIRY = {FillKind.TRADE, FillKind.LIQUIDATION}  # brokers tell assignments on the morning after
OPENS = CLOSED_BY_EXPIRY | {FillKind.ASSIGN, FillKind.EXERCISE, FillKind.ADJUST}


def check_price(fill: Fill) -> Rejected | None:
    """Say why units cannot be booked by hand at a price, or None: at a trade's price, or at 0 (a spin-off), which an inverse
    contract cannot be worth. Not a rule of the fill itself: what was booked before must stay readable.
    """
    free = fill.price == 0 and not fill.instrument.inverse
    if (
        fill.kind is not FillKind.ADJUST
        or not fill.quantity
        or free
        or fill.instrument.allows_price(fill.price)
    ):
        return None
    return Rejected(
        "BAD_PRICE", f"fill {fill.key}: price {fill.price} is impossible for {fill.instrument.symbol}"
    )


def is_watched(fill: Fill) -> bool:
    """Tell whether it hangs on the units held whether a fill can be booked: of an option that is paid in its own coin."""
    return fill.kind in OPENS and fill.instrument.is_in_its_coin


def by_position(fills: Iterable[Fill], homes: Mapping[str, str]) -> Iterator[list[Fill]]:
    """Yield fills position by position, by `homes`: where each counts. What hangs on the units held comes one by one,
    after all else of its position.
    """
    groups: dict[str, list[Fill]] = {}
    alone: list[Fill] = []
    for fill in fills:
        if is_watched(fill):
            alone.append(fill)
        else:
            groups.setdefault(homes[fill.key], []).append(fill)
    yield from groups.values()
    yield from ([fill] for fill in sorted(alone, key=lambda fill: fill.order))


def check_coin(group: Sequence[Fill], book: Book) -> None:
    """Raise Rejected for a fill that opens an option which is paid in its own coin, or adds to it. What an older version
    booked can be closed. `group`: fills as `by_position` yields them.
    """
    fill = group[0]
    position = book.positions.get(fill.position_key)
    held, moved = position.quantity if position else ZERO, fill.signed_quantity
    closes = moved.is_signed() != held.is_signed() and abs(moved) <= abs(held)
    if is_watched(fill) and moved and not closes:
        raise Rejected("PAID_IN_ITS_COIN", f"fill {fill.key}: {coin_fault(fill.instrument)}")


def check_fill(fill: Fill, account: Account, now: datetime) -> Rejected | None:
    """Say why a fill cannot be booked in an account, or None."""
    if fill.broker not in account.brokers:
        return Rejected(
            "UNKNOWN_BROKER", f"fill {fill.key}: broker {fill.broker!r} is not one of the account's"
        )
    if fill.executed_at > now + MAX_AHEAD:
        return Rejected(
            "IN_THE_FUTURE",
            f"fill {fill.key}: executed at {utc_text(fill.executed_at)}, now is {utc_text(now)}",
        )
    if fill.executed_at < now - MAX_AGE:
        return Rejected(
            "TOO_OLD", f"fill {fill.key}: executed at {utc_text(fill.executed_at)}, more than 45 days ago"
        )
    expiry = fill.instrument.expiry
    if (
        fill.kind in CLOSED_BY_EXPIRY
        and expiry is not None
        and account.sessions.session_of(fill.executed_at) > expiry
    ):
        return Rejected(
            "EXPIRED", f"fill {fill.key}: {fill.instrument.symbol} expired on {expiry.isoformat()}"
        )
    refused = check_price(fill)
    if refused is not None:
        return refused
    fault = off_step(fill, increments_of(account.increments, fill.instrument))
    return Rejected("OFF_STEP", f"fill {fill.key}: {fault}") if fault else None
