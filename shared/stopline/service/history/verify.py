"""Hold the history against the store: what is missing there, what is too much, and what came twice with other contents.

Fills and links of the audit trail are in both, each under one id. Of the other tables the history is the only place; of
all it is looked at whether two rows of one id say different things.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import orjson

from stopline.model.ids import digest
from stopline.model.messages import Alert, Severity, alert_effect
from stopline.model.times import parse_utc
from stopline.ports import History, Kept, Path, Put, Store, Unavailable, Where
from stopline.service.audit.chain import heads_of, row_path
from stopline.service.documents.aggregate import DAMAGED
from stopline.service.documents.outbox import Relay, outbox_fields
from stopline.service.history.end_session import MARK

log = logging.getLogger("stopline")
ON_ITS_WAY = timedelta(hours=1)  # so long a row may take
LOOKS_BACK = timedelta(days=2)  # of the end of the day: each day is looked at twice
REACHES_BACK = timedelta(days=31)  # at most, where the history was away for long
COMPARED = Path("heartbeats", "history")
SESSIONS = timedelta(days=7)  # the session of a fill is at most so far from its execution
AT_ONCE = 100
PAGE = 5_000  # fills: more than are executed at one moment
NAMED = 3

PARTITIONS: Mapping[str, tuple[str, bool]] = {
    "account_snapshots": ("session", True),
    "alerts": ("raised_at", False),
    "audit": ("decided_at", False),
    "closes": ("session", True),
    "executions": ("issued_at", False),
    "fills": ("session", True),
    "metrics": ("session", True),
    "positions": ("as_of", False),
    "reconciliations": ("decided_at", False),
    "trades": ("entered_at", False),
}
"""By which column each table is cut into days, and whether that is a date."""

Ids = dict[str, tuple[datetime, bool]]
"""When each event was, and whether it must be in the history by now."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One table on one day, UTC: how many ids the store and the history have, a digest of each that order does not change,
    and which ids one of them lacks. `copies`: rows of the history above one an id.
    """

    table: str
    day: date
    stored: int
    kept: int
    copies: int
    stored_digest: str
    kept_digest: str
    missing: Sequence[str]
    extra: Sequence[str]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was compared, and by table the ids that have rows with different contents."""

    tallies: Sequence[Tally]
    conflicts: Mapping[str, Sequence[str]]

    @property
    def differs(self) -> bool:
        """Tell whether anything is not as it must be."""
        return any(t.missing or t.extra for t in self.tallies) or any(self.conflicts.values())


class _Away(Unavailable):
    """The history does not answer; the store may well."""


