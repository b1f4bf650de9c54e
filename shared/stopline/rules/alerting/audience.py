"""Whom a notice goes to: the routes of the account, by severity, kind and hour; then the next person, one by one."""

from collections.abc import Collection, Sequence
from zoneinfo import ZoneInfo

from stopline.model.account import Account
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice, Part, Ring
from stopline.model.settings.alerts import AlertSettings, Route
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.rules.alerting.acknowledging import TAKEN
from stopline.rules.alerting.channel_health import FAILED
from stopline.rules.alerting.delivery import People, mark
from stopline.rules.alerting.routing import (
    APPRISE,
    DISCORD,
    EMAIL,
    EVERY,
    PHONES,
    ROUTES,
    SMS,
    TELEGRAM,
    VOICE,
    Routes,
    addresses,
    next_channel,
)

USUAL = OperatorAlerts()
_WORST_FIRST = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
_CHANNELS = (SMS, VOICE, EMAIL, DISCORD, TELEGRAM, APPRISE)  # the most urgent first


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


def routed(notice: Notice, settings: AlertSettings, zone: str) -> dict[int, Severity]:
    """Return by which routes a notice goes, as their places, with the worst that goes there; -1: no route fits, the
    account's own people.
    """
    alert, found = notice.alert, dict[int, Severity]()
    local = (notice.decided_at or alert.raised_at).astimezone(ZoneInfo(zone))
    for part in notice.parts or (Part(severity=alert.severity, kind=alert.kind),):
        fits = (n for n, r in enumerate(settings.routes) if r.fits(part.severity, part.kind, local))
        place = next(fits, -1)
        found[place] = min(found.get(place, part.severity), part.severity, key=_WORST_FIRST.index)
    return found


def _addressed(
    notice: Notice,
    settings: AlertSettings,
    zone: str,
    everybody: Recipients,
    operator: Recipients,
    routes: Routes,
) -> tuple[Recipients, Routes]:
    """Return the addresses of a notice and its channels, by severity."""
    severity, ring = notice.alert.severity, notice.ring
    if notice.stage:
        return next_person(settings, operator, notice.stage), {s: _ringing(c, ring) for s, c in EVERY.items()}
    usual = _to_others(everybody, notice.alert.kind, routes)
    places = routed(notice, settings, zone)
    ways = [
        (_people(settings, settings.routes[n], everybody), _ringing(settings.routes[n].channels, ring))
        if n >= 0
        else (everybody, _ringing(usual[severity if len(places) == 1 else worst], ring))
        for n, worst in places.items()
    ]
    if len(ways) == 1:
        [(people, names)] = ways
        return people, {severity: names}
    reached = [_by(people, names, ring) for people, names in ways]
    own = _joined(reached)
    used = {c for c in _CHANNELS if getattr(own, c)} or {c for _, names in ways for c in names}
    return own, {severity: tuple(c for c in _CHANNELS if c in used)}


def _on_duty(notice: Notice, operator: Recipients, duty: OperatorAlerts) -> Recipients:
    """Return who the operator is for a notice: the people of the routes that fit, else everybody."""
    places = routed(notice, duty, duty.time_zone)
    return _joined([_people(duty, duty.routes[n], operator) if n >= 0 else operator for n in places])


def _ringing(names: Sequence[str], ring: Ring) -> tuple[str, ...]:
    """Return the channels of a way that a notice may use."""
    if ring == "phone":
        return tuple(c for c in names if c in PHONES)
    quiet = tuple(c for c in names if c not in PHONES) if ring == "quiet" else ()
    return quiet or tuple(names)


def _people(settings: AlertSettings, route: Route, everybody: Recipients) -> Recipients:
    """Return the addresses of a route's people; everybody's where it names none."""
    found = Recipients() if route.people else everybody
    for name in route.people:
        found = found.joined(settings.person(name))
    return found


def _by(people: Recipients, names: Collection[str], ring: Ring) -> Recipients:
    """Return the addresses of these channels alone: each way of a message that goes several keeps its own."""
    found = {c: addresses(people, c) for c in names}
    if not any(found.values()) and ring != "phone" and (other := next_channel(people, ())):
        found = {other: addresses(people, other)}
    return Recipients().model_copy(update=found)


def _joined(several: Sequence[Recipients]) -> Recipients:
    """Return all addresses, however many: each once."""
    every = {
        name: tuple(dict.fromkeys(a for r in several for a in getattr(r, name)))
        for name in Recipients.model_fields
    }
    return Recipients().model_copy(update=every)


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
