"""Tell people of an alert: every message once, or twice where a provider's answer is in doubt.

    create alerts/{id} with a lease, or take the lease -> send one message -> write what came of it -> next

The document is written after every message, so a crash repeats one message at most. An alert that comes again
finds the document: settled, nothing is sent; under a lease, it comes again later; else the rest goes out.
A provider that is down or hangs does not hold up the others: each channel has its turn before any has a second one.
What is left raises Transient, and Pub/Sub comes again.
"""

import logging
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from stopline.model.account import Account
from stopline.model.errors import Rejected, Transient, Unreadable
from stopline.model.ids import document_id
from stopline.model.messages import Alert, Effect, Severity, alert_effect
from stopline.model.notices import Notice
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.ports import (
    AlreadyExists,
    Channel,
    ChannelBusy,
    ChannelRefused,
    Clock,
    Conflict,
    Create,
    Data,
    Document,
    Path,
    Store,
    Unavailable,
    Update,
    Version,
)
from stopline.rules.alerting.ack_links import AckLinks
from stopline.rules.alerting.around import Around
from stopline.rules.alerting.audience import USUAL, audience
from stopline.rules.alerting.channel_health import Failing, channel_alerts, owner
from stopline.rules.alerting.delivery import AlertRecord, DeliveryRecord, People, fall_over, plan
from stopline.rules.alerting.routing import ROUTES, Routes
from stopline.rules.alerting.texts import noted
from stopline.service.accounts.reader import AccountReader
from stopline.service.alerting.records import (
    COLLECTION,
    SETTLED,
    AlertStatus,
    decode_record,
    encode_record,
    settled_row,
)
from stopline.service.alerting.told_by_digest import CAUGHT_UP, mark_told
from stopline.service.documents.outbox import Relay, decode_outbox, outbox_fields

# One message (`SEND_S` of adapters/deadline.py) < LEASE. BUDGET < ROUND; ROUND + one message + the write of its record <
# the time-out of the function < the deadline of its subscription (infra/topology.json).
LEASE = timedelta(seconds=60)
BUDGET = timedelta(seconds=18)  # of a request: after this no channel is tried that was tried in it
ROUND = timedelta(
    seconds=45
)  # and none at all after this: of five channels four may hang, and the fifth tells it
SLOW = timedelta(seconds=5)  # a channel that took so long for one message comes last in its request
ABANDONED = timedelta(minutes=15)  # Pub/Sub comes again much earlier
RETRY_UNDELIVERED = timedelta(minutes=5)
GIVE_UP = timedelta(hours=24)
KEEP = timedelta(days=90)  # the history has it for ever
_TRIES = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Time:
    """The time of one request. `slow`: the channels that took long in it."""

    began: datetime
    slow: set[str] = field(default_factory=set)

    def has_room(self, now: datetime, channel: str, tried: Collection[tuple[str, str]]) -> bool:
        """Tell whether a message may begin: once by each channel, again while there is time."""
        fresh = channel not in self.slow and all(channel != name for name, _ in tried)
        return now < self.began + (ROUND if fresh else BUDGET)

    def spent(self, channel: str, since: datetime, now: datetime) -> None:
        """Note how long a message took."""
        if now - since >= SLOW:
            self.slow.add(channel)


_request: ContextVar[_Time | None] = ContextVar("request", default=None)


@dataclass(frozen=True, slots=True)
class _Held:
    """An alert's document while this process has the lease."""

    path: Path
    record: AlertRecord
    version: Version
    reopened: bool = False


