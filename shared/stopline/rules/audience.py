"""Whom a notice goes to: the routes of the account, by severity, kind and hour; then the next person, one by one."""

from zoneinfo import ZoneInfo

from stopline.model.account import Account
from stopline.model.alert_settings import AlertSettings
from stopline.model.notices import Notice
from stopline.model.recipients import Recipients
from stopline.rules.delivery import People
from stopline.rules.routing import EVERY, ROUTES, Routes


def audience(
    notice: Notice,
    account: Account | None,
    operator: Recipients,
    *,
    known: bool = True,
    routes: Routes = ROUTES,
    voice: bool = False,
) -> People:
    """Return who is told of a notice. The same notice has the same audience, whenever it is asked."""
    if account is None:
        return People(Recipients(), operator, known, EVERY if notice.stage else routes, voice)
    settings = account.alerting
    if notice.stage:
        return People(next_person(settings, operator, notice.stage), operator, known, EVERY, voice)
    local = (notice.decided_at or notice.alert.raised_at).astimezone(ZoneInfo(account.time_zone))
    alert = notice.alert
    route = next((r for r in settings.routes if r.fits(alert.severity, alert.kind, local)), None)
    if route is None:
        return People(account.recipients, operator, known, routes, voice)
    own = account.recipients if not route.people else Recipients()
    for name in route.people:
        own = own.joined(settings.person(name))
    return People(own, operator, known, {alert.severity: tuple(route.channels)}, voice)


def next_person(settings: AlertSettings, operator: Recipients, stage: int) -> Recipients:
    """Return who is told at a stage: the people of the escalation in their order, then the operator."""
    names = settings.escalate_to
    return settings.person(names[stage - 1]) if stage <= len(names) else operator
