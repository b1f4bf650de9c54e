"""Closes that a user brings: past sessions for VaR, correlation and named days."""

from collections.abc import Mapping
from datetime import UTC, date
from decimal import Decimal

from stopline.model.calendars import calendar
from stopline.model.decimals import decimal_text
from stopline.model.ids import digest
from stopline.ports import Clock, History, RowFault
from stopline.service.history.factors import LOADED
from stopline.service.history.rows import table_row

CHUNK = 5000


def load_closes(
    history: History, clock: Clock, name: str, closes: Mapping[tuple[str, date], Decimal]
) -> list[RowFault]:
    """Append closes by (symbol, session) of a calendar; return what was refused. They go before the feed's marks.

    The same close again is the same row; another number for a session is a new one, and the last one appended holds.
    Raises Unavailable: run it again.
    """
    sessions, now = calendar(name), clock.now()
    rows = []
    for (symbol, session), close in closes.items():
        facts = {
            "calendar": name,
            "symbol": symbol,
            "session": session,
            "close": close,
            "source": LOADED,
            "as_of": now.astimezone(UTC),
        }
        id_ = digest("close", name, symbol, session.isoformat(), LOADED, decimal_text(close))
        rows.append(table_row("closes", id_, facts, {"closed_at": sessions.close_of(session).isoformat()}))
    faults: list[RowFault] = []
    for start in range(0, len(rows), CHUNK):
        faults += history.append(rows[start : start + CHUNK], now)
    return faults
