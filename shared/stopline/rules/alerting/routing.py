"""Who hears of an alert, by which channel: by severity, and never nobody while somebody can be reached."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from stopline.model.messages import Alert, Severity
from stopline.model.settings.recipients import Recipients

SMS, VOICE, EMAIL, DISCORD, TELEGRAM, APPRISE = "sms", "voice", "email", "discord", "telegram", "apprise"
PHONES = frozenset({SMS, VOICE})  # they wake people up

Routes = Mapping[Severity, tuple[str, ...]]

ROUTES: Routes = {
    Severity.CRITICAL: (SMS, EMAIL, DISCORD, TELEGRAM, APPRISE),
    Severity.WARNING: (EMAIL, DISCORD, TELEGRAM, APPRISE),
    Severity.INFO: (DISCORD, TELEGRAM, APPRISE),
}
EVERY: Routes = dict.fromkeys(Severity, ROUTES[Severity.CRITICAL])  # for whom an escalation goes to
# Where an alert goes when a channel of its route cannot take it: SMS last, because it wakes people up.
FALLBACK = (EMAIL, DISCORD, TELEGRAM, APPRISE, SMS)


class Delivery(NamedTuple):
    """One message to one address. `note` tells the reader why it came to him when that is not as routed."""

    channel: str
    address: str
    note: str = ""


def channels_for(severity: Severity, routes: Routes = ROUTES) -> tuple[str, ...]:
    """Return the channels of a severity, the most urgent first."""
    return routes[severity]


def addresses(recipients: Recipients, channel: str) -> tuple[str, ...]:
    """Return who is to be told by a channel."""
    return {
        SMS: recipients.sms,
        VOICE: recipients.voice or recipients.sms,
        EMAIL: recipients.email,
        DISCORD: recipients.discord,
        TELEGRAM: recipients.telegram,
        APPRISE: recipients.apprise,
    }.get(channel, ())


def next_channel(
    recipients: Recipients, tried: Collection[str], first: str = "", *, calls: bool = False
) -> str | None:
    """Return the first channel with an address that was not tried, or None; `first` comes before the others, and where
    it `calls` a call after them.
    """
    order = (*((first,) if first else ()), *FALLBACK, *((VOICE,) if calls else ()))
    return next((c for c in order if c not in tried and addresses(recipients, c)), None)


def deliveries(
    alert: Alert,
    recipients: Recipients,
    operator_recipients: Recipients,
    routes: Routes = ROUTES,
    voice: bool = False,
) -> list[Delivery]:
    """Return the messages that tell an alert.

    It goes to the account's addresses on the channels of its severity; without any there, to another channel
    of the account; without any at all, to the operator. An alert of no account is the operator's. The list is
    empty only when the operator has no address either. `voice`: people can be called, and are where it is critical and
    nothing else is known of them.
    """
    if alert.account is None:
        return _to(operator_recipients, alert.severity, routes, "", voice)
    account = alert.account
    news = alert.severity is Severity.INFO  # that it comes by mail to who has no chat needs no reason
    why = "" if news else f"{account} has no address on the usual channels"
    own = _to(recipients, alert.severity, routes, why, voice)
    if own:
        return own
    note = f"{account} has no address to tell"
    return [d._replace(note=note) for d in _to(operator_recipients, alert.severity, routes, note, voice)]


def _to(recipients: Recipients, severity: Severity, routes: Routes, note: str, voice: bool) -> list[Delivery]:
    """List the routed addresses, else those of one other channel with the note."""
    routed = [Delivery(c, a) for c in routes[severity] for a in addresses(recipients, c)]
    calls = voice and severity is Severity.CRITICAL
    other = None if routed else next_channel(recipients, (), calls=calls)
    return [Delivery(other, a, note) for a in addresses(recipients, other)] if other else routed
