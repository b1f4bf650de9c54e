"""How an account wants to be told: people, routes, quiet hours, escalation. The defaults need no setting."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from stopline.model.ids import Name
from stopline.model.messages import Severity
from stopline.model.settings.recipients import Recipients
from stopline.model.wire import Message

ChannelName = Literal["sms", "voice", "email", "discord", "telegram", "apprise"]
CHANNELS: tuple[ChannelName, ...] = get_args(ChannelName)
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def _clock(value: Any) -> str:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError(f'must be a time of day such as "22:00", was {str(value)[:20]!r}')
    return value


ClockText = Annotated[str, BeforeValidator(_clock)]
Seconds = Annotated[int, Field(ge=10, le=86_400)]


class Hours(Message):
    """From `start` until before `end`, in the account's zone; over midnight where `end` is not later than `start`.

    `days` are those on which it starts.
    """

    start: ClockText
    end: ClockText
    days: tuple[Day, ...] = Field(default=DAYS, min_length=1, max_length=7)

    def covers(self, local: datetime) -> bool:
        """Tell whether a moment, in the account's zone, is within these hours."""
        start, end, clock = time.fromisoformat(self.start), time.fromisoformat(self.end), local.time()
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        if start < end:
            return today in self.days and start <= clock < end
        return (today in self.days and clock >= start) or (yesterday in self.days and clock < end)

    def ends_after(self, local: datetime) -> datetime:
        """Return when the hours that cover a moment end."""
        end = time.fromisoformat(self.end)
        day = local.date() if local.time() < end else local.date() + timedelta(days=1)
        ends = datetime.combine(day, end, local.tzinfo)
        moment = ends.replace(fold=local.fold).astimezone(UTC)  # in the same one of two equal hours
        if moment.astimezone(local.tzinfo).time() == end:
            return moment.astimezone(local.tzinfo)
        moment = max(ends.replace(fold=1), local).astimezone(UTC)  # clocks skip the end: it is when they do
        while self.covers(moment.astimezone(local.tzinfo)):
            moment += timedelta(minutes=1)
        return moment.astimezone(local.tzinfo)


class Person(Message):
    """Somebody who can be told, by name."""

    name: Name
    recipients: Recipients


class Route(Message):
    """Where alerts go that it fits; the first that fits decides. What is left out fits everything.

    `people`: names of the settings' people; without any, the account's own recipients.
    """

    severities: tuple[Severity, ...] = Field(default=(), max_length=3)
    kinds: tuple[Name, ...] = Field(default=(), max_length=50)
    hours: Hours | None = None
    channels: tuple[ChannelName, ...] = Field(min_length=1, max_length=6)
    people: tuple[Name, ...] = Field(default=(), max_length=10)

    def fits(self, severity: Severity, kind: str, local: datetime) -> bool:
        """Tell whether an alert, at a moment in the account's zone, goes this way."""
        return (
            (not self.severities or severity in self.severities)
            and (not self.kinds or kind in self.kinds)
            and (self.hours is None or self.hours.covers(local))
        )


class AlertSettings(Message):
    """Everything about telling people that an account may set.

    `quiet` holds back what is not critical until it ends. A critical alert that nobody acknowledges goes to the
    next of `escalate_to` after each of `escalate_after_s`, then to the operator; where these times are too few, their
    last interval repeats. What stands is told again after `repeat_..._s`. `per_minute`: so many messages of one kind,
    then a digest. `ring_every_s`: so long phones do not ring again for the same incident, and moves of known numbers
    wait for each other. `keep_firing_s`: so long something must be over before people hear of its end. `heartbeat`: tell
    once a day that the account is watched, as any news.
    """

    people: tuple[Person, ...] = Field(default=(), max_length=20)
    routes: tuple[Route, ...] = Field(default=(), max_length=50)
    quiet: Hours | None = None
    escalate_to: tuple[Name, ...] = Field(default=(), max_length=10)
    escalate_after_s: tuple[Seconds, ...] = Field(default=(120, 300, 900), max_length=10)
    repeat_critical_s: Annotated[int, Field(ge=60, le=7 * 86_400)] = 3600
    repeat_warning_s: Annotated[int, Field(ge=60, le=7 * 86_400)] = 6 * 3600
    per_minute: Annotated[int, Field(ge=1, le=60)] = 5
    ring_every_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    keep_firing_s: Annotated[int, Field(ge=0, le=3600)] = 60
    heartbeat: bool = True

    @model_validator(mode="after")
    def _names_and_times(self) -> "AlertSettings":
        names = [person.name for person in self.people]
        if len(set(names)) != len(names):
            raise ValueError("people: every name once")
        for name in (*self.escalate_to, *(name for route in self.routes for name in route.people)):
            if name not in names:
                raise ValueError(f"there is no {name!r} among the people")
        if list(self.escalate_after_s) != sorted(set(self.escalate_after_s)):
            raise ValueError("escalate_after_s: each later than the one before")
        return self

    def person(self, name: str) -> Recipients:
        """Return how one of the people is reached."""
        return next(person.recipients for person in self.people if person.name == name)

    @property
    def escalate_after(self) -> tuple[timedelta, ...]:
        """After how long each next person is told, the operator behind the last; none: nobody is."""
        times = list(self.escalate_after_s)
        interval = times[-1] - (times[-2] if len(times) > 1 else 0) if times else 0
        while times and len(times) <= len(self.escalate_to):
            times.append(times[-1] + interval)
        return tuple(timedelta(seconds=after) for after in times)

    @property
    def ring_every(self) -> timedelta:
        """How long phones do not ring again for the same incident."""
        return timedelta(seconds=self.ring_every_s)

    def repeat_after(self, severity: Severity) -> timedelta:
        """Return when what still stands is told again."""
        critical = severity is Severity.CRITICAL
        return timedelta(seconds=self.repeat_critical_s if critical else self.repeat_warning_s)
