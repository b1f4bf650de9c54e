"""What came of a replay, as plain values."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from stopline.model.account import Account
from stopline.model.decimals import decimal_text
from stopline.model.messages import Alert
from stopline.model.times import utc_text


@dataclass(frozen=True, slots=True)
class Conservation:
    """Where the published fills are. Nothing is lost when it closes."""

    published: int
    applied: int  # fills in the fill log
    duplicates: int
    quarantined: int
    in_flight: int  # not delivered yet, or given up to the dead letter
    booked: int  # fills that the books counted: the same as applied

    @property
    def closes(self) -> bool:
        """Tell whether every fill is accounted for, and log and books agree."""
        there = self.applied + self.duplicates + self.quarantined + self.in_flight
        return self.published == there and self.applied == self.booked and not self.in_flight

    def __str__(self) -> str:
        return (
            f"published {self.published} = applied {self.applied} + duplicates {self.duplicates} "
            f"+ quarantined {self.quarantined} + in flight {self.in_flight}"
        )


@dataclass(slots=True)
class SessionPnl:
    """One session of one account: what it booked, and the last valuation in it. None: UNKNOWN.

    `known_at` is when `pnl_day` was last known; `is_known` tells whether it still was at the session's end.
    """

    session: date
    realised: Decimal | None = None  # gross of fees
    fees: Decimal | None = None
    pnl_day: Decimal | None = None  # realised and unrealised, net of fees
    known_at: datetime | None = None
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class AccountResult:
    """One account at the end. `cash`: capital less fees, less what was paid, plus what was received."""

    account: Account
    status: dict[str, Any]
    sessions: list[SessionPnl]
    realised: Decimal | None  # gross of fees, in the account's currency; None: some of it is in another one
    fees: Decimal | None
    cash: Decimal | None


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of the trading state of a scope."""

    at: datetime
    scope: str
    state: str
    epoch: int
    actor: str
    reason: str


@dataclass(slots=True)
class ReplayResult:
    """Everything that a replay tells."""

    accounts: list[AccountResult]
    alerts: list[Alert]
    states: list[StateChange]
    conservation: Conservation
    refused: list[tuple[str, str, int]]  # quarantine: (source, reason and detail of the first, how many)
    faults: list[str]  # deliveries that failed until the dead letter
    started: datetime | None = None
    ended: datetime | None = None
    price_rows: int = 0
    unpriced_rows: int = 0
    batches: int = 0
    sweeps: int = 0

    def plain(self) -> dict[str, Any]:
        """Return it all as plain data for JSON: decimal text, None where UNKNOWN, times in UTC."""
        return {
            "from": _time(self.started),
            "to": _time(self.ended),
            "prices": {"rows": self.price_rows, "without_price": self.unpriced_rows, "batches": self.batches},
            "sweeps": self.sweeps,
            "accounts": {a.account.account: _account(a) for a in self.accounts},
            "alerts": [alert.model_dump(mode="json") for alert in self.alerts],
            "trading_states": [
                {
                    "at": utc_text(s.at),
                    "scope": s.scope,
                    "state": s.state,
                    "epoch": s.epoch,
                    "actor": s.actor,
                    "reason": s.reason,
                }
                for s in self.states
            ],
            "quarantine": [
                {"source": s, "reason": reason, "count": count} for s, reason, count in self.refused
            ],
            "dead_letters": self.faults,
            "conservation": {
                "published": self.conservation.published,
                "applied": self.conservation.applied,
                "duplicates": self.conservation.duplicates,
                "quarantined": self.conservation.quarantined,
                "in_flight": self.conservation.in_flight,
                "booked": self.conservation.booked,
                "closes": self.conservation.closes,
                "line": str(self.conservation),
            },
        }


def _account(a: AccountResult) -> dict[str, Any]:
    return {
        **a.status,
        "capital": decimal_text(a.account.capital),
        "realised": _text(a.realised),
        "fees": _text(a.fees),
        "cash": _text(a.cash),
        "sessions": [
            {
                "session": s.session.isoformat(),
                "realised": _text(s.realised),
                "fees": _text(s.fees),
                "pnl_day": _text(s.pnl_day),
                "known_at": _time(s.known_at),
                "known_at_the_end": s.is_known,
            }
            for s in a.sessions
        ],
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)
