"""What a delivery tells beside its message: that Pub/Sub gave one up, and that the clock here is behind."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.times import utc_text

GIVEN_UP = "CloudPubSubDeadLetterSourceSubscription"  # Pub/Sub's own attribute of a dead letter
MOST_BEHIND = timedelta(seconds=60)
WINDOW_S = 600  # one alert a subscription, or function, in this time: an outage gives up thousands
OF_THE_PAST = {
    "prices": "They are over: newer ones have come, or the feed is told as silent.",
    "history": "Only the history lacks them; positions and limits do not. "
    "`stopline dead-letters list`, then `redrive`.",
}
NEEDED = (
    "What they say is not done. Look with `stopline dead-letters list`, then `redrive`: nothing counts twice."
)


def given_up(attributes: Mapping[str, str], prefix: str, now: datetime) -> Alert | None:
    """Return the alert that messages of a subscription were given up, if the attributes are those of a dead letter.
    `prefix`: what the names of all subscriptions here begin with.
    """
    named = attributes.get(GIVEN_UP)
    if named is None:
        return None
    subscription = named[:255]  # no name is longer, and attributes are anybody's
    topic = subscription.removeprefix(prefix).partition("-")[0]
    window = _window(now)
    return Alert(
        alert_id=digest("dead_letter", subscription, utc_text(window)),
        kind="dead_letter",
        object=subscription,
        severity=Severity.WARNING if topic in OF_THE_PAST else Severity.CRITICAL,
        summary=f"Messages on {topic} were given up after every try, and are kept",
        action=OF_THE_PAST.get(topic, NEEDED),
        raised_at=window,
    )


def behind(source: str, published_at: datetime | None, now: datetime) -> Alert | None:
    """Return the alert that the clock of a function is behind Pub/Sub's by more than a minute, if it is. One that is ahead
    cannot be told from a message that waited.
    """
    if published_at is None or published_at - now <= MOST_BEHIND:
        return None
    window = _window(published_at)
    return Alert(
        alert_id=digest("clock_skew", source, utc_text(window)),
        kind="clock_skew",
        object=source,
        severity=Severity.CRITICAL,
        summary=f"The clock of an instance of {source} is more than a minute behind Pub/Sub's",
        action="It took nothing: another instance does. If it goes on, restart the function.",
        raised_at=window,
    )


def _window(at: datetime) -> datetime:
    """Return the start of the window: all alerts of one window are the same."""
    return datetime.fromtimestamp(int(at.timestamp()) // WINDOW_S * WINDOW_S, UTC)
