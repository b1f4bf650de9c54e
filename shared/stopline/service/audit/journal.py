"""The audit trail of what is no trading state: settings, rights, adjustments, acknowledgements, messages brought back,
days that were restated, breaks confirmed and cleared, closings proven.

Such a row rides in the outbox of the commit that it is about, on the local topic `journal`; here it is given its place in
the hash chain of its account (`journal:NAME`; `journal:` where it is nobody's) and goes on to BigQuery.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from stopline.model.chain import Head
from stopline.model.ids import digest
from stopline.model.messages import Effect, History, HistoryRow
from stopline.model.wire import validate
from stopline.ports import Clock, Create, Data, Store
from stopline.service.audit.chain import chained, is_next_there, rows_of
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import JOURNAL_TOPIC, Relay
from stopline.service.history.rows import history_effect

COLLECTION = "journals"
MOST = 500  # rows of one message
REMEMBERED = 500  # rows of a chain whose effect may come again


@dataclass(frozen=True, slots=True)
class Journal:
    """The end of a chain, and the event ids of its last rows."""

    chain: str
    head: Head = field(default_factory=Head)
    seen: tuple[str, ...] = ()


class JournalCodec:
    """A journal as the fields of its document."""

    collection = COLLECTION

    def encode(self, state: Journal) -> Data:
        body = {"seq": state.head.seq, "hash": state.head.hash, "seen": state.seen}
        return {"chain": state.chain, "state": orjson.dumps(body).decode()}

    def decode(self, data: Data) -> Journal:
        body = orjson.loads(data["state"])
        return Journal(data["chain"], Head(body["seq"], body["hash"]), tuple(body["seen"]))


def journal_effect(account: str, rows: Sequence[HistoryRow]) -> Effect:
    """Return the effect that puts audit rows of an account (empty: of nobody) on record."""
    effect = history_effect(account, rows)
    return Effect(digest("journal", effect.id), JOURNAL_TOPIC, account, effect.body)


def row_effects(account: str, rows: Sequence[HistoryRow]) -> list[Effect]:
    """Return the effects of rows of any table: those of the audit go on record, the others straight to BigQuery."""
    audit = [row for row in rows if row.table == "audit"]
    plain = [row for row in rows if row.table != "audit"]
    effects = [history_effect(account, plain[at : at + MOST]) for at in range(0, len(plain), MOST)]
    return effects + [journal_effect(account, audit[at : at + MOST]) for at in range(0, len(audit), MOST)]


class Journals:
    """Extends chains. Several instances may: the document's version decides who is next."""

    def __init__(self, store: Store, relay: Relay, clock: Clock) -> None:
        self._store = store
        self._documents = Aggregates(store, relay, clock, JournalCodec())

    def carry_out(self, effect: Effect) -> None:
        """Chain the rows of an effect, each once. Raises Unavailable or Unpublished: it comes again."""
        rows = validate(History, effect.body).rows
        name = f"journal:{effect.account}"

        def decide(journal: Journal | None, attempt: int) -> Change[Journal] | None:
            before = journal or Journal(name)
            head, seen = before.head, before.seen
            if attempt and is_next_there(
                self._store, name, head.seq
            ):  # the document was deleted, or put back as it was
                known = rows_of(self._store, name, head.seq)
                head = Head(int(known[-1]["seq"]), known[-1]["hash"])
                seen = tuple(str(row["event_id"]) for row in known)[-REMEMBERED:]
            found, creates = list[HistoryRow](), list[Create]()
            for row in rows:
                if row.event_id in seen:
                    continue
                head, linked, create = chained(name, head, row.event_id, row.row)
                seen = (*seen, row.event_id)[-REMEMBERED:]
                found.append(linked)
                creates.append(create)
            if not found:
                return None
            return Change(Journal(name, head, seen), [history_effect(effect.account, found)], creates)

        self._documents.change(name, decide)
