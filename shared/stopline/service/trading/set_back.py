"""A database that was restored to an earlier moment has forgotten the newest words of people and breakers.

So nothing adds risk until two people say so: the whole is REDUCING, under an epoch that is above all of before. A database
that was restored or cloned has another name than the one that its heartbeat was written to: the next sweep sees it, and
until then no lease is granted. Whoever writes over a database in place says so by `stopline restored`. That also stops
again what was stopped since, out of the audit trail in the history.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from stopline.model.chain import START
from stopline.model.control import GLOBAL, Control, ControlRequest
from stopline.model.errors import Rejected, Unreadable
from stopline.model.ids import digest, document_id
from stopline.model.times import utc_text
from stopline.ports import Document, History, Path, Store, Where
from stopline.rules.trading.state import AHEAD
from stopline.service.audit.chain import heads_of, row_path
from stopline.service.documents.aggregate import DAMAGED, Aggregates, Change
from stopline.service.trading.controls import TradingStates
from stopline.service.trading.regrow import again

WHO = "stopline"
AT_ONCE = 100
WHAT_TO_DO = "run `stopline restored`, then resume"

Row = Mapping[str, Any]


def is_of_another(beat: Document | None, database: str) -> bool:
    """Tell whether the heartbeat was written to another database than this one: what stands is a copy of before."""
    written = beat.data.get("database") if beat else None
    return bool(database and written and written != database)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the history knows and the store does not: audit rows and alerts, oldest first. `stopped`: the scopes that were
    stopped again; `refused`: why others were not, by scope.
    """

    audit: Sequence[Row]
    alerts: Sequence[Row]
    stopped: Sequence[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


class SetBack:
    """Stops everything after a restore, and what was stopped since the moment that the database was restored to."""

    def __init__(self, store: Store, documents: Aggregates[Control], trading: TradingStates) -> None:
        self._store = store
        self._documents = documents
        self._trading = trading

    def hold(self, cause: str, reason: str, actor: str = WHO) -> None:
        """Let nothing add risk until two people resume the whole; once a cause. The epoch first: an adapter that knows a
        higher one takes neither a lease nor a command, so that whatever fails here fails closed. Raises like `set`.
        """
        request_id = digest("restored", cause)

        def leap(control: Control | None, attempt: int) -> Change[Control] | None:
            before = control or Control(scope=GLOBAL)
            if request_id in before.seen:
                return None
            return Change(before.model_copy(update={"epoch": before.epoch + AHEAD}))

        self._documents.change(GLOBAL, leap)
        request = ControlRequest(
            request_id=request_id, scope=GLOBAL, action="pause", actor=actor, reason=reason, hold_people=2
        )
        self._trading.set(request)

    def take_up(self, scope: str, seen: int) -> None:
        """Stop a scope that was lost since an epoch that was seen; see TradingStates.take_up."""
        self._trading.take_up(scope, seen)

    def hold_where_copied(self, beat: Document | None, database: str) -> None:
        """Do so where the database is a copy; the next heartbeat is of this one."""
        if beat is not None and is_of_another(beat, database):
            former, at = str(beat.data["database"]), utc_text(beat.data["at"])
            reason = f"the database {database} is a copy of {former} as of {at}: {WHAT_TO_DO}"
            self.hold(f"{former} {database} {at}", reason[:500])

    def forgotten(self, history: History, since: datetime) -> Forgotten:
        """Return what the history has since a moment and the store has not. Raises Unavailable."""
        rows = [row for row in history.read("audit", [Where("decided_at", ">=", since)]) if row.get("chain")]
        rows.sort(key=lambda row: (row["decided_at"], row["chain"], row["seq"]))
        told = sorted(
            history.read("alerts", [Where("raised_at", ">=", since)]), key=lambda row: row["raised_at"]
        )
        alerts = list({row["alert_id"]: row for row in told}.values())
        heads = heads_of(self._store)
        lacking = self._lacking(rows, lambda row: row_path(row["chain"], int(row["seq"])), _is_row)
        gone = {row["hash"] for row in lacking}
        return Forgotten(
            # an import over the same database leaves the rows that came since, and puts back their chain's end
            [
                row
                for row in rows
                if row["hash"] in gone or int(row["seq"]) > heads.get(row["chain"], START).seq
            ],
            self._lacking(
                alerts, lambda row: Path("alerts", document_id(row["alert_id"])), lambda row, data: True
            ),
        )

    def stop_again(self, forgotten: Forgotten, now: datetime) -> Forgotten:
        """Stop again what was stopped and not resumed in what was forgotten: it is stored anew, in the name of who asked.
        Repeated, it changes nothing. Raises like `set`, but for a wish that can never be carried out.
        """
        stopped, refused = [], {}
        for request in again(forgotten.audit, now):
            try:
                self._trading.set(request)
                stopped.append(request.scope)
            except Rejected as problem:
                refused[request.scope] = problem.detail
            except Unreadable as problem:  # the others are stopped all the same
                refused[request.scope] = str(problem)
        return Forgotten(forgotten.audit, forgotten.alerts, sorted(set(stopped)), refused)

    def _lacking(
        self,
        rows: Sequence[Row],
        path: Callable[[Row], Path],
        is_same: Callable[[Row, Mapping[str, Any]], bool],
    ) -> list[Row]:
        found: list[Row] = []
        for first in range(0, len(rows), AT_ONCE):
            some = rows[first : first + AT_ONCE]
            documents = self._store.get_all([path(row) for row in some])
            found += [
                row
                for row, document in zip(some, documents, strict=True)
                if document is None or not is_same(row, document.data)
            ]
        return found


def _is_row(row: Row, data: Mapping[str, Any]) -> bool:
    try:
        return bool(orjson.loads(data["row"])["hash"] == row["hash"])
    except DAMAGED:  # what nobody can read is there for nobody
        return False
