"""What people are told of a trading state: that it changed, and that one of two wants to resume."""

from collections.abc import Sequence
from datetime import datetime

from stopline.model.control import Control, ControlRequest, Standing, TradingState
from stopline.model.ids import digest
from stopline.model.messages import Alert, Effect, Severity, alert_effect
from stopline.model.scopes import scope_account, scope_of
from stopline.model.times import utc_text
from stopline.rules.trading.state import HALF_OPEN

FLATTENS = 'Cancelling, closing all: "flat" comes when fills prove it.'
FLATTENS_PART = 'Cancelling, closing what is open there: "flat" comes when fills prove it.'
HALTS = "Cancelling orders, nothing is let through. Open positions stay open: nothing closes them."
MOST_NAMED = 3


def state_alert(after: Standing, epoch: int, now: datetime, others: Sequence[Standing] = ()) -> Effect:
    """Return what is told of a scope that stands elsewhere since the document's `epoch`.

    `others`: the scopes above and below it: what is stopped of them is named where this one is stopped no more.
    """
    stopped = [o for o in others if o.state is not TradingState.ACTIVE and o.scope != after.scope]
    is_held = any(not scope_of(o.scope).is_part for o in stopped)
    texts = {
        TradingState.HALTED: ("Trading halted for {0}", Severity.CRITICAL),
        TradingState.REDUCING: ("Trading is reduce-only for {0}", Severity.CRITICAL),
        TradingState.ACTIVE: (
            "The stop of {0} is lifted" if is_held else "Trading resumed for {0}",
            Severity.WARNING,
        ),
    }
    text, severity = texts[after.state]
    did = {
        TradingState.HALTED: _halts(after),
        TradingState.REDUCING: "Only what reduces risk is let through.",
        TradingState.ACTIVE: _goes_on(after, stopped),
    }[after.state]
    return _told(
        digest("control_alert", after.scope, str(epoch)),
        after,
        now,
        kind="trading_state",
        severity=Severity.INFO if after.actor.startswith("limit:") else severity,  # the breach has told it
        summary=f"{text.format(_whose(after.scope))} by {after.actor}: {after.reason}"[:500],
        action=did,
        cause=after.request_id,
        resolved=after.state is TradingState.ACTIVE,
    )


def _halts(after: Standing) -> str:
    """Say what a halt does. A part's name may be mistyped: nothing is promised that is not there."""
    if not after.flatten:
        return HALTS
    return FLATTENS_PART if scope_of(after.scope).is_part else FLATTENS


def _goes_on(after: Standing, stopped: Sequence[Standing]) -> str:
    """Say how a scope trades that is ACTIVE: at what size, and what else holds."""
    said = []
    if after.size < 1:
        said.append(f"Half-open: at {after.size:.0%} of the usual size until {_ends(after)}.")
    if stopped:
        said.append(f"Still stopped: {_some([f'{_short(o)} ({o.state})' for o in stopped])}.")
    elif not scope_account(after.scope):
        said.append("An account that was stopped by itself stays so.")
    return " ".join(said) or "Limits are watched as before."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _short(standing: Standing) -> str:
    scope = scope_of(standing.scope)
    return f"{scope.kind} {scope.name}" if scope.is_part else _whose(standing.scope)


def _ends(standing: Standing) -> str:
    half = standing.holds.get(HALF_OPEN)
    by_itself = f"{utc_text(half.until)}, or " if half is not None and half.until is not None else ""
    return f"{by_itself}a person resumes again"


def unheld_alert(after: Standing, epoch: int, now: datetime, nothing: str) -> Effect:
    """Return what is told of a stop of a name that stands for nothing that is held: it may be meant, or be mistyped.
    `nothing`: what is known, and what is held.
    """
    stands = "halted" if after.state is TradingState.HALTED else "reduce-only"
    whose = _whose(after.scope)
    told = (
        f"{whose[:1].upper()}{whose[1:]} is {stands}; nothing is known by that name here: check the spelling"
    )
    return _told(
        digest("unheld", after.scope, str(epoch)),
        after,
        now,
        kind="trading_state",
        severity=Severity.CRITICAL,
        summary=told[:500],
        action=f"NOTHING_HELD: {nothing}.",
        cause=after.request_id,
        resolved=False,
    )


def lost_alert(after: Control, epoch: int, row: int | None, left: Sequence[str], now: datetime) -> Effect:
    """Return what is told of a document that was lost and taken up. `row`: the last one of the audit trail that it was taken
    out of; None: there was none that the document did not know. `left`: scopes whose stop had no room.
    """
    whose = _whose(after.scope)
    out_of = f"taken up out of its audit trail, rows up to {row}"
    nothing = "its audit trail says nothing of it, so what was stopped is not known"
    stands = "REDUCE-ONLY" if after.state is TradingState.REDUCING else str(after.state)
    parts = [_short(p) for p in after.parts.values() if p.state is not TradingState.ACTIVE]
    said = [_halts(after)] if after.state is TradingState.HALTED else []
    if parts:
        said.append(f"Stopped too: {_some(parts)}.")
    if left:
        said.append(
            f"No room for the stop of {_some([_short(Standing(scope=s)) for s in left])}: so all is halted."
        )
    said.append(
        "Look through what must be stopped, and who can write to Firestore. Then two people resume it."
    )
    return _told(
        digest("state_lost", after.scope, str(epoch)),
        after,
        now,
        kind="state_lost",
        severity=Severity.CRITICAL,
        summary=f"The trading state of {whose} was deleted or put back as it was: "
        f"{nothing if row is None else out_of}. Now {stands}.",
        action=" ".join(said)[:500],
        cause=f"epoch {epoch}",
        resolved=False,
    )


def unclosed_alert(standing: Standing, request: ControlRequest, now: datetime) -> Effect:
    """Return what is told of a breaker's kill that was carried out as a pause, where trading was reduce-only anyway: people
    were told that everything is being closed.
    """
    return _told(
        digest("unclosed", standing.scope, request.request_id),
        standing,
        now,
        kind="trading_state",
        severity=Severity.CRITICAL,
        summary=f"{_whose(standing.scope)} stays reduce-only by {request.actor}: {request.reason}"[:500],
        action="Only what reduces risk is let through. From the next sweep on, two bad readings close everything.",
        cause=request.request_id,
        resolved=False,
    )


def asked_alert(standing: Standing, request: ControlRequest, now: datetime) -> Effect:
    """Return what is told of the first of two people who want to resume."""
    return _told(
        digest("resume_asked", standing.scope, request.request_id),
        standing,
        now,
        kind="resume_asked",
        severity=Severity.WARNING,
        summary=f"{request.actor} asks to resume {_whose(standing.scope)}: {request.reason}"[:500],
        action="A second person must resume within 10 minutes. Nothing is loosened yet.",
        cause=request.request_id,
        resolved=False,
    )


def _told(
    id_: str,
    standing: Standing,
    now: datetime,
    *,
    kind: str,
    severity: Severity,
    summary: str,
    action: str,
    cause: str,
    resolved: bool,
) -> Effect:
    account = scope_account(standing.scope)
    alert = Alert(
        alert_id=id_,
        account=account or None,
        kind=kind,
        object=standing.scope,
        severity=severity,
        summary=summary,
        action=action,
        cause=cause,
        raised_at=now,
        resolved=resolved,
    )
    return alert_effect(alert)


def _whose(text: str) -> str:
    scope = scope_of(text)
    if scope.is_part:
        return f"{scope.kind} {scope.name} of account {scope.account}"
    return f"account {scope.account}" if scope.account else "all accounts"
