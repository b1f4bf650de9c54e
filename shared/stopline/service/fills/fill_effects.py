"""What a commit of fills has published: rows of the history, what it restates, and a sweep of the account."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import SpotOf
from stopline.ledger.position_table import PositionTable
from stopline.ledger.trade_leg import TradeLeg
from stopline.model.account import Account
from stopline.model.fill import Fill
from stopline.model.ids import digest
from stopline.model.messages import Effect, HistoryRow, Sweep, SweepKind, alert_effect
from stopline.service.audit.journal import row_effects
from stopline.service.fills.adjustments import adjustment_rows
from stopline.service.fills.books import describe_position, position_event_id
from stopline.service.fills.restatements import restated_days, restatement_alert, restatement_rows
from stopline.service.history.rows import fill_row, table_row
from stopline.service.history.trade_rows import trade_rows

SWEPT = 500  # fills that a sweep is told of; more in one commit are a first import


def fill_effects(
    account: Account,
    before: Book,
    book: Book,
    booked: Sequence[Fill],
    spot: SpotOf,
    stood: Mapping[str, Sequence[TradeLeg]],
    now: datetime,
) -> list[Effect]:
    """Return the effects of fills that made one book out of another. `stood`: forgotten legs that came back, as they
    stood in `before`, by position.
    """
    session_of = account.sessions.session_of
    rows: list[HistoryRow] = [fill_row(fill, session_of(fill.executed_at)) for fill in booked]
    changed = PositionTable.of(book.positions).changed_since(before.positions)
    rows += [_position_row(book, key, now) for key in changed]
    days = restated_days(before, book, session_of(now))
    rows += restatement_rows(book, days, now)
    adjusted = adjustment_rows(booked, now)
    keys = tuple(fill.key for fill in booked[:SWEPT])
    sweep = Sweep(kind=SweepKind.ACCOUNT, account=account.account, fills=keys)
    trades = trade_rows(before, book, spot, stood)
    alert = restatement_alert(book, days, booked, session_of, now)
    return [
        *row_effects(account.account, rows),
        *([alert_effect(alert)] if alert else []),
        *row_effects(account.account, [*trades, *adjusted]),
        Effect(digest("sweep", cause_of(booked)), "sweeps", account.account, sweep.model_dump(mode="json")),
    ]


def cause_of(booked: Sequence[Fill]) -> str:
    """Return the id of a commit, by what it books."""
    return digest("fills", *(fill.key for fill in booked))


def _position_row(book: Book, key: str, now: datetime) -> HistoryRow:
    position = book.positions[key]
    facts = describe_position(position)
    opened_at = facts.pop("opened_at")
    row = {"account": book.account, **facts, "as_of": now, "book_revision": book.revision}
    event_id = position_event_id(book.account, key, book.revision)
    return table_row("positions", event_id, row, {"opened_at": opened_at, "lots": len(position.open)})
