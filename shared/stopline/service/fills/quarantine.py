"""Quarantine: what can never succeed is kept with its reason, told to a person, and acknowledged."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from stopline.model.closing import CLOSINGS_TOPIC, REDUCTIONS_TOPIC
from stopline.model.errors import Rejected
from stopline.model.ids import digest, document_id
from stopline.model.messages import Alert, Effect, Severity, alert_effect
from stopline.model.times import utc_text
from stopline.model.wire import canonical
from stopline.ports import AlreadyExists, Clock, Create, Data, Path, Store, Unavailable
from stopline.service.documents.outbox import (
    CONTROLS_TOPIC,
    JOURNAL_TOPIC,
    Relay,
    decode_outbox,
    outbox_fields,
)

COLLECTION = "quarantine"
KEPT_BYTES = 64 * 1024
AT_ONCE = 100  # in one commit
AT_ONCE_BYTES = 2 * 1024 * 1024  # in one commit, which may have 3 MiB
MOST = 500  # characters of a cause
ALERT_WINDOW_S = 600  # of what is not critical, one alert a source and reason in this time; all is kept
LIST = "Look with `stopline quarantine list`."
LOOK = f"Nothing was booked from it. {LIST}"
LOOK_WHY = "Nothing was booked from them. See which, and what was wrong, with `stopline quarantine list`."

NOTHING = {
    CONTROLS_TOPIC: "What a limit or breaker wanted stopped or lifted was not: see to it by hand.",
    CLOSINGS_TOPIC: "What was to be closed is not: see to it by hand.",
    REDUCTIONS_TOPIC: "What was to be reduced is not: see to it by hand.",
    JOURNAL_TOPIC: "It is missing in the audit trail.",
}  # of what a commit of ours asked for


class Refusal(NamedTuple):
    """What is refused: item `item` of a message, why, and what it says. `fill` is the same in our own format, where it
    could be read: a part of a broker's message is often no message of that broker.
    """

    raw: bytes
    why: Rejected
    item: int = 0
    severity: Severity = Severity.WARNING
    fill: str = ""


class Quarantine:
    """Keeps refused input. Idempotent by (source, message id, item)."""

    def __init__(self, store: Store, relay: Relay, clock: Clock) -> None:
        self._store = store
        self._relay = relay
        self._clock = clock

    def keep(
        self,
        source: str,
        message_id: str,
        raw: bytes,
        refused: Rejected,
        item: int = 0,
        attributes: Mapping[str, str] | None = None,
        severity: Severity = Severity.WARNING,
    ) -> None:
        """Keep one refused message, or item `item` of it, and tell the operator. Raises Unavailable: then do
        not acknowledge.
        """
        self.keep_all(source, message_id, [Refusal(raw, refused, item, severity)], attributes)

    def keep_all(
        self,
        source: str,
        message_id: str,
        refusals: Sequence[Refusal],
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Keep all that is refused of one message, many in a commit: a message of thousands must be done in its time."""
        now, due = self._clock.now(), dict[str, Effect]()
        documents = (self._create(source, message_id, one, attributes or {}, now) for one in refusals)
        for creates in _commits(documents):
            for document in self._kept(creates):
                due |= {effect.id: effect for effect in decode_outbox(document)}
        self._relay.publish(list(due.values()))

    def _create(
        self, source: str, message_id: str, one: Refusal, attributes: Mapping[str, str], now: datetime
    ) -> Create:
        path = Path(COLLECTION, document_id(source, digest(message_id), str(one.item)))
        alert = self._alert(path.id, source, one.why, one.severity, now)
        data = {
            "source": source,
            "message_id": message_id[:200],
            "item": one.item,
            "reason": one.why.reason,
            "detail": one.why.detail[:1000],
            "raw": base64.b64encode(one.raw[:KEPT_BYTES]).decode(),
            "bytes": len(one.raw),
            "fill": one.fill,
            "attributes": canonical({k[:100]: v[:500] for k, v in sorted(attributes.items())[:50]}).decode(),
            "severity": one.severity.value,
            "kept_at": now,
            "status": "open",
            **outbox_fields((alert,), now),
        }
        return Create(path, data)

    def _kept(self, creates: Sequence[Create]) -> list[Data]:
        """Create what is not there; return the documents as they stand."""
        try:
            self._store.commit(creates)
            return [create.data for create in creates]
        except AlreadyExists:
            found = self._store.get_all([create.path for create in creates])
            missing = [create for create, there in zip(creates, found, strict=True) if there is None]
            if len(missing) == len(creates):
                raise Unavailable("what is refused was there and is gone") from None
            return [there.data for there in found if there] + (self._kept(missing) if missing else [])

    def keep_effect(self, effect: Effect, refused: Rejected) -> None:
        """Keep what a commit of ours asked for and a use case refused. It is critical: whoever asked believes it done.
        Raises Unavailable: then it stays due.
        """
        attributes = {"effect_id": effect.id, "account": effect.account}
        raw = canonical(effect.body)
        self.keep(effect.topic, effect.id, raw, refused, attributes=attributes, severity=Severity.CRITICAL)

    def _alert(self, id_: str, source: str, refused: Rejected, severity: Severity, now: datetime) -> Effect:
        """Return the alert: of what is critical its own; of all else one for its window, whichever comes first writes it."""
        own = severity is Severity.CRITICAL
        window = datetime.fromtimestamp(int(now.timestamp()) // ALERT_WINDOW_S * ALERT_WINDOW_S, UTC)
        which = id_ if own else utc_text(window)
        said = f"A message on {source} was refused and kept: {printable(refused.detail)}"
        several = f"Messages on {source} are refused and kept: {refused.reason}"
        alert = Alert(
            alert_id=digest("quarantine", source, refused.reason, which),
            kind="quarantine",
            object=f"{source} {refused.reason}",
            severity=severity,
            summary=(said if own else several)[:500],
            action=f"{NOTHING[source]} {LIST}" if source in NOTHING else LOOK if own else LOOK_WHY,
            cause=which[:MOST],
            raised_at=now if own else window,
        )
        return alert_effect(alert)


def _commits(creates: Iterable[Create]) -> Iterator[list[Create]]:
    """Yield what goes into one commit each. One document is far from the most of a commit: all of it is cut."""
    some, size = list[Create](), 0
    for create in creates:
        more = sum(len(name) + len(str(value).encode()) for name, value in create.data.items())
        if some and (len(some) == AT_ONCE or size + more > AT_ONCE_BYTES):
            yield some
            some, size = [], 0
        some.append(create)
        size += more
    if some:
        yield some


def settled_alert(id_: str, data: Data, status: str, actor: str, now: datetime) -> Effect | None:
    """Return the alert that a critical refused message is dealt with, which ends its own; of any other nobody waits."""
    if data.get("severity") != Severity.CRITICAL.value:
        return None
    alert = Alert(
        alert_id=digest("quarantine", status, id_),
        kind="quarantine",
        object=f"{data['source']} {data['reason']}",
        severity=Severity.INFO,
        summary=f"{actor} has {status} the message on {data['source']}: {printable(data['detail'])}"[:500],
        cause=id_[:MOST],
        raised_at=now,
        resolved=True,
    )
    return alert_effect(alert)


def printable(text: str) -> str:
    """Return text on one line with everything unprintable written as its escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
