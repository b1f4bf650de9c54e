"""The delivery of one alert as a value: which message stands where, and what follows when a channel fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from stopline.model.ids import digest
from stopline.model.messages import Alert
from stopline.model.recipients import Recipients
from stopline.model.times import UtcText
from stopline.model.wire import Message
from stopline.rules.routing import ROUTES, Delivery, Routes, addresses, deliveries, next_channel

MAX_ATTEMPTS = 5
LONGEST_WAIT = timedelta(seconds=30)  # a provider that asks for more is as good as down
_ALL = ("sms", "email", "discord")

Key = tuple[str, str]
"""Channel and address mark of a delivery."""


class DeliveryStatus(StrEnum):
    PENDING = "PENDING"
    SENT = "SENT"  # the provider took it
    REFUSED = "REFUSED"  # the provider never will
    DEAD = "DEAD"  # we gave up trying


class DeliveryRecord(Message):
    """One message to one address. The address itself stays with the account; here is its mark, and a hint for people."""

    channel: str
    to: str
    hint: str
    for_operator: bool = False
    note: str = ""
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    provider_id: str = ""
    error: str = ""
    at: UtcText | None = None
    not_before: UtcText | None = None
    replaced_by: str = ""  # after it failed: the channel, `operator` or `nobody`

    @property
    def key(self) -> Key:
        return self.channel, self.to

    @property
    def failed(self) -> bool:
        return self.status in (DeliveryStatus.REFUSED, DeliveryStatus.DEAD)

    def sent(self, provider_id: str, at: datetime) -> "DeliveryRecord":
        """Return it as taken by the provider."""
        return self._tried(at, status=DeliveryStatus.SENT, provider_id=provider_id[:200], error="")

    def refused(self, error: str, at: datetime) -> "DeliveryRecord":
        """Return it as refused for good."""
        return self._tried(at, status=DeliveryStatus.REFUSED, error=error[:200])

    def put_off(self, error: str, at: datetime, retry_after_s: float | None) -> "DeliveryRecord":
        """Return it after a try that failed: due again, or dead after the last try or where the wait is too long."""
        wait = timedelta(seconds=min(retry_after_s or 0, 1e6))
        if self.attempts + 1 >= MAX_ATTEMPTS or wait > LONGEST_WAIT:
            return self._tried(at, status=DeliveryStatus.DEAD, error=error[:200])
        return self._tried(at, error=error[:200], not_before=at + wait if wait else None)

    def _tried(self, at: datetime, **changes: object) -> "DeliveryRecord":
        return self.model_copy(update={"attempts": self.attempts + 1, "at": at, "not_before": None} | changes)


class AlertRecord(Message):
    """An alert and everything that was done to tell it."""

    alert: Alert
    deliveries: tuple[DeliveryRecord, ...] = ()

    @property
    def pending(self) -> bool:
        return any(d.status is DeliveryStatus.PENDING for d in self.deliveries)

    @property
    def delivered(self) -> bool:
        """Whether somebody was told."""
        return any(d.status is DeliveryStatus.SENT for d in self.deliveries)

    def due(self, now: datetime, tried: frozenset[Key]) -> DeliveryRecord | None:
        """Return the next delivery to try, or None."""
        for d in self.deliveries:
            if d.status is DeliveryStatus.PENDING and d.key not in tried:
                if d.not_before is None or d.not_before <= now:
                    return d
        return None

    def changed(self, *fresh: DeliveryRecord) -> "AlertRecord":
        """Return the record with deliveries replaced by key, unknown ones added at the end."""
        by_key = {d.key: d for d in self.deliveries} | {d.key: d for d in fresh}
        return self.model_copy(update={"deliveries": tuple(by_key.values())})

    def reopened(self) -> "AlertRecord":
        """Return the record with one more try for everything that was given up."""
        again = {"status": DeliveryStatus.PENDING, "attempts": MAX_ATTEMPTS - 1, "not_before": None}
        return self.changed(*(d.model_copy(update=again) for d in self.deliveries if d.status is DeliveryStatus.DEAD))


@dataclass(frozen=True, slots=True)
class People:
    """Who can be told of an alert: the account's people and the operator. `known`: whether the account exists."""

    own: Recipients
    operator: Recipients
    known: bool = True
    routes: Mapping[object, tuple[str, ...]] | Routes = ROUTES  # type: ignore[type-arg]
