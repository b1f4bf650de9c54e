"""The figures of an account at one moment, for people and for the history."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from stopline.model.decimals import decimal_text
from stopline.model.ids import digest
from stopline.model.messages import HistoryRow
from stopline.model.times import utc_text
from stopline.rules.limits.figures import Figures
from stopline.rules.limits.registry import Reading
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.history.rows import table_row


def show(f: Figures, read: Sequence[Reading]) -> dict[str, Any]:
    """Return the figures as plain data for people: decimal text, None where UNKNOWN."""
    return {
        "session": f.session.isoformat(),
        "currency": f.account.currency,
        "equity": _text(f.equity),
        "realised_day": _text(f.realised_day),
        "unrealised": _text(f.unrealised),
        "pnl_day": _text(f.pnl_day),
        "total": _text(f.total),
        "day_start": f.day_start.source if f.day_start else None,
        "drawdown": _text(f.drawdown),
        "risk_level": f.risk_level,
        "settings": f.account.version,
        "strategies": {name: _text(pnl) for name, pnl in f.strategies.items()},
        "gross_exposure": _text(f.gross_exposure),
        "exposures": {underlying: _text(amount) for underlying, amount in f.exposures.items()},
        "greeks": f.greeks.shown() if f.greeks else None,
        "positions": {
            v.position.key: {
                "mark": _text(v.mark),
                "value": _text(v.value),
                "unrealised": _text(v.unrealised),
                **(f.greeks.shown_position(v.position.key) if f.greeks else {}),
            }
            for v in f.positions
        },
        "limits": [
            {
                "limit": r.limit.name,
                "object": r.object,
                "current": _text(r.current),
                "threshold": _text(r.threshold),
                "unit": r.unit,
                "level": r.level.value,
                **({"at_least": True} if r.at_least else {}),
            }
            for r in read
        ],
    }


def snapshot_row(f: Figures, state: RiskState) -> HistoryRow:
    """Return the figures of a commit as a row of the history."""
    row = {
        "account": f.account.account,
        "session": f.session,
        "currency": f.account.currency,
        "equity": f.equity,
        "realised_day": f.realised_day,
        "unrealised": f.unrealised,
        "pnl_day": f.pnl_day,
        "gross_exposure": f.gross_exposure,
        "level": state.level.value,
        "as_of": f.at,
        "kind": None,
    }
    event_id = digest("snapshot", f.account.account, str(state.revision), utc_text(f.at))
    return table_row("account_snapshots", event_id, row, state.shown)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
