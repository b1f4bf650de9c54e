"""The delivery of one alert as a value: which message stands where, and what follows when a channel fails."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity
from stopline.model.notices import Notice, Part, Ring
from stopline.model.settings.recipients import Recipients
from stopline.model.times import UtcText
from stopline.model.wire import Message
from stopline.rules.alerting.routing import (
    ROUTES,
    SMS,
    VOICE,
    Delivery,
    Routes,
    addresses,
    deliveries,
    next_channel,
)

MAX_ATTEMPTS = 5
REMOVED = "the address was removed"
NOBODY = "nobody"  # replaced the address so far
LONGEST_WAIT = timedelta(seconds=30)  # a provider that asks for more is as good as down

Key = tuple[str, str]
"""Channel and address mark of a delivery."""


class DeliveryStatus(StrEnum):
    PENDING = "PENDING"
    SENT = "SENT"  # the provider took it
    REFUSED = "REFUSED"  # the provider never will
    DEAD = "DEAD"  # we gave up trying


class DeliveryRecord(Message):
    """One message to one address, which is named by its mark; `hint` is for people."""

    channel: str
    to: str
    hint: str
    for_operator: bool = False
    note: str = ""
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    provider_id: str = ""
    provider_status: str = ""  # its word when it took the message, which is not that it arrived
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

    def sent(self, provider_id: str, at: datetime, provider_status: str = "") -> "DeliveryRecord":
        """Return it as taken by the provider, with its id and its word."""
        said = {"provider_id": provider_id[:200], "provider_status": provider_status[:200]}
        return self._tried(at, status=DeliveryStatus.SENT, error="", **said)

    def refused(self, error: str, at: datetime) -> "DeliveryRecord":
        """Return it as refused for good."""
        return self._tried(at, status=DeliveryStatus.REFUSED, error=error[:200])

    def put_off(self, error: str, at: datetime, retry_after_s: float | None) -> "DeliveryRecord":
        """Return it after a failed try: due again, or dead after the last try or for too long a wait."""
        wait = timedelta(seconds=min(retry_after_s or 0, 1e6))
        if self.attempts + 1 >= MAX_ATTEMPTS or wait > LONGEST_WAIT:
            return self._tried(at, status=DeliveryStatus.DEAD, error=error[:200])
        return self._tried(at, error=error[:200], not_before=at + wait if wait else None)

    def _tried(self, at: datetime, **changes: object) -> "DeliveryRecord":
        return self.model_copy(update={"attempts": self.attempts + 1, "at": at, "not_before": None} | changes)


class AlertRecord(Message):
    """An alert and everything that was done to tell it. What surrounds it is as in `Notice`."""

    alert: Alert
    deliveries: tuple[DeliveryRecord, ...] = ()
    incident: str = ""
    stage: int = 0
    note: str = ""
    lines: tuple[str, ...] = ()
    total: int = 0
    covers: tuple[str, ...] = ()
    more: int = 0
    parts: tuple[Part, ...] = ()
    decided_at: UtcText | None = None
    ring: Ring = "usual"
    leave_out: str = ""

    @staticmethod
    def of(notice: Notice) -> "AlertRecord":
        """Return the record of a notice of which nothing was sent yet."""
        return AlertRecord(**{name: value for name, value in notice if name != "type"})

    def notice(self) -> Notice:
        """Return the notice that this is the record of."""
        return Notice(**{name: value for name, value in self if name != "deliveries"})

    @property
    def pending(self) -> bool:
        return any(d.status is DeliveryStatus.PENDING for d in self.deliveries)

    @property
    def delivered(self) -> bool:
        """Whether somebody was told."""
        return any(d.status is DeliveryStatus.SENT for d in self.deliveries)

    def due(self, now: datetime, tried: frozenset[Key], slow: Collection[str] = ()) -> DeliveryRecord | None:
        """Return the next delivery to try, or None: each channel once before a second address of it, the fewest tries
        first. A channel that hangs holds up no other: those in `slow` come last.
        """
        used = {channel for channel, _ in tried}.union(slow)
        waiting = (
            d
            for d in self.deliveries
            if d.status is DeliveryStatus.PENDING
            and d.key not in tried
            and (d.not_before is None or d.not_before <= now)
        )
        return min(waiting, key=lambda d: (d.channel in used, d.attempts), default=None)

    def changed(self, *fresh: DeliveryRecord) -> "AlertRecord":
        """Return the record with deliveries replaced by key, unknown ones added at the end."""
        by_key = {d.key: d for d in self.deliveries} | {d.key: d for d in fresh}
        return self.model_copy(update={"deliveries": tuple(by_key.values())})

    def reopened(self) -> "AlertRecord":
        """Return the record with one more try for all that failed: a refusal may be a wrong setting."""
        again = {"status": DeliveryStatus.PENDING, "attempts": MAX_ATTEMPTS - 1, "not_before": None}
        failed = [d for d in self.deliveries if d.failed]
        unreplaced = ("" if d.replaced_by == NOBODY else d.replaced_by for d in failed)
        return self.changed(
            *(
                d.model_copy(update={**again, "replaced_by": by})
                for d, by in zip(failed, unreplaced, strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class People:
    """Who can be told: the account's people and the operator. `known`: whether the account exists; `voice`:
    whether somebody can be called.
    """

    own: Recipients
    operator: Recipients
    known: bool = True
    routes: Routes = field(default_factory=lambda: ROUTES)
    voice: bool = False

    def address(self, key: Key) -> str | None:
        """Return the address behind a mark, if it still is somebody's."""
        channel = key[0]
        both = (*addresses(self.own, channel), *addresses(self.operator, channel))
        return next((a for a in both if mark(channel, a) == key[1]), None)

    def record(self, delivery: Delivery) -> DeliveryRecord:
        """Return the record of a delivery that is yet to be made."""
        channel, address, note = delivery
        return DeliveryRecord(
            channel=channel,
            to=mark(channel, address),
            hint=hint(channel, address),
            for_operator=address not in addresses(self.own, channel),
            note=note,
        )


