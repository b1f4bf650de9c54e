"""What a person is to do about an alert, by its kind: one short sentence. The runbook says more."""

from stopline.model.messages import Alert, Severity

LOSS = "Close what you want closed, or pull the kill switch. Resume when you have reviewed it."
TO_DO = {
    "max_daily_loss": LOSS,
    "max_daily_loss_money": LOSS,
    "trading_state": "Check that you know who did it and why.",
    "resume_asked": "Resume it too within 10 minutes, or let it stand.",
    "closing_stuck": "Look at the broker now, and close by hand what it does not.",
    "stale_prices": "Look at the feed. Watch these positions at the broker until prices are back.",
    "feed_silent": "Look at the feed. Watch these positions at the broker until it is back.",
    "broker_silent": "Look at the connection to the broker, and compare positions there.",
    "sweep_silent": "Look at the scheduler and the function `sweep`. Watch your limits yourself until it runs.",
    "pin_risk": "Close it, or be ready for either end.",
    "orphan_leg": "Close what is left, or take it as a trade of its own.",
    "expired_unsettled": "Compare with the broker.",
    "channel_failed": "Correct the address or repair the channel, then try it with `stopline alerts test`.",
    "digest": "All that stands: `stopline alerts list`.",
    "quarantine": "Look with `stopline quarantine list`.",
}
ANY_LIMIT = "Reduce the position, or change the limit on purpose."


def to_do(alert: Alert) -> str:
    """Return what to do, or nothing: of what is over, of mere news, and where the alert says it itself."""
    if alert.resolved or alert.severity is Severity.INFO:
        return ""
    advice = TO_DO.get(alert.kind, ANY_LIMIT if alert.kind.startswith("max_") else "")
    return "" if advice and advice.split(",")[0] in alert.action else advice