class HistoryVerifier:
    """Compares store and history, and tells the operator what differs."""

    def __init__(self, store: Store, history: History, relay: Relay) -> None:
        self._store = store
        self._history = history
        self._relay = relay

    def verify(self, now: datetime) -> None:
        """Compare the last two days, and those before that were not compared, and tell what differs: each difference once.
        While the history is away nothing is told, and the next end of a day looks at this one too. Raises Unavailable where
        the store is, and Unpublished: then nothing counts as compared.
        """
        try:
            found = self.compare(self._since(now), now, now)
        except _Away as problem:
            log.warning("history not compared", extra={"problem": str(problem)[:300]})
            return
        self._relay.publish([alert_effect(alert) for alert in alerts_of(found, now)])
        self._store.commit([Put(COMPARED, {"kind": "history", "at": now, **outbox_fields((), now)})])

    def _since(self, now: datetime) -> datetime:
        """Return from when on to compare: a day more than was ever compared, as a row may have been on its way."""
        document = self._store.get(COMPARED)
        at = document.data.get("at") if document else None
        since = at - timedelta(days=1) if isinstance(at, datetime) else now
        return max(min(since, now - LOOKS_BACK), now - REACHES_BACK)

    def compare(self, since: datetime, until: datetime, now: datetime) -> Findings:
        """Compare what was between two moments. Raises Unavailable."""
        settled = now - ON_ITS_WAY
        tallies = [
            *self._tallies("fills", self._fills(since, until, settled), "executed_at", since, until),
            *self._tallies("audit", self._links(since, until, settled), "decided_at", since, until),
        ]
        return Findings(tallies, {table: self._conflicts(table, since, until) for table in PARTITIONS})

    def _fills(self, since: datetime, until: datetime, settled: datetime) -> Ids:
        found: Ids = {}
        while True:  # page by page: only ids are kept
            where = [Where("executed_at", ">=", since), Where("executed_at", "<", until)]
            page = self._store.query("fills", where, ["executed_at"], PAGE)
            new = [d for d in page if d.path.id not in found]
            found |= {d.path.id: (d.data["executed_at"], d.data["booked_at"] < settled) for d in new}
            if len(page) < PAGE or not new:
                return found
            since = page[-1].data["executed_at"]

    def _links(self, since: datetime, until: datetime, settled: datetime) -> Ids:
        """Return the links of all chains between two moments: each chain is followed back from its end."""
        found: Ids = {}
        for chain, head in heads_of(self._store).items():
            for last in range(head.seq, 0, -AT_ONCE):
                numbers = range(last, max(last - AT_ONCE, 0), -1)
                rows = [
                    _link(d.data if d else None)
                    for d in self._store.get_all([row_path(chain, n) for n in numbers])
                ]
                known = [row for row in rows if row]
                found |= {id_: (at, at < settled) for id_, at in known if since <= at < until}
                if known and known[-1][1] < since:
                    break
        return found

    def _tallies(
        self, table: str, stored: Ids, column: str, since: datetime, until: datetime
    ) -> Iterator[Tally]:
        more = [Where("chain", ">=", "")]  # null where a version of before wrote no chain
        if table == "fills":
            first, last = (since - SESSIONS).date(), (until + SESSIONS).date()
            more = [Where("session", ">=", first), Where("session", "<=", last)]
        for day in _days(since, until):
            begin, end = max(since, day), min(until, day + timedelta(days=1))
            times = [Where(column, ">=", begin), Where(column, "<", end)]
            kept = {k.event_id: k.rows for k in self._kept(table, [*times, *more])}
            mine = {id_: must for id_, (at, must) in stored.items() if begin <= at < end}
            yield Tally(
                table,
                day.date(),
                len(mine),
                len(kept),
                sum(kept.values()) - len(kept),
                digest_of(mine),
                digest_of(kept),
                sorted(id_ for id_, must in mine.items() if must and id_ not in kept),
                self._unknown(table, sorted(kept.keys() - mine.keys())),
            )

    def _unknown(self, table: str, ids: Sequence[str]) -> list[str]:
        """Return which of these the store does not have even now: a late fill may have been booked since it was asked."""
        if table != "fills":
            return list(ids)
        found: list[str] = []
        for first in range(0, len(ids), AT_ONCE):
            some = ids[first : first + AT_ONCE]
            documents = self._store.get_all([Path("fills", id_) for id_ in some])
            found += [id_ for id_, document in zip(some, documents, strict=True) if document is None]
        return found

    def _conflicts(self, table: str, since: datetime, until: datetime) -> list[str]:
        column, is_date = PARTITIONS[table]
        cut: Callable[[datetime], datetime | date] = (lambda at: at.date()) if is_date else (lambda at: at)
        # closes that a person loads again have the same id and a later moment
        feed = [Where("source", "==", MARK)] if table == "closes" else []
        where = [Where(column, ">=", cut(since)), Where(column, "<=", cut(until)), *feed]
        return sorted(k.event_id for k in self._kept(table, where) if k.contents > 1)

    def _kept(self, table: str, where: Sequence[Where]) -> Sequence[Kept]:
        try:
            return self._history.kept(table, where)
        except Unavailable as problem:
            raise _Away(str(problem)) from problem


def digest_of(ids: Mapping[str, object]) -> str:
    """Return the exclusive or of the ids' SHA-256, 16 digits of it: the same in any order."""
    total = 0
    for id_ in ids:
        total ^= int.from_bytes(hashlib.sha256(id_.encode()).digest()[:8], "big")
    return f"{total:016x}"


def alerts_of(found: Findings, now: datetime) -> list[Alert]:
    """Return what is told of a comparison; the same difference has the same id each time."""
    alerts = []
    for tally in found.tallies:
        for ids, what in (
            (tally.missing, "are not in the history"),
            (tally.extra, "are in the history, and not in the store"),
        ):
            if ids:
                text = f"{len(ids)} of {tally.table} of {tally.day} {what}: {_named(ids)}"
                alerts.append(
                    _alert(f"{tally.table} {tally.day}", [what, digest_of(dict.fromkeys(ids))], text, now)
                )
    for table, ids in found.conflicts.items():
        if ids:
            text = (
                f"{len(ids)} ids of {table} have rows in the history that say different things: {_named(ids)}"
            )
            alerts.append(_alert(f"{table} twice", [digest_of(dict.fromkeys(ids))], text, now))
    return alerts


def _alert(object_: str, of: Sequence[str], text: str, now: datetime) -> Alert:
    return Alert(
        alert_id=digest("history_differs", object_, *of),
        kind="history_differs",
        object=object_,
        severity=Severity.WARNING,
        summary=text[:500],
        action="`stopline history verify` shows it; `stopline dead-letters list` and the quarantine may have the rows.",
        raised_at=now,
    )


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def _link(data: Mapping[str, object] | None) -> tuple[str, datetime] | None:
    """Return the id and moment of a row of the audit trail; what cannot be read is the audit's own finding."""
    try:
        row = orjson.loads(data["row"]) if data else None  # type: ignore[arg-type]
        return (row["event_id"], parse_utc(row["decided_at"])) if row else None
    except DAMAGED:
        return None


def _days(since: datetime, until: datetime) -> Iterator[datetime]:
    day = datetime.combine(since.astimezone(UTC).date(), time(), UTC)
    while day < until:
        yield day
        day += timedelta(days=1)
