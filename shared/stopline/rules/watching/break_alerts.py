"""What people are told about reconciliation: breaks, statements that do not come, a book that is not its fills."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from stopline.ledger.amend import says_no_day
from stopline.ledger.book import Book
from stopline.model.decimals import decimal_text
from stopline.model.fill import Fill
from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.times import utc_text
from stopline.rules.watching.breaks import Break, Step, Turn
from stopline.rules.watching.finding import OF_ORDER, BreakKind, Finding, words

HELD_TTL = timedelta(hours=1)  # how long a bust, correction or fee may wait for the fill that it is about


def break_alert(account: str, step: Step, cause: str, now: datetime) -> Alert | None:
    """Return what is told of one change of a break: nothing while it is only suspected, or is one of a number."""
    item = step.item
    if step.turn in (Turn.SUSPECTED, Turn.DROPPED) or not item.told:
        return None
    finding, over = item.finding, step.turn is Turn.CLEARED
    severe = item.blocks and finding.kind is not BreakKind.UNKNOWN_INSTRUMENT
    what = _ended(finding) if over else words(finding)
    return Alert(
        alert_id=digest("break", account, finding.name, utc_text(item.since), step.turn.value, cause),
        account=account,
        kind="position_break",
        object=finding.name,
        severity=Severity.CRITICAL if severe else Severity.WARNING,
        summary=f"{finding.symbol}: {what}"[:500],
        action="" if over else _action(item),
        cause=cause,
        raised_at=now,
        resolved=over,
    )


def more_alert(account: str, more: int, every: bool, cause: str, now: datetime) -> Alert:
    """Return what is told of orders that do not add up beside those that are told one by one; 0: there are none any more.
    `every`: they are more than are known by name, and nothing may be added to anything.
    """
    what = "any instrument" if every else "their instruments"
    return Alert(
        alert_id=digest("more_breaks", account, str(more), str(every), cause),
        account=account,
        kind="position_break",
        object="more orders",
        severity=Severity.CRITICAL if more else Severity.INFO,
        summary=f"{more} more orders than those told one by one do not add up"
        if more
        else "No orders but those told one by one do not add up",
        action=f"Nothing may be added to {what} until they do. Their broker may count in its own way, or a feed is off. "
        "A complete statement that agrees with the book ends it: `stopline reconcile`."
        if more
        else "",
        cause=cause,
        raised_at=now,
        resolved=not more,
    )


def is_of_order(about: str) -> bool:
    """Tell whether the object of a `position_break` is an order, as this version or an older one names it."""
    return OF_ORDER in about


def gone_alert(account: str, about: str, since: datetime, cause: str, now: datetime) -> Alert:
    """Return what ends an alert that stands, `since` a moment, about an order of which there is no break any more."""
    return Alert(
        alert_id=digest("break_gone", account, about, utc_text(since)),
        account=account,
        kind="position_break",
        object=about,
        severity=Severity.INFO,
        summary=f"{about}: there is no break of it any more"[:500],
        action="",
        cause=cause,
        raised_at=now,
        resolved=True,
    )


def _ended(finding: Finding) -> str:
    if not finding.order:
        return "book and broker agree again"
    if finding.ours == finding.theirs:
        return f"the fills of order {finding.order} add up"
    if finding.kind is BreakKind.ORDER_START:
        return f"order {finding.order} is left as it is"
    return f"what is held was confirmed since, order {finding.order} is left as it is"


def _action(item: Break) -> str:
    if item.finding.order:
        stopped = (
            "Nothing may be added to the instrument until they add up."
            if item.blocks
            else "Nothing was stopped."
        )
        return (
            f"{stopped} Find the fill that is missing or twice here, or adjust the book: `stopline adjust --order`. "
            "A complete statement that agrees with the book ends it too: `stopline reconcile`."
        )
    if not item.blocks:
        return "Nothing was stopped. Look for a correction or a fee that did not come."
    return (
        "Nothing may be added to it until both agree. "
        "Find the fill that is missing, or adjust the book: `stopline reconcile`, `stopline adjust`."
    )


def adjusted_alert(finding: Finding, adjustment: Fill, cause: str, now: datetime) -> Alert:
    """Return what is told where the fills of an order have come for which somebody may have adjusted the instrument."""
    units = f"{adjustment.side.value} {decimal_text(adjustment.quantity)} {finding.symbol}"
    return Alert(
        alert_id=digest("adjusted", finding.name, adjustment.key),
        account=adjustment.account,
        kind="position_break",
        object=f"{finding.symbol} {adjustment.fill_id}",
        severity=Severity.CRITICAL,
        summary=f"{units} by {adjustment.fill_id} was booked while order {finding.order} lacked fills, which are here now: "
        "is it there twice?"[:500],
        action="Nothing was changed. If it was for that order, take it back: `stopline adjust --undo`.",
        cause=cause,
        raised_at=now,
    )


def overdue_alert(account: str, broker: str, problem: str, cause: str, now: datetime, over: bool) -> Alert:
    """Return what is told when a broker's statement does not come, and when it comes again."""
    why = f": {problem}" if problem else ""
    return Alert(
        alert_id=digest("statement_overdue", account, broker, "over" if over else "due", cause),
        account=account,
        kind="statement_overdue",
        object=broker,
        severity=Severity.INFO if over else Severity.WARNING,
        summary=f"Statements of {broker} come again"
        if over
        else f"No complete statement of {broker} comes{why}"[:500],
        action="" if over else "Positions are not being compared. Look at what reads them at the broker.",
        cause=cause,
        raised_at=now,
        resolved=over,
    )


def ledger_alert(account: str, faults: Sequence[str], cause: str, now: datetime) -> Alert:
    """Return what is told when a book is not what its fills fold to, or is so again (no faults)."""
    more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
    return Alert(
        alert_id=digest("ledger_mismatch", account, *faults, cause),
        account=account,
        kind="ledger_mismatch",
        object="ledger",
        severity=Severity.CRITICAL if faults else Severity.INFO,
        summary=f"The ledger differs from its fills: {'; '.join(faults[:3])}{more}"[:500]
        if faults
        else "The ledger is what its fills fold to again",
        action="Do not trust it. Compare positions and P&L with the broker's." if faults else "",
        cause=cause,
        raised_at=now,
        resolved=not faults,
    )


def waiting_amendments(book: Book, now: datetime) -> list[tuple[str, Fill]]:
    """Return the amendments that have been held for too long, each behind the key of the fill that it is about.

    Whether that fill is there after all, of another position than the amendment says, the fill log knows.
    """
    return [
        (key, fill)
        for key, fills in sorted(book.held.items())
        for fill in fills
        if now - fill.executed_at >= HELD_TTL
    ]


def amendment_alert(amendment: Fill, cause: str, now: datetime) -> Alert:
    """Return what is told of an amendment whose fill did not come, or that may mean several."""
    why = "which has not come"
    if says_no_day(amendment):
        why = "or that number on a day before: none has come, or several have"
    return Alert(
        alert_id=digest("amendment_unmatched", amendment.key),
        account=amendment.account,
        kind="amendment_unmatched",
        object=amendment.instrument.symbol,
        severity=Severity.WARNING,
        summary=f"{amendment.kind.value} {amendment.fill_id} is about fill {amendment.ref}, {why}",
        action="It changed nothing. Ask the broker for that fill, or bust the amendment.",
        cause=cause,
        raised_at=now,
    )
