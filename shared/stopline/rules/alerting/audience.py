"""Whom a notice goes to: the routes of the account, by severity, kind and hour; then the next person, one by one."""

from zoneinfo import ZoneInfo

from stopline.model.account import Account
from stopline.model.messages import Alert
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.model.settings.recipients import Recipients
from stopline.rules.alerting.acknowledging import TAKEN
from stopline.rules.alerting.channel_health import FAILED
from stopline.rules.alerting.delivery import People, mark
from stopline.rules.alerting.routing import EMAIL, EVERY, PHONES, ROUTES, SMS, Routes, addresses


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
    own, chosen = _addressed(notice, account, operator, routes)
    if notice.ring == "quiet":
        chosen = {s: tuple(c for c in names if c not in PHONES) or names for s, names in chosen.items()}
    elif notice.ring == "phone":
        chosen = {s: tuple(c for c in names if c in PHONES) for s, names in chosen.items()}
    if left_out := notice.leave_out or _itself(notice.alert):
        own, operator = (_without(r, left_out) for r in (own, operator))
    return People(own, operator, known, chosen, voice)


def reaches_somebody(notice: Notice, account: Account | None, operator: Recipients) -> bool:
    """Tell whether a notice that repeats what is known has a reader on its own channels, without going elsewhere."""
    people = audience(notice, account, operator)
    own = people.own if account else people.operator
    return any(addresses(own, channel) for channel in people.routes[notice.alert.severity])


def next_person(settings: AlertSettings, operator: Recipients, stage: int) -> Recipients:
    """Return who is told at a stage: the people of the escalation in their order, then the operator."""
    names = settings.escalate_to
    return settings.person(names[stage - 1]) if stage <= len(names) else operator


def _addressed(
    notice: Notice, account: Account | None, operator: Recipients, routes: Routes
) -> tuple[Recipients, Routes]:
    """Return the addresses of a notice and its channels, by severity."""
    alert = notice.alert
    if account is None:
        return Recipients(), EVERY if notice.stage else _to_others(operator, alert.kind, routes)
    settings = account.alerting
    if notice.stage:
        return next_person(settings, operator, notice.stage), EVERY
    local = (notice.decided_at or alert.raised_at).astimezone(ZoneInfo(account.time_zone))
    route = next((r for r in settings.routes if r.fits(alert.severity, alert.kind, local)), None)
    if route is None:
        return account.recipients, _to_others(account.recipients, alert.kind, routes)
    own = account.recipients if not route.people else Recipients()
    for name in route.people:
        own = own.joined(settings.person(name))
    return own, {alert.severity: tuple(route.channels)}


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
