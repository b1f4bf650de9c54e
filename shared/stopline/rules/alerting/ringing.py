"""When phones ring: an incident is one story, and a phone that rings for each of its chapters is switched off.

SMS and calls go out for the first critical alert of an incident. What is critical and new in it later rings when five
minutes have passed since (Alertmanager's group_interval, `ring_every_s`), whatever else rings meanwhile, and what has
doubled rings at once. All other channels hear everything without that wait, and nobody's escalation waits.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from stopline.model.notices import Ring
from stopline.model.settings.alerts import AlertSettings
from stopline.rules.alerting.incidents import AlertState, Incidents, Standing

DOUBLE = 2


def rung(
    before: Incidents, keys: Collection[str], s: Standing, settings: AlertSettings, now: datetime
) -> tuple[Incidents, Standing, Ring]:
    """Return how news of a condition is told, in one message with others of `keys`, and the state after it."""
    if not (s.critical and s.live):
        # the routes decide: by default no phone rings for it, nor for what was over before it came
        return before, s, "quiet" if s.critical and not s.alert.resolved else "usual"
    if doubled(s) or (not s.rang and may_ring(before, s.incident, settings, now)):
        return marked(before, s.incident, now, keys), with_ring(s), "usual"
    return before, s, "quiet"


def may_ring(before: Incidents, incident: str, settings: AlertSettings, now: datetime) -> bool:
    """Tell whether phones may ring for what is new: not again for the same incident within its time."""
    return (
        before.rang_at is None
        or before.rang_incident != incident
        or now >= before.rang_at + settings.ring_every
    )


def doubled(s: Standing) -> bool:
    """Tell whether a critical number is twice what phones last rang for."""
    return s.critical and s.live and s.rang and _is_double(s.figure, s.rang_current)


def outgrown(s: Standing) -> bool:
    """Tell whether a critical number is twice what it was when somebody took it: more than that person has seen."""
    taken = s.state is AlertState.ACKNOWLEDGED
    return taken and s.critical and _is_double(s.figure, s.acknowledged_current)


def _is_double(current: Decimal | None, known: Decimal | None) -> bool:
    return bool(current and known and abs(current) >= DOUBLE * abs(known))


def waiting(before: Incidents) -> dict[str, Standing]:
    """Return the critical conditions that were told without a ring and that nobody has taken."""
    return {
        key: s
        for key, s in before.standing.items()
        if s.critical and s.state is AlertState.FIRING and s.told_at and not (s.rang or s.ending)
    }


def marked(before: Incidents, incident: str, now: datetime, keys: Collection[str]) -> Incidents:
    """Return the state after phones rang for an incident, about the conditions `keys`. It stays as it was while others wait
    for their ring: what is newer, or doubles, would put them off each time.
    """
    if not waiting(before).keys() <= set(keys):
        return before
    return before.model_copy(update={"rang_at": now, "rang_incident": incident})


def with_ring(s: Standing) -> Standing:
    """Return a condition as one for which phones rang."""
    return s.model_copy(update={"rang": True, "rang_current": s.figure})
