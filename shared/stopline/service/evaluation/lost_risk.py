"""A risk document that a hand outside Stopline deleted: what is worked out anew knows no peak, no start of the day and no
stop of before, so that its limits let more through than people have set. Entries wait until two people resume.
"""

from datetime import datetime

from stopline.model.ids import digest
from stopline.model.messages import Alert, Effect, Severity, alert_effect
from stopline.model.scopes import account_scope
from stopline.service.documents.outbox import CONTROLS_TOPIC

LOST = "its risk was deleted: peaks and the losses of day, week and month count anew, look through them and resume"


def lost_effects(account: str, cause: str, now: datetime) -> list[Effect]:
    """Return the stop of an account whose risk document was lost, and its alert: also where it is stopped already."""
    scope, id_ = account_scope(account), digest("risk_lost", account, cause)
    stop = {
        "request_id": id_,
        "scope": scope,
        "action": "pause",
        "flatten": False,
        "actor": "stopline",
        "reason": LOST,
        "hold_people": 2,
    }
    alert = Alert(
        alert_id=digest("risk_lost_alert", account, cause),
        account=account,
        kind="trading_state",
        object=scope,
        severity=Severity.CRITICAL,
        summary=f"The risk of account {account} was deleted: its peaks, and its losses of day, week and month, count anew.",
        action="Only what reduces risk is let through. Look for what was lost in the history, and for who can write to "
        "Firestore; restore the document or go on without. Then two people resume it.",
        cause=cause,
        raised_at=now,
        resolved=False,
    )
    return [Effect(id_, CONTROLS_TOPIC, account, stop), alert_effect(alert)]
