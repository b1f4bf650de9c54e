"""Days that were over and have other numbers now: rows of the audit trail, and what people are told."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from stopline.ledger.amend import is_amendment
from stopline.ledger.book import Book
from stopline.ledger.days import Day
from stopline.model.decimals import EXACT_QUANTIZE, decimal_text
from stopline.model.fill import Fill, FillKind
from stopline.model.ids import digest
from stopline.model.messages import Alert, HistoryRow, Severity
from stopline.service.history.rows import audit_row

CENT = Decimal("0.01")
NAMED = 3  # days, and fills, in one alert
_LATE = {
    FillKind.BUST: "a bust",
    FillKind.CORRECT: "a correction",
    FillKind.FEE: "a late fee",
    FillKind.ADJUST: "an adjustment by hand",
}


class Restated(NamedTuple):
    """What a session made in a currency, as it was told and as it is."""

    session: date
    currency: str
    was: Day
    now: Day


def restated_days(before: Book, book: Book, today: date) -> list[Restated]:
    """Return the sessions before today that a commit has changed."""
    found = []
    for session, currency in sorted(before.days.keys() | book.days.keys()):
        was, now = before.day(session, currency), book.day(session, currency)
        if session < today and was.money != now.money and (session, currency) in book.days:
            found.append(Restated(session, currency, was, now))
    return found


def restatement_rows(book: Book, days: Sequence[Restated], now: datetime) -> list[HistoryRow]:
    """Return an audit row for each."""
    rows = []
    for one in days:
        detail = {"session": one.session.isoformat(), "currency": one.currency}
        rows.append(
            audit_row(
                event_id=digest("restated", book.account, *detail.values(), str(book.revision)),
                scope=f"account:{book.account}",
                event="day_restated",
                actor="fills",
                reason="a fill, fee, correction or bust came after the day was over",
                at=now,
                detail={**detail, "before": _facts(one.was), "after": _facts(one.now)},
            )
        )
    return rows


def restatement_alert(
    book: Book,
    days: Sequence[Restated],
    booked: Sequence[Fill],
    session_of: Callable[[datetime], date],
    now: datetime,
) -> Alert | None:
    """Return what people are told of one commit: the days whose net P&L is another in whole cents (small changes are told
    when they have come to one), and what came of what it booked. A warning where realised P&L has changed, info where it is
    fees or income alone; None where nothing has, or only days that were over before the account's first fill was booked:
    nobody was told of those.
    """
    first = session_of(book.since) if book.since else date.min
    told = [one for one in days if one.session >= first and _cents(one.now) != _cents(one.was)]
    if not told:
        return None
    figures = "; ".join(_words(one) for one in told[:NAMED]) + _more(len(told))
    causes, cause = _causes(booked, session_of, session_of(now))
    realised = any(one.was.realised != one.now.realised for one in told)
    return Alert(
        alert_id=digest("day_restated", book.account, str(book.revision), *(fill.key for fill in causes)),
        account=book.account,
        kind="day_restated",
        object="account",
        severity=Severity.WARNING if realised else Severity.INFO,
        summary=f"P&L of past days has changed: {figures} ({cause})"[:500],
        action="Reports of those days were sent with the old figure. Compare with the broker's statement.",
        cause=causes[0].key if causes else "",
        raised_at=now,
    )


def _causes(
    booked: Sequence[Fill], session_of: Callable[[datetime], date], today: date
) -> tuple[Sequence[Fill], str]:
    """Return the fills that changed past days, and how they are named. Where none amends another or is of a past day, a
    fill of today has decided what an amendment means that was there before.
    """
    late = [fill for fill in booked if is_amendment(fill) or session_of(fill.executed_at) < today]
    if late:
        return late, ", ".join(map(_named, late[:NAMED])) + _more(len(late))
    ids = ", ".join(fill.fill_id for fill in booked[:NAMED]) + _more(len(booked))
    return booked, f"amendments that came before count otherwise since fill {ids}"


def _cents(day: Day) -> Decimal:
    return day.net.quantize(CENT, rounding=ROUND_HALF_UP, context=EXACT_QUANTIZE)


def _words(one: Restated) -> str:
    return f"{one.session.isoformat()} was {decimal_text(one.was.net)}, is {decimal_text(one.now.net)} {one.currency}"


def _named(fill: Fill) -> str:
    about = f" of {fill.ref}" if fill.ref else ""
    return f"{_LATE.get(fill.kind, 'a late fill')} {fill.fill_id}{about}"


def _more(count: int) -> str:
    return f" and {count - NAMED} more" if count > NAMED else ""


def _facts(day: Day) -> dict[str, str]:
    names = ("realised", "fees", "income", "flow", "net")
    return {name: decimal_text(getattr(day, name)) for name in names}
