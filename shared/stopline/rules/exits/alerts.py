"""What people are told about exits, and what is asked for: alerts, close requests, and the stop of a strategy."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from stopline.model.closing import CLOSINGS_TOPIC, CloseRequest
from stopline.model.decimals import decimal_text, price_text
from stopline.model.ids import digest
from stopline.model.messages import Alert, Effect, Figure, Severity
from stopline.model.scopes import strategy_scope
from stopline.rules.alerting.text_parts import trade_name
from stopline.rules.exits.state import Asked, Exit, Held
from stopline.rules.exits.strategy_exits import Stopped, StrategyExit

_OFF = "Nothing was closed: auto_close is off. Close it by hand, or switch it on."


def exit_alert(account: str, held: Held, found: Exit, auto_close: bool, cause: str, now: datetime) -> Alert:
    """Return the alert of a trade exit that triggered."""
    closing = "all" if not found.leave else f"down to {decimal_text(found.leave)}"
    what = found.rule.replace("_", " ")
    return Alert(
        alert_id=digest("exit", account, held.trade_id, found.rule, cause),
        account=account,
        kind="exit",
        object=trade_name(held.trade_id),
        severity=Severity.CRITICAL if found.urgency == "urgent" else Severity.WARNING,
        summary=f"{what.capitalize()} of {held.name} ({held.strategy}): {found.reason}"[:500],
        action=f"Closing {closing} of {decimal_text(held.quantity)}." if auto_close else _OFF,
        figure=None
        if found.price is None
        else Figure(
            current=found.price,
            limit=None if found.level is None else Decimal(price_text(found.level)),
            unit="points",
        ),
        cause=cause,
        raised_at=now,
    )


def over_alert(account: str, trade_id: str, is_open: bool, cause: str, now: datetime) -> Alert:
    """Return the alert that ends what people were told of a trade's exits while nothing was closed for them."""
    return Alert(
        alert_id=digest("exit_over", account, trade_id, cause),
        account=account,
        kind="exit",
        object=trade_name(trade_id),
        severity=Severity.INFO,
        summary=f"Trade {trade_id[:8]} {'has no exits any more' if is_open else 'is closed'}",
        cause=cause,
        raised_at=now,
        resolved=True,
    )


def stuck_alert(account: str, held: Held, asked: Asked, cause: str, now: datetime) -> Alert:
    """Return the alert of a trade that is still there although it was to be closed."""
    seconds = int((now - asked.at).total_seconds())
    return Alert(
        alert_id=digest("exit_stuck", account, held.trade_id, cause),
        account=account,
        kind="exit_stuck",
        object=trade_name(held.trade_id),
        severity=Severity.CRITICAL,
        summary=f"{held.name} ({held.strategy}) has {decimal_text(held.quantity)} open: {seconds} s were not enough for "
        f"its {asked.rule.replace('_', ' ')}, which asked for {decimal_text(asked.leave)}"[:500],
        action="Stopline asked again, urgently. Look at the broker, and close by hand if it does not.",
        cause=cause,
        raised_at=now,
    )


BLIND = " (its MTM is unknown"


def blind_strategy(strategy: str, symbols: Sequence[str]) -> str:
    """Return in words for people that no exit of a strategy can see its MTM, for want of prices of some symbols."""
    more = f" and {len(symbols) - 3} more" if len(symbols) > 3 else ""
    why = f": no fresh price of {', '.join(symbols[:3])}{more}" if symbols else ""
    return f"strategy {strategy}{BLIND}{why})"


def paused_alert(
    account: str,
    paused: Sequence[str],
    known: Sequence[str],
    is_blind: bool,
    is_open: bool,
    cause: str,
    now: datetime,
) -> Alert | None:
    """Return the alert about trades and strategies whose exits cannot see a fresh price, when the set has changed; which
    symbols a strategy wants is no change. A name that ends with its own reason in brackets needs no other. `is_blind`: a
    strategy is among them; `is_open`: whether the market is.
    """
    if [name.partition(BLIND)[0] for name in paused] == [name.partition(BLIND)[0] for name in known]:
        return None
    stale, explained = ([n for n in paused[:5] if n.endswith(")") is own] for own in (False, True))
    parts = [f"no fresh price: {', '.join(stale)}"] if stale else []
    shown = "; ".join([*parts, *explained]) + (f"; and {len(paused) - 5} more" if len(paused) > 5 else "")
    return Alert(
        alert_id=digest("exits_paused", account, *paused, "cause", cause),
        account=account,
        kind="exits_paused",
        object="exits",
        severity=Severity.CRITICAL if is_blind else Severity.WARNING if paused else Severity.INFO,
        summary=f"Exits on price are paused, {shown}"[:500]
        if paused
        else "Exits on price go on: all trades have fresh prices, and the stops they are to have"
        if is_open
        else "The market is closed: exits on price wait for it to open",
        action="Stops and targets of these do not trigger until prices come; time exits do, unless said above. "
        "Check the feed, and watch these yourself."
        if paused
        else "",
        cause=cause,
        raised_at=now,
        resolved=not paused,
    )