class AlertDispatcher:
    """Delivers alerts through the channels. `duty`: how the operator is told; `failing` says which channels of an
    account its people know to fail.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        channels: Mapping[str, Channel],
        operator: Recipients,
        relay: Relay,
        accounts: AccountReader | None = None,
        duty: OperatorAlerts = USUAL,
        routes: Routes = ROUTES,
        links: AckLinks | None = None,
        failing: Callable[[str | None], Failing] = lambda _account: {},
    ) -> None:
        self._store = store
        self._clock = clock
        self._channels = channels
        self._operator = operator
        self._relay = relay
        self._accounts = accounts or AccountReader(store, clock)
        self._duty = duty
        self._routes = routes
        self._links = links
        self._failing = failing

    def deliver(self, notice: Notice) -> None:
        """Tell whoever is to be told of an alert. The same notice again changes nothing once it is settled.

        One that could be told to nobody is tried again when it comes after its time (`republish_due`).
        Raises Transient while something is left to do, Rejected when the id was used for something else.
        """
        if (request := _request.get()) and self._clock.now() >= request.began + ROUND:
            raise Transient(
                f"alert {notice.alert.alert_id} is still to be told: this request has had its time"
            )
        held = self._acquire(notice)
        if held is not None:
            self._deliver(held)

    @contextmanager
    def one_request(self) -> Iterator[None]:
        """Give all that is delivered inside one BUDGET together; what is left comes again."""
        token = _request.set(_Time(self._clock.now()))
        try:
            yield
        finally:
            _request.reset(token)

    # --- the lease ---

    def _acquire(self, notice: Notice) -> _Held | None:
        """Take the lease of an alert; None when everything is done."""
        alert = notice.alert
        path = Path(COLLECTION, document_id(alert.alert_id))
        now = self._clock.now()
        fields = fresh_fields(notice, now)
        try:
            version = self._written(Create(path, fields))
        except AlreadyExists:
            return self._seen(path, alert)
        return _Held(path, AlertRecord.of(notice), version)

    def _seen(self, path: Path, alert: Alert) -> _Held | None:
        document = self._store.get(path)
        if document is None:
            raise Transient(f"{path} was removed just now")
        known = decode_record(document).alert
        if (known.account, known.kind, known.resolved) != (alert.account, alert.kind, alert.resolved):
            raise Rejected(
                "ALERT_ID_REUSED", f"alert id {alert.alert_id} was used for another alert: {known.kind}"
            )
        return self._take_over(document)

    def _take_over(self, document: Document) -> _Held | None:
        """Take the lease of a document that is there; None when it is settled (its outbox is published)."""
        data, now = document.data, self._clock.now()
        settled = data["status"] in SETTLED
        reopen = settled and data["due_at"] is not None and data["due_at"] <= now
        if settled and not reopen:
            self._publish(document.path, decode_outbox(data), document.version)
            return None
        if data["lease_until"] is not None and data["lease_until"] > now:
            raise Transient(f"{document.path} is being told by another instance until {data['lease_until']}")
        record = decode_record(document)
        if reopen:
            record = record.reopened()
        fields: Data = {
            "status": _under_way(record.alert).value,
            "lease_until": now + LEASE,
            "due_at": now + ABANDONED,
        }
        held = _Held(document.path, record, document.version, reopened=reopen)
        return self._save(held, record, fields, leased=False)

    # --- the messages ---

    def _deliver(self, held: _Held) -> None:
        alert = held.record.alert
        account, known = self._account(alert.account)
        people = audience(
            held.record.notice(),
            account,
            self._operator,
            duty=self._duty,
            known=known,
            routes=self._routes,
            voice="voice" in self._channels,
        )
        zone = account.time_zone if account else self._duty.time_zone
        record = fall_over(plan(held.record, people), people)
        now = self._clock.now()
        request, tried = _request.get() or _Time(now), frozenset[tuple[str, str]]()
        while (due := record.due(now, tried, request.slow)) and request.has_room(now, due.channel, tried):
            tried |= {due.key}
            record = fall_over(record.changed(self._send(due, people, record, zone)), people)
            request.spent(due.channel, now, self._clock.now())
            if record.pending:
                held = self._save(held, record, {"lease_until": self._clock.now() + LEASE})
            now = self._clock.now()
        if record.pending:
            self._save(held, record, {"lease_until": None, "due_at": now + ABANDONED})
            left = ", ".join(
                f"{d.channel} {d.hint}: {d.error}" for d in record.deliveries if d.status == "PENDING"
            )
            why = ": this request has had its time" if due else ""
            raise Transient(f"alert {alert.alert_id} is still to be told by {left}{why}")
        self._settle(held, record)

    def _send(self, due: DeliveryRecord, people: People, record: AlertRecord, zone: str) -> DeliveryRecord:
        """Try one message and return what came of it."""
        alert = record.alert
        channel, address = self._channels.get(due.channel), people.address(due.key)
        if channel is None or address is None:
            return due.refused(f"{due.channel} is not set up", self._clock.now())
        try:
            told = noted(alert, record.note, due.note)
            receipt = channel.send(address, told, zone, self._around(record, due))
        except ChannelRefused as problem:
            _log.warning("alert %s: %s %s refused: %s", alert.alert_id, due.channel, due.hint, problem)
            return due.refused(str(problem), self._clock.now())
        except ChannelBusy as problem:
            _log.warning("alert %s: %s %s failed: %s", alert.alert_id, due.channel, due.hint, problem)
            return due.put_off(str(problem), self._clock.now(), problem.retry_after_s)
        except Exception as problem:  # noqa: BLE001 - a fault of one channel must not silence the others
            # counted as a failed try; its text may hold the address, so only type and place are told
            fault = f"{type(problem).__name__} at {_where(problem)}"
            _log.error("alert %s: %s raised %s", alert.alert_id, due.channel, fault)
            return due.put_off(fault, self._clock.now(), None)
        return due.sent(receipt.provider_id, self._clock.now(), receipt.status)

    def _around(self, record: AlertRecord, due: DeliveryRecord) -> Around:
        """Return what the message carries beside the alert; what is critical can be acknowledged from it."""
        alert, url = record.alert, ""
        if self._links and alert.severity is Severity.CRITICAL and not alert.resolved:
            url = self._links.url(alert.alert_id, due.to, self._clock.now())
        return Around(url, record.lines, record.incident, record.total)

    def _account(self, name: str | None) -> tuple[Account | None, bool]:
        """Return the account and whether it exists; unreadable settings must not silence the alert."""
        if name is None:
            return None, True
        try:
            account = self._accounts.get(name)
        except (Rejected, Unreadable) as problem:
            _log.error("account %s cannot be read, its alerts go to the operator: %s", name, problem)
            return None, True
        return account, account is not None

    # --- the record ---

    def _settle(self, held: _Held, record: AlertRecord) -> None:
        alert, now = record.alert, self._clock.now()
        status = AlertStatus.DELIVERED if record.delivered else AlertStatus.UNDELIVERED
        if alert.kind == CAUGHT_UP and record.delivered:
            mark_told(self._store, self._relay, alert.alert_id, now)
        effects = (settled_row(record, status), *self._channel_effects(record, now))
        again = status is AlertStatus.UNDELIVERED and now + RETRY_UNDELIVERED < alert.raised_at + GIVE_UP
        fields: Data = {
            "status": status.value,
            "lease_until": None,
            "due_at": now + RETRY_UNDELIVERED if again else None,
            "settled_at": now,
            **outbox_fields(effects, now),
        }
        held = self._save(held, record, fields)
        if status is AlertStatus.UNDELIVERED:
            why = (
                "; ".join(f"{d.channel} {d.hint}: {d.error}" for d in record.deliveries)
                or "nobody has an address"
            )
            _log.log(
                logging.WARNING if held.reopened else logging.CRITICAL,
                "%s alert %s of %s was told to nobody (%s): %s",
                alert.severity.value,
                alert.alert_id,
                alert.account or "operator",
                why,
                alert.summary,
            )
        self._publish(held.path, effects, held.version)

    def _channel_effects(self, record: AlertRecord, now: datetime) -> list[Effect]:
        """Return the alerts about channels that failed beside others that worked, or work again."""
        whose = {owner(record, d) for d in record.deliveries}
        alerts = channel_alerts(record, {name: self._failing(name) for name in whose}, now)
        return [alert_effect(a) for a in alerts]

    def _publish(self, path: Path, effects: tuple[Effect, ...], version: Version) -> None:
        """Publish a settled alert's outbox and empty it; the sweep may have been faster."""
        if not effects:
            return
        self._relay.publish(effects)
        try:
            self._store.commit([Update(path, outbox_fields((), self._clock.now()), version)])
        except (Conflict, Unavailable) as problem:
            _log.info("%s keeps its outbox for now: %s", path, problem)

    def _save(self, held: _Held, record: AlertRecord, fields: Data, *, leased: bool = True) -> _Held:
        """Write the record. Raises Transient where another instance was faster."""
        data: Data = {"state": encode_record(record), **fields}
        try:
            version = self._written(Update(held.path, data, held.version), leased=leased)
        except Conflict:
            raise Transient(f"{held.path} was taken by another instance") from None
        return replace(held, record=record, version=version)

    def _written(self, write: Create | Update, *, leased: bool = False) -> Version:
        """Write a record with its lease, and return its version. `leased`: nobody else may write it.

        What was sent must be on record, and a lease that nobody knows to have delays people by its time: a write of
        unknown outcome is looked up and tried again here.
        """
        for attempt in range(_TRIES):
            try:
                [version] = self._store.commit([write])
                return version
            except Unavailable:
                self._clock.pause(attempt)
            except (AlreadyExists, Conflict):
                found = self._store.get(write.path) if attempt or leased else None
                if found is None or any(found.data.get(name) != value for name, value in write.data.items()):
                    raise
                return found.version  # an earlier try was carried out
        raise Unavailable(f"{write.path}: {_TRIES} writes without an answer")


def fresh_fields(notice: Notice, now: datetime) -> Data:
    """Return the document of a notice of which nothing was sent yet, under a lease."""
    alert = notice.alert
    return {
        "alert_id": alert.alert_id,
        "account": alert.account,
        "severity": alert.severity.value,
        "kind": alert.kind,
        "resolved": alert.resolved,
        "raised_at": alert.raised_at,
        "created_at": now,
        "expires_at": now + KEEP,
        "state": encode_record(AlertRecord.of(notice)),
        "status": _under_way(alert).value,
        "lease_until": now + LEASE,
        "due_at": now + ABANDONED,
        **outbox_fields((), now),
    }


def _under_way(alert: Alert) -> AlertStatus:
    return AlertStatus.RESOLVED if alert.resolved else AlertStatus.FIRING


def _where(problem: Exception) -> str:
    frame = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
