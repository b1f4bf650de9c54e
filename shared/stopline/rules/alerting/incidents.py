"""The alerts of an account as values: the conditions that stand, and what people know of them."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, model_validator

from stopline.model.decimals import DecimalText
from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice
from stopline.model.settings.alerts import AlertSettings
from stopline.model.wire import Message

LATE = "(late)"  # marks what came behind newer news of its condition, in `beyond`
OVER = "(over)"  # and what is over, and has lost its place before it was told
LEAST = 4  # characters of an id that name something
STORY = timedelta(minutes=10)  # what begins within this time of the last news belongs to the same incident


class AlertState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Cause(Message):
    """What one of several events was about, that ends alone."""

    cause: str
    raised_at: AwareDatetime

    @model_validator(mode="before")
    @classmethod
    def _stored_alone(cls, data: Any) -> Any:
        """Read one that was stored without its moment: any end of it counts."""
        return {"cause": data, "raised_at": "1970-01-01T00:00:00Z"} if isinstance(data, str) else data


class Standing(Message):
    """One condition or event. `told_...` is what people last heard of it; `untold`: there is news for the next digest, with
    `note` behind it.
    """

    alert: Alert  # as it was last raised
    state: AlertState
    incident: str
    since: AwareDatetime
    seen: tuple[str, ...] = ()
    count: int = 1
    gathered: bool = False  # events that are told as one: `count` of them
    causes: tuple[Cause, ...] = ()  # of gathered ones that end alone: those that have not
    repeats: int = 0  # reminders of an event
    untold: bool = False
    note: str = ""
    silenced_by: str = ""
    first_told_at: AwareDatetime | None = None  # as critical: escalation counts from here
    eased_at: AwareDatetime | None = None  # when it was critical last, if it is not now
    told_at: AwareDatetime | None = None
    told_severity: Severity | None = None
    told_current: DecimalText | None = None
    told_words: str = ""
    escalated: int = 0
    told_late: bool = False  # a critical alert from before its last news was told
    rang: bool = False  # phones rang for it since it is critical
    rang_current: DecimalText | None = None
    acknowledged_by: str = ""
    acknowledged_at: AwareDatetime | None = None
    acknowledged_current: DecimalText | None = None  # its number then
    onsets: tuple[AwareDatetime, ...] = ()  # of the last minutes, or since it is unstable
    unstable_since: AwareDatetime | None = None
    ending: Alert | None = None  # its end, which is told at `ends_at` unless it begins again
    ends_at: AwareDatetime | None = None
    changed_at: AwareDatetime

    @property
    def live(self) -> bool:
        """Whether the condition holds."""
        return self.state is not AlertState.RESOLVED

    @property
    def critical(self) -> bool:
        return self.alert.severity is Severity.CRITICAL

    @property
    def figure(self) -> Decimal | None:
        """Its number as it was last raised."""
        return self.alert.figure.current if self.alert.figure else None

    @property
    def wakes(self) -> bool:
        """Whether its news may not wait for the morning: it is critical, or it ends something critical."""
        return self.critical or (self.told_severity is Severity.CRITICAL and self.alert.resolved)

    def is_named(self, key: str, reference: str) -> bool:
        """Tell whether a reference is its kind or key, or an id of its incident or of an alert of it; empty: it is."""
        return reference in ("", self.alert.kind, key) or any(
            is_id(id_, reference) for id_ in (self.incident, *self.seen)
        )

    def changed(self, now: datetime, **fields: object) -> "Standing":
        return self.model_copy(update={"changed_at": now, **fields})

    def told(self, now: datetime) -> "Standing":
        """Return it as known to people."""
        firing = self.state is AlertState.PENDING
        return self.model_copy(
            update={
                "state": AlertState.FIRING if firing else self.state,
                "untold": False,
                "note": "",
                "first_told_at": self.first_told_at or (now if self.critical else None),
                "told_at": now,
                "told_severity": self.alert.severity,
                "told_current": self.figure,
                "told_words": words(self.alert),
            }
        )


class Run(Message):
    """Events of one kind, object and severity that follow each other: how many messages tell them, when the next may."""

    last_at: AwareDatetime
    next_at: AwareDatetime
    messages: int = 0
    ids: tuple[str, ...] = ()  # the latest events, to know one that comes twice


class Incidents(Message):
    """All alerts of an account (`account` None: the operator's) that stand or ended lately, by kind and object."""

    account: str | None = None
    serial: int = 0
    standing: dict[str, Standing] = Field(default_factory=dict)
    runs: dict[str, Run] = Field(default_factory=dict)
    # last minute's messages by kind
    recent: dict[str, tuple[AwareDatetime, ...]] = Field(default_factory=dict)
    # critical ones over KNOWN, late ones, and ones that are over, still to be told: key, or KIND|LATE or OVER|id -> id
    beyond: dict[str, str] = Field(default_factory=dict)
    unlisted: int = 0  # and over LISTED
    unfollowed: int = 0  # not critical, over KNOWN: people are told how many
    digest_at: AwareDatetime | None = None
    incident: str = ""
    incident_at: AwareDatetime | None = None
    rang_at: AwareDatetime | None = None  # when phones last rang, and for which incident
    rang_incident: str = ""
    escalated_at: AwareDatetime | None = (
        None  # when a next person was last told, of which incident, and which one
    )
    escalated_incident: str = ""
    escalated_stage: int = 0
    due_at: AwareDatetime | None = None  # when a check has something to do

    def with_standing(self, key: str, standing: Standing) -> "Incidents":
        return self.model_copy(update={"standing": {**self.standing, key: standing}})

    def due_by(self, at: datetime) -> "Incidents":
        """Return the state in which a digest goes out at a time, if not earlier."""
        return self.model_copy(update={"digest_at": min(at, self.digest_at or at)})

    def live(self) -> list[Standing]:
        return [s for s in self.standing.values() if s.live]


@dataclass(frozen=True, slots=True)
class Decision:
    """The state that follows, and what people are told. `outcome`: what became of the alert, in one word."""

    after: Incidents
    notices: tuple[Notice, ...] = ()
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the account wants to be told, and in which zone."""

    settings: AlertSettings
    zone: str

    def quiet_until(self, now: datetime) -> datetime | None:
        """Return when the quiet hours end that hold now, or None."""
        local = now.astimezone(ZoneInfo(self.zone))
        quiet = self.settings.quiet
        return quiet.ends_after(local).astimezone(now.tzinfo) if quiet and quiet.covers(local) else None


def is_id(id_: str, reference: str) -> bool:
    """Tell whether a reference is an id or LEAST characters of its start: fewer could be anything's."""
    return id_ == reference or (len(reference) >= LEAST and id_.startswith(reference))


def key_of(alert: Alert) -> str:
    """Return what makes alerts of one account the same condition."""
    return f"{alert.kind}|{alert.object}"


def words(alert: Alert) -> str:
    """Return the summary without its numbers: what is new about an alert that has no figure."""
    return re.sub(r"[0-9]+", "#", alert.summary)


def incident_of(before: Incidents, alert: Alert, now: datetime) -> tuple[str, Incidents]:
    """Return the incident that an alert belongs to: what begins close together is one story."""
    lasts = before.incident_at is not None and now - before.incident_at <= STORY
    critical = any(s.critical and s.incident == before.incident for s in before.live())
    id_ = before.incident if before.incident and (lasts or critical) else ""
    id_ = id_ or digest("incident", before.account or "", alert.alert_id)[:16]
    return id_, before.model_copy(update={"incident": id_, "incident_at": now})