def plan(record: AlertRecord, people: People) -> AlertRecord:
    """Return the record with every routed delivery; what is pending to a removed address is given up."""
    alert = record.alert
    planned = deliveries(alert, people.own, people.operator, people.routes, people.voice)
    routed = [people.record(d) for d in planned]
    if not people.known:
        routed = [d.model_copy(update={"note": f"there is no account {alert.account}"}) for d in routed]
    known = {d.key for d in record.deliveries}
    gone = [
        d.model_copy(update={"status": DeliveryStatus.DEAD, "error": REMOVED})
        for d in record.deliveries
        if d.status is DeliveryStatus.PENDING and people.address(d.key) is None
    ]
    return record.changed(*gone, *(d for d in routed if d.key not in known))


def fall_over(record: AlertRecord, people: People) -> AlertRecord:
    """Return the record with a replacement for each channel that failed.

    The account's people get the next channel that was not used; when none of them is told and none is left,
    the operator is. The same holds among the operator's own channels. Where all channels are in use already, those that
    are still to be told say which one failed. What replaces the last address of a channel replaces those that failed
    before it.
    """
    while failed := next((d for d in record.deliveries if d.failed and not d.replaced_by), None):
        side = [d for d in record.deliveries if d.for_operator == failed.for_operator]
        alike = [d for d in side if d.channel == failed.channel]
        earlier = next((d.replaced_by for d in alike if d.replaced_by not in ("", NOBODY)), "")
        fresh = [] if earlier else _replacements(record, people, failed, side)
        replaced_by = earlier or (fresh[0].channel if fresh else NOBODY)
        if fresh and fresh[0].for_operator and not failed.for_operator:
            replaced_by = "operator"
        if replaced_by == NOBODY:
            waiting = (d for d in side if d.status is DeliveryStatus.PENDING and not d.note)
            fresh = [d.model_copy(update={"note": f"{failed.channel} failed"}) for d in waiting]
        covered = [d for d in alike if d.failed and d.replaced_by in ("", NOBODY)]
        record = record.changed(*(d.model_copy(update={"replaced_by": replaced_by}) for d in covered), *fresh)
    return record


def _replacements(
    record: AlertRecord, people: People, failed: DeliveryRecord, side: list[DeliveryRecord]
) -> list[DeliveryRecord]:
    recipients = people.operator if failed.for_operator else people.own
    calls = people.voice and record.alert.severity is Severity.CRITICAL
    first = VOICE if calls and failed.channel == SMS else ""
    lost = all(d.failed for d in side)  # nobody of them is told otherwise
    channel = next_channel(recipients, {d.channel for d in side}, first, calls=calls and lost)
    known = {d.key for d in record.deliveries}
    if channel is not None:
        others = [Delivery(channel, a, f"{failed.channel} failed") for a in addresses(recipients, channel)]
    elif failed.for_operator or record.pending or record.delivered:
        return []
    else:
        note = f"{record.alert.account} could not be reached"
        to_operator = record.alert.model_copy(update={"account": None})
        routed = deliveries(to_operator, Recipients(), people.operator, people.routes, people.voice)
        others = [d._replace(note=note) for d in routed]
    return [r for r in map(people.record, others) if r.key not in known]


def mark(channel: str, address: str) -> str:
    """Return what stands for an address in stored state."""
    return digest("address", channel, address)[:16]


def hint(channel: str, address: str) -> str:
    """Return enough of an address for its owner to know it: `...0100`, `d...@example.com`, `webhook 123`."""
    if channel == "email":
        name, _, domain = address.partition("@")
        return f"{name[:1]}...@{domain}"
    if channel == "discord":
        return f"webhook {address.rstrip('/').split('/')[-2][:32]}" if address.count("/") > 3 else "webhook"
    if channel == "apprise":
        return address.partition(":")[0]
    return f"...{address[-4:]}"