def strategy_alert(
    account: str,
    strategy: str,
    currency: str,
    found: StrategyExit,
    auto_close: bool,
    cause: str,
    now: datetime,
) -> Alert:
    """Return the alert of a strategy that was stopped."""
    return Alert(
        alert_id=digest("strategy_stopped", account, strategy, cause),
        account=account,
        kind="strategy_stopped",
        object=strategy,
        severity=Severity.CRITICAL,
        summary=f"Strategy {strategy} is stopped: {found.reason}"[:500],
        action="All its trades are being closed; it is REDUCING until a person resumes it."
        if auto_close
        else _OFF,
        figure=Figure(current=found.mtm, limit=found.level, unit=currency),
        cause=cause,
        raised_at=now,
    )


def strategy_over_alert(account: str, strategy: str, cause: str, now: datetime) -> Alert:
    """Return the alert that ends what people were told of a strategy's stop while nothing was closed for it."""
    return Alert(
        alert_id=digest("strategy_over", account, strategy, cause),
        account=account,
        kind="strategy_stopped",
        object=strategy,
        severity=Severity.INFO,
        summary=f"Strategy {strategy} has nothing open any more, or is watched anew",
        cause=cause,
        raised_at=now,
        resolved=True,
    )


def strategy_stuck_alert(account: str, strategy: str, stopped: Stopped, cause: str, now: datetime) -> Alert:
    """Return the alert of a stopped strategy that has open trades."""
    return Alert(
        alert_id=digest("strategy_stuck", account, strategy, cause),
        account=account,
        kind="exit_stuck",
        object=strategy,
        severity=Severity.CRITICAL,
        summary=f"Strategy {strategy} has open trades although its {stopped.rule.replace('_', ' ')} stopped it",
        action="Stopline asked again, urgently. Look at the broker, and close by hand if it does not.",
        cause=cause,
        raised_at=now,
    )


def health_alert(
    account: str, held: Held, score: int, below: int, degraded: bool, why: str, cause: str, now: datetime
) -> Alert:
    """Return the alert of a trade whose health fell below its limit, or is above it again."""
    return Alert(
        alert_id=digest("health", account, held.trade_id, str(degraded), cause),
        account=account,
        kind="health_degraded",
        object=trade_name(held.trade_id),
        severity=Severity.WARNING if degraded else Severity.INFO,
        summary=f"Health of {held.name} ({held.strategy}) is {score}, "
        + (f"below {below}: {why}" if degraded else f"not below {below} any more"),
        figure=Figure(current=Decimal(score), limit=Decimal(below), unit="points"),
        cause=cause,
        raised_at=now,
        resolved=not degraded,
    )


def close_trade(
    account: str, held: Held, found: Exit | Asked, urgent: bool, cause: str, now: datetime
) -> Effect:
    """Return the request to close a trade, or the part of it that an exit asks for."""
    request = CloseRequest(
        request_id=digest(
            "close_trade", account, held.trade_id, found.rule, decimal_text(found.leave), cause
        ),
        account=account,
        strategy=held.strategy,
        trade_id=held.trade_id,
        leave=found.leave,
        urgency="urgent" if urgent else "normal",
        rule=found.rule,
        reason=found.reason if isinstance(found, Exit) else "it is still open",
        cause=cause,
        requested_at=now,
    )
    return _effect(request)


def close_strategy(
    account: str, strategy: str, rule: str, reason: str, urgent: bool, cause: str, now: datetime
) -> Effect:
    """Return the request to close all trades of a strategy."""
    request = CloseRequest(
        request_id=digest("close_strategy", account, strategy, rule, cause),
        account=account,
        strategy=strategy,
        urgency="urgent" if urgent else "normal",
        rule=rule,
        reason=reason,
        cause=cause,
        requested_at=now,
        until_resume=True,
    )
    return _effect(request)


def stop_strategy(account: str, strategy: str, found: StrategyExit, cause: str) -> tuple[str, dict[str, Any]]:
    """Return the id and the content of the request that lets a strategy only reduce until a person resumes it."""
    id_ = digest("stop_strategy", account, strategy, cause)
    return id_, {
        "request_id": id_,
        "scope": strategy_scope(account, strategy),
        "action": "pause",
        "flatten": False,
        "actor": f"exit:{found.rule}",
        "reason": found.reason[:500],
    }


def _effect(request: CloseRequest) -> Effect:
    return Effect(request.request_id, CLOSINGS_TOPIC, request.account, request.model_dump(mode="json"))
