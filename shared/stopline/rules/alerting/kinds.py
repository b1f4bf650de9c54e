"""What each kind of alert is: a condition that begins and ends, or an event that happens. The one place that says so.

A condition is its kind and object: raised, it stands until it is resolved. An event is what one trade, command or
message caused: each is told, however many came before it, and it ends by itself (`rules/alerting/events.py`).
"""

from collections.abc import Mapping
from enum import StrEnum

from stopline.model.messages import Alert
from stopline.model.scopes import account_scope, parse_scope


class Nature(StrEnum):
    CONDITION = "condition"
    EVENT = "event"


_CONDITIONS = (
    "account_unwatched",
    "audit_broken",
    "broker_silent",
    "channel_failed",
    "correlation_change",
    "expired_unsettled",
    "exits_paused",
    "exposure_warning",
    "feed_silent",
    "ledger_mismatch",
    "not_flat",
    "orders_working",
    "orphan_leg",
    "pin_risk",
    "position_break",
    "protection_suppressed",
    "stale_prices",
    "statement_overdue",
    "sweep_silent",
    "trading_state",
    "unusual_activity",
    "volatility_spike",
)
_EVENTS = (
    "amendment_unmatched",
    "book_large",
    "breaker",
    "clock_skew",
    "closed",
    "closing_astray",
    "closing_ended",
    "closing_refused",
    "closing_stuck",
    "closing_waits",
    "day_restated",
    "dead_letter",
    "exit",
    "exit_stuck",
    "fill_while_halted",
    "flat",
    "health_degraded",
    "heartbeat",
    "history_differs",
    "large_slippage",
    "leg_alone",
    "opportunity",
    "overfilled",
    "quarantine",
    "reduction",
    "resting_cancelled",
    "resume_asked",
    "state_lost",
    "strategy_stopped",
    # what people are told by the desk itself: never raised
    "acknowledged",
    "caught_up",
    "digest",
    "test",
)

KINDS: Mapping[str, Nature] = dict.fromkeys(_CONDITIONS, Nature.CONDITION) | dict.fromkeys(
    _EVENTS, Nature.EVENT
)
"""Every kind but the limits, which are conditions, as is a kind that nobody has declared."""

ENDED_BY: Mapping[str, frozenset[str]] = {
    "breaker": frozenset({"trading_state"}),
    "closing_astray": frozenset({"closed", "flat"}),
    "closing_stuck": frozenset({"flat", "trading_state"}),
    "closing_waits": frozenset({"closed", "closing_ended", "flat", "trading_state"}),
    "exit": frozenset({"closed", "flat"}),
    "exit_stuck": frozenset({"closed", "closing_ended", "flat"}),
    "fill_while_halted": frozenset({"trading_state"}),
    "health_degraded": frozenset({"closed", "flat"}),
    "leg_alone": frozenset({"flat"}),
    "not_flat": frozenset({"flat", "trading_state"}),
    "orders_working": frozenset({"trading_state"}),
    "state_lost": frozenset({"trading_state"}),
    "strategy_stopped": frozenset({"trading_state"}),
}
"""What is over when an alert of another kind says that something is: of the same object; where that is about the account as
a whole, of any; and where it is about a strategy or an underlying, what PART_OF says is of that one. A stopped strategy
goes on when a person resumes that strategy, and by nothing else.
"""

PART_OF: Mapping[str, str] = {
    "exit_stuck": "strategy",
    "leg_alone": "underlying",
    "strategy_stopped": "strategy",
}
"""The kinds whose object is the name of a part of the account: which sort of part."""

SINGLY = frozenset({"quarantine"})
"""Events of which each ends alone: the end names the same cause."""


def is_event(kind: str) -> bool:
    """Tell whether alerts of a kind are events."""
    return KINDS.get(kind) is Nature.EVENT


def ends(end: Alert, told: Alert) -> bool:
    """Tell whether an alert says that what another one told is over: nothing that was raised after it. What is closed in
    part, which its number says, ends what caused that.
    """
    if not end.resolved or told.raised_at > end.raised_at:
        return False
    if end.kind == told.kind:
        alone = end.kind not in SINGLY or end.cause == told.cause
        return is_event(end.kind) and end.object == told.object and alone
    if end.kind not in ENDED_BY.get(told.kind, ()):
        return False
    scope = parse_scope(end.object)
    if scope is not None and scope.is_part and scope.kind == PART_OF.get(told.kind):
        return scope.name == told.object
    if told.kind == "strategy_stopped":
        return False
    if end.kind == "closed" and end.figure and end.figure.current:
        return end.object == told.object and end.cause == told.cause
    return end.object == told.object or (end.account is not None and end.object == account_scope(end.account))
