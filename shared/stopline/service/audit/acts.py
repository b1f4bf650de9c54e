"""Whose act an alert tells: who stops an account by hand needs nobody to wake them for it."""

import logging
from collections.abc import Callable

from stopline.model.control import PERSON, Standing
from stopline.model.errors import StoplineError
from stopline.model.messages import Alert

_log = logging.getLogger(__name__)


def person_behind(alert: Alert, standing: Callable[[str], Standing]) -> str:
    """Return the person whose request an alert of a trading state tells, as long as it stands; else nothing.

    What cannot be read is nobody's act: the alert is told and escalated like any other.
    """
    if alert.kind != "trading_state" or alert.resolved or not alert.cause:
        return ""
    try:
        hold = standing(alert.object).holds.get(PERSON)
    except StoplineError as problem:
        _log.warning("trading state of %s could not be read: %s", alert.object, problem)
        return ""
    return hold.actor if hold is not None and hold.request_id == alert.cause else ""
