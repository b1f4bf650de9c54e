"""What people are told when a reduction runs by itself."""

from datetime import datetime

from stopline.model.account import Account
from stopline.model.closing import ReductionRequest
from stopline.model.decimals import decimal_text
from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.rules.alerting.text_parts import amount
from stopline.rules.closing.turns import TURN
from stopline.rules.reduction.plan import ReductionPlan

IN_TURN = f"each when the one before it is closed, or {int(TURN.total_seconds())} s later"


def reduction_alert(account: Account, request: ReductionRequest, plan: ReductionPlan, now: datetime) -> Alert:
    """A reduction runs by itself: what is closed, and how far that gets. The same one is told once an hour."""
    name, currency = request.name.replace("_", " "), account.currency
    before, after = (amount(value, currency) for value in (plan.before, plan.after))
    closes = "; ".join(
        ", ".join(f"{leg.side} {decimal_text(leg.quantity)} {leg.symbol}" for leg in step.legs)
        for step in plan.steps
    )
    target = f"{request.by} {before} to {after}, target {amount(plan.target, currency)}"
    left_out = "; ".join(dict.fromkeys(reason for _, reason in plan.left_out))
    if plan.reached:
        action = (
            f"Positions are closed in this order, {IN_TURN}. Trading stays reduce-only until it is resumed."
        )
    else:
        action = (
            f"The target is not reached{f': {left_out}' if left_out else ''}. Close by hand what it needs."
        )
    steps = [f"{step.trade_id}:{decimal_text(step.leave)}" for step in plan.steps]
    return Alert(
        alert_id=digest("reduction", account.account, request.name, f"{now:%Y-%m-%dT%H}", left_out, *steps),
        account=account.account,
        kind="reduction",
        object=request.name,
        severity=Severity.CRITICAL,
        summary=f"Reduced by {name} ({request.reason}): {target}. {closes or 'Nothing can be closed'}"[:500],
        action=action[:500],
        cause=request.cause,
        raised_at=now,
    )
