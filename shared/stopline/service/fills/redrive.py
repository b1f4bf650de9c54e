"""Bring refused and given-up messages back, or drop them for good: each by a person, each on record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.messages import Effect
from stopline.model.times import utc_text
from stopline.model.wire import decode_object
from stopline.ports import Bus, Clock, Outgoing, Path, Store, Update
from stopline.service.audit.journal import journal_effect
from stopline.service.documents.outbox import Relay, decode_outbox, outbox_fields
from stopline.service.fills.adjustments import checked_reason
from stopline.service.fills.quarantine import COLLECTION, KEPT_BYTES, settled_alert
from stopline.service.history.rows import audit_row

NATIVE = "native"  # the dialect of our own format
REWINDS = timedelta(days=-7)  # how far back messages are kept: `retention_days` of the topology


@dataclass(frozen=True, slots=True)
class Returned:
    """A message as it goes back to its topic."""

    topic: str
    message_id: str
    data: bytes
    attributes: Mapping[str, str]


class Redriver:
    """Publishes messages again, or notes that they were dropped.

    A redrive that is cut off and repeated publishes twice: every consumer takes the second for what it is. The record
    has an id of the message and the moment's minute, so a repeated command is one row.
    """

    def __init__(self, store: Store, bus: Bus, relay: Relay, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._relay = relay
        self._clock = clock

    def redrive(self, message: Returned, actor: str) -> None:
        """Publish a message to its topic again, and put that on record. Raises Unavailable: do it again."""
        self._bus.publish([Outgoing(message.topic, message.data, message.attributes)])
        self._relay.publish([self._record("redriven", message, actor, "")])

    def drop(self, message: Returned, actor: str, reason: str) -> None:
        """Put on record that a message is given up; the caller removes it then."""
        self._relay.publish([self._record("dropped", message, actor, checked_reason(reason))])

    def rewind(
        self, topic: str, since: datetime, actor: str, reason: str, seek: Callable[[datetime], datetime]
    ) -> datetime:
        """Have a topic's messages delivered again from a moment on: `seek` does it and says from when on, this checks and
        puts it on record.

        Every fill and row that comes again is a duplicate for who has it already. The record is written first: a seek
        that nobody knows of is worse than a record of one that failed and is repeated.
        """
        now = self._clock.now()
        if not REWINDS < since - now < timedelta(0):
            raise Rejected(
                "BAD_SINCE",
                f"messages are kept for {-REWINDS.days} days: since must be within them, was {utc_text(since)}",
            )
        row = audit_row(
            event_id=digest("rewound", topic, utc_text(since), utc_text(now)),
            scope=f"topic:{topic}",
            event="topic_rewound",
            actor=actor,
            reason=checked_reason(reason),
            at=now,
            detail={"topic": topic, "since": utc_text(since)},
        )
        self._relay.publish([journal_effect("", [row])])
        return seek(now)

    def settle_quarantined(self, id_: str, raw: bytes, actor: str, drop_reason: str | None) -> str:
        """Redrive a message of the quarantine, or drop it with a reason; return its new status.

        The document stays, with what became of it. Rejected when it is settled already, or was too large to be kept.
        """
        document = self._store.get(Path(COLLECTION, id_))
        if document is None:
            raise Rejected("UNKNOWN_MESSAGE", f"there is nothing in quarantine with id {id_!r}")
        data = document.data
        if data["status"] != "open":
            raise Rejected("SETTLED", f"{id_} is {data['status']} already")
        fill = str(data.get("fill", ""))  # none where it could not be read, nor of a version before the field
        if drop_reason is None and not fill and data["bytes"] > KEPT_BYTES:
            raise Rejected(
                "CUT", f"{id_} was kept with its first {KEPT_BYTES} bytes only: publish the original again"
            )
        attributes = decode_object(data["attributes"].encode())
        if fill:
            raw, attributes = fill.encode(), {**attributes, "dialect": NATIVE}
        message = Returned(data["source"], data["message_id"], raw, attributes)
        status = "redriven" if drop_reason is None else "dropped"
        reason = "" if drop_reason is None else checked_reason(drop_reason)
        effect = self._record(status, message, actor, reason, id_)
        if drop_reason is None and self._relay.runs(message.topic):  # raises where it is refused again
            account = str(attributes.get("account", ""))
            self._relay.run(Effect(message.message_id, message.topic, account, decode_object(raw)))
        elif drop_reason is None:
            self._bus.publish([Outgoing(message.topic, raw, attributes)])
        now = self._clock.now()
        over = settled_alert(id_, data, status, actor, now)
        effects = [*self._relay.unpublished(decode_outbox(data)), effect, *([over] if over else [])]
        fields = {"status": status, "settled_at": now, "settled_by": actor, **outbox_fields(effects, now)}
        self._store.commit([Update(document.path, fields, document.version)])
        self._relay.publish(effects)
        return status

    def _record(self, event: str, message: Returned, actor: str, reason: str, kept: str = "") -> Effect:
        """Return the record of one message, or of the part of it that is in quarantine as `kept`."""
        now: datetime = self._clock.now()
        minute = now.replace(second=0, microsecond=0).isoformat()
        row = audit_row(
            event_id=digest("redrive", event, message.topic, kept or message.message_id, minute),
            scope=f"message:{message.topic}",
            event=f"message_{event}",
            actor=actor,
            reason=reason,
            at=now,
            detail={
                "topic": message.topic,
                "message_id": message.message_id,
                "bytes": len(message.data),
                **({"quarantine": kept} if kept else {}),
            },
        )
        return journal_effect("", [row])
