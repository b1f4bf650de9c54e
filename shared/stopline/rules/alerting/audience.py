"""Whom a notice goes to: the routes of the account, by severity, kind and hour; then the next person, one by one."""

from zoneinfo import ZoneInfo

from stopline.model.account import Account
from stopline.model.messages import Alert
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings, Route
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.rules.alerting.acknowledging import TAKEN
from stopline.rules.alerting.channel_health import FAILED
from stopline.rules.alerting.delivery import People, mark
from stopline.rules.alerting.routing import EMAIL, EVERY, PHONES, ROUTES, SMS, Routes, addresses

USUAL = OperatorAlerts()


def audience(
    notice: Notice,
    account: Account | None,
    operator: Recipients,
    *,
    duty: OperatorAlerts = USUAL,
    known: bool = True,
    routes: Routes = ROUTES,
    voice: bool = False,
) -> People:
    """Return who is told of a notice. The same notice has the same audience, whenever it is asked.

    `duty`: how the operator is told, of what belongs to no account and of what an account's people are not told.
    """
    behind = _on_duty(notice, operator, duty)
    if account is None:
        own, (behind, chosen) = (
            Recipients(),
            _addressed(notice, duty, duty.time_zone, operator, behind, routes),
        )
    else:
        own, chosen = _addressed(
            notice, account.alerting, account.time_zone, account.recipients, behind, routes
        )
    if notice.ring == "quiet":
        chosen = {s: tuple(c for c in names if c not in PHONES) or names for s, names in chosen.items()}
    elif notice.ring == "phone":
        chosen = {s: tuple(c for c in names if c in PHONES) for s, names in chosen.items()}
    if left_out := notice.leave_out or _itself(notice.alert):
        own, behind = (_without(r, left_out) for r in (own, behind))
    return People(own, behind, known, chosen, voice)


def reaches_somebody(
    notice: Notice, account: Account | None, operator: Recipients, duty: OperatorAlerts = USUAL
) -> bool:
    """Tell whether a notice that repeats what is known has a reader on its own channels, without going elsewhere."""
    people = audience(notice, account, operator, duty=duty)
    own = people.own if account else people.operator
    return any(addresses(own, channel) for channel in people.routes[notice.alert.severity])


def next_person(settings: AlertSettings, operator: Recipients, stage: int) -> Recipients:
    """Return who is told at a stage: the people of the escalation in their order, then the operator."""
    names = settings.escalate_to
    return settings.person(names[stage - 1]) if stage <= len(names) else operator


def _addressed(
    notice: Notice,
    settings: AlertSettings,
    zone: str,
    everybody: Recipients,
    operator: Recipients,
    routes: Routes,
) -> tuple[Recipients, Routes]:
    """Return the addresses of a notice and its channels, by severity."""
    alert = notice.alert
    if notice.stage:
        return next_person(settings, operator, notice.stage), EVERY
    route = _route(notice, settings, zone)
    if route is None:
        return everybody, _to_others(everybody, alert.kind, routes)
    return _people(settings, route, everybody), {alert.severity: tuple(route.channels)}


def _on_duty(notice: Notice, operator: Recipients, duty: OperatorAlerts) -> Recipients:
    """Return who the operator is for a notice: the people of the route that fits, else everybody."""
    route = _route(notice, duty, duty.time_zone)
    return _people(duty, route, operator) if route else operator


def _route(notice: Notice, settings: AlertSettings, zone: str) -> Route | None:
    alert = notice.alert
    local = (notice.decided_at or alert.raised_at).astimezone(ZoneInfo(zone))
    return next((r for r in settings.routes if r.fits(alert.severity, alert.kind, local)), None)


def _people(settings: AlertSettings, route: Route, everybody: Recipients) -> Recipients:
    """Return the addresses of a route's people; everybody's where it names none."""
    found = Recipients() if route.people else everybody
    for name in route.people:
        found = found.joined(settings.person(name))
    return found


def _to_others(own: Recipients, kind: str, routes: Routes) -> Routes:
    """Add the channels on which others than the one who acknowledged were called: those with several addresses."""
    if kind != TAKEN:
        return routes
    shared = tuple(channel for channel in (SMS, EMAIL) if len(addresses(own, channel)) > 1)
    return {severity: (*shared, *names) for severity, names in routes.items()}


def _itself(alert: Alert) -> str:
    """Return the mark of the address that an alert says does not work: it goes by the others."""
    return alert.cause if alert.kind == FAILED and not alert.resolved else ""


def _without(recipients: Recipients, left_out: str) -> Recipients:
    kept = {
        name: tuple(a for a in values if mark(name, a) != left_out)
        for name, values in dict(recipients).items()
    }
    return recipients.model_copy(update=kept)
