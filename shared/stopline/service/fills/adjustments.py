"""Changes of a book by hand: fills of kind ADJUST with a reference, taken back by a BUST, each in the audit trail."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.fill import Fill, FillKind, Side
from stopline.model.ids import digest, document_id
from stopline.model.instrument import Instrument
from stopline.model.messages import HistoryRow
from stopline.model.text import clean_text
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.service.fills.bookable import check_price
from stopline.service.fills.books import FillLog
from stopline.service.history.rows import audit_row

ADJUST, UNDO = "adjust-", "undo-"  # what the fill ids begin with


def adjustment(
    account: str,
    broker: str,
    strategy: str,
    instrument: Instrument,
    units: Decimal,
    price: Decimal,
    reference: str,
    reason: str,
    actor: str,
    at: datetime,
    order: str | None = None,
) -> Fill:
    """Return the fill that adds signed units to a position at a price. The same reference is booked once. `order`: of which
    order of the broker it stands for a fill that did not come.
    """
    if not units:
        raise Rejected("BAD_ADJUSTMENT", "units must not be 0: what is paid or received comes as FEE or FLOW")
    made = _checked(
        {
            "fill_id": ADJUST + reference,
            "broker": broker,
            "account": account,
            "strategy": strategy,
            "instrument": instrument.model_dump(mode="json"),
            "side": Side.BUY if units > 0 else Side.SELL,
            "quantity": decimal_text(abs(units)),
            "price": decimal_text(price),
            "executed_at": utc_text(at),
            "order_id": order,
            "kind": FillKind.ADJUST,
        },
        reason,
        actor,
    )
    refused = check_price(made)
    if refused is not None:
        raise refused
    return made


def is_booked(log: FillLog, made: Fill, timed: bool) -> bool:
    """Tell whether an adjustment is booked already, at whatever time where its own is not `timed`. Raises Rejected where its
    reference stands for another one, or was taken back: it is booked once.
    """
    before = log.find(made.key)
    if before is None:
        return False
    reference = made.fill_id.removeprefix(ADJUST)
    if log.has(document_id(made.broker, made.account, UNDO + reference)):
        raise Rejected(
            "TAKEN_BACK", f"reference {reference!r} was taken back: a new adjustment needs a new one"
        )
    alike = _terms(before) == _terms(made) and (before.executed_at == made.executed_at or not timed)
    if not alike:
        raise Rejected(
            "CONFLICTING_DUPLICATE", f"reference {reference!r} is booked as {before!r}: use a new one"
        )
    return True


def _terms(made: Fill) -> tuple[object, ...]:
    return made.instrument, made.strategy, made.signed_quantity, made.price, made.order_id


def reversal(log: FillLog, account: str, broker: str, reference: str, reason: str, actor: str) -> Fill:
    """Return the fill that takes an adjustment back. Raises Rejected when there is none of that reference."""
    made = log.find(document_id(broker, account, ADJUST + reference))
    if made is None or made.kind is not FillKind.ADJUST:
        raise Rejected("UNKNOWN_REFERENCE", f"account {account} has no adjustment {reference!r} of {broker}")
    body = made.model_dump(mode="json", include=set(Fill.model_fields))
    return _checked(
        {**body, "kind": FillKind.BUST, "ref": made.fill_id, "fill_id": UNDO + reference, "fee": "0"},
        reason,
        actor,
    )


def _checked(body: dict[str, object], reason: str, actor: str) -> Fill:
    return validate(Fill, {**body, "reason": checked_reason(reason), "actor": actor})


def checked_reason(reason: str) -> str:
    """Return the reason of what a person changes by hand. Raises Rejected for one that cannot go on record."""
    try:
        if clean_text(reason).strip():
            return reason
    except ValueError as problem:
        raise Rejected("BAD_REASON", f"the reason {problem}") from None
    raise Rejected("NO_REASON", "a change by hand needs a reason: it goes on record")


def adjustment_rows(booked: Iterable[Fill], at: datetime) -> list[HistoryRow]:
    """Return an audit row for each adjustment, and each reversal of one, among fills that are booked."""
    rows = []
    for fill in booked:
        undone = fill.kind is FillKind.BUST and (fill.ref or "").startswith(ADJUST)
        if fill.kind is not FillKind.ADJUST and not undone:
            continue
        extras = fill.model_extra or {}
        rows.append(
            audit_row(
                event_id=digest("adjustment", fill.key),
                scope=f"account:{fill.account}",
                event="adjustment_reversed" if undone else "position_adjusted",
                actor=str(extras.get("actor", fill.broker))[:128],
                reason=str(extras.get("reason", ""))[:500],
                at=at,
                detail=fill.model_dump(mode="json"),
            )
        )
    return rows
