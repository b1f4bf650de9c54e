"""Follow the options of an account towards and past their expiry, on each evaluation that is written."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import Assignment, SpotOf, assignments, exposure
from stopline.model.account import Account
from stopline.model.decimals import ZERO, decimal_text
from stopline.model.messages import Alert
from stopline.model.times import utc_text
from stopline.rules.watching.lifecycle import conditions, lifecycle_alerts


class Lifecycle(NamedTuple):
    """What stands since when, what is new or over, and what assignment would bring, for people."""

    standing: Mapping[str, datetime]
    alerts: Sequence[Alert]
    shown: Mapping[str, Any] | None


def follow_lifecycle(
    account: Account, book: Book, spot: SpotOf, before: Mapping[str, datetime], cause: str, now: datetime
) -> Lifecycle:
    """Look at an account's options; the same cause gives the same alerts."""
    positions = book.open_positions()
    found = conditions(account, positions, book.trades(), spot, now)
    standing, alerts = lifecycle_alerts(account.account, before, found, cause, now)
    expected = assignments(positions, account.sessions, spot)
    return Lifecycle(standing, alerts, _shown(expected) if expected else None)


SHOWN = 50  # options; the exposure counts all


def _shown(expected: Sequence[Assignment]) -> dict[str, Any]:
    return {
        "exposure": {currency: _text(amount) for currency, amount in sorted(exposure(expected).items())},
        "positions": [
            {
                "position": each.position.key,
                "expected": each.is_expected,
                "units": decimal_text(each.units),
                "money": _text(each.money),
                "settlement": each.clock.settlement.value,
                "decided_at": utc_text(each.clock.decided_at),
                "early": each.early,
                "dividend_risk": each.dividend,
            }
            for each in _most(expected)
        ],
    }


def _most(expected: Sequence[Assignment]) -> list[Assignment]:
    """Return those in the money, or where that is unknown, the largest first."""
    some = [each for each in expected if each.is_expected is not False]
    return sorted(some, key=lambda each: (-abs(each.money or ZERO), each.position.key))[:SHOWN]


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)
