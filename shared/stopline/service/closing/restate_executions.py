"""Bring the execution log up to date with what came when a command was forgotten: late fills, corrections, busts, fees.

A command is known for 15 minutes after its end (`rules/closing/sent.py`). Whatever its fills come to say later makes another
row of it at the end of the day; the views show the newest.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from stopline.model.closing_state import ClosingState, Sent
from stopline.model.errors import Rejected, Transient
from stopline.model.fill import FillKind
from stopline.model.wire import decode_object, validate
from stopline.ports import Clock, History, Where
from stopline.rules.closing.execution_statistics import Row
from stopline.rules.closing.sent import KEPT
from stopline.service.closing.executions import ExecutionLog, execution_rows, with_executions
from stopline.service.documents.outbox import Relay
from stopline.service.fills.books import FillLog
from stopline.service.history.rows import history_effect

log = logging.getLogger("stopline")

AMENDING = (FillKind.CORRECT, FillKind.BUST, FillKind.FEE)
LOOK_BACK = timedelta(days=4)  # at what came since: a round that was missed is made good by the next ones
REACH = timedelta(days=60)  # of commands: fills are taken for 45 days
SETTLED = KEPT + timedelta(minutes=15)  # after its end only this writes rows of a command
ROWS = 400  # a message
IN_TIME = timedelta(days=2)  # of its session a fill usually comes
MOST = 200  # commands of one look, the newest: a day's round has its time
MOST_ACCOUNTS = 20  # whose older commands are looked at, those of the newest changes
MOST_FILLS = 5_000  # of a position since its first command


class ExecutionRestater:
    """Looks at the commands whose rows may be out of date. One look too many, on two instances too, does no harm."""

    def __init__(self, history: History, fills: FillLog, relay: Relay, clock: Clock) -> None:
        self._history = history
        self._log = ExecutionLog(history)
        self._fills = fills
        self._relay = relay
        self._clock = clock

    def restate(self) -> int:
        """Write another row of each command of which the fills say something else now; return how many. While the history is
        away nothing is: the next day looks again. Raises what else the history raises: a question that it refuses.
        """
        now = self._clock.now()
        count = 0
        try:
            for account, sent in self._doubtful(now).items():
                count += self._restate(account, sent, now)
        except Transient as problem:
            _left_out(str(problem))
        return count

    def _restate(self, account: str, sent: dict[str, Sent], now: datetime) -> int:
        after = with_executions(ClosingState(account=account, sent=sent), self._fills, MOST_FILLS).sent
        changed = [one for id_, one in after.items() if one.executed != sent[id_].executed]
        again = [one.model_copy(update={"revision": one.revision + 1}) for one in changed]
        rows = [row for one in again for row in execution_rows(account, one, now)]
        parts = [rows[place : place + ROWS] for place in range(0, len(rows), ROWS)]
        self._relay.publish([history_effect(account, part) for part in parts])
        return len(changed)

    def _doubtful(self, now: datetime) -> dict[str, dict[str, Sent]]:
        """Return the commands to look at, by account: those of late that were not wholly filled; those of symbols of which
        a fill was changed of late, or came days after its session.

        What came since `LOOK_BACK` in time is of no session before that less `IN_TIME`: a trade of one came late. Until
        its session is as old as that, the command that it fills is one of late.
        """
        changed: dict[str, set[str]] = {}
        newest: dict[str, datetime] = {}
        until = {kind: now + timedelta(days=1) for kind in AMENDING} | {
            FillKind.TRADE: now - LOOK_BACK - IN_TIME
        }
        for kind, last in until.items():
            where = [
                Where("event", "==", kind.value),
                Where("ingested_at", ">=", now - LOOK_BACK),
                Where("session", ">=", (now - REACH).date()),
                Where("session", "<=", last.date()),
            ]
            for row in self._history.read("fills", where):
                name = row["account"]
                changed.setdefault(name, set()).add(row["symbol"])
                newest[name] = max(row["ingested_at"], newest.get(name, row["ingested_at"]))
        accounts = sorted(changed, key=lambda name: (newest[name], name), reverse=True)
        if len(accounts) > MOST_ACCOUNTS:
            _left_out(f"older commands of {len(accounts) - MOST_ACCOUNTS} accounts are not looked at")
        rows = [row for row in self._log.read(None, now - LOOK_BACK) if row["status"] != "filled"]
        for name in accounts[:MOST_ACCOUNTS]:
            rows += [row for row in self._log.read(name, now - REACH) if row["symbol"] in changed[name]]
        return _newest(_commands(rows, now))


def _commands(rows: Iterable[Row], now: datetime) -> dict[str, dict[str, Sent]]:
    found: dict[str, dict[str, Sent]] = {}
    for row in rows:
        try:
            one = validate(Sent, decode_object((row["detail"] or "").encode()))  # NULL is no command either
        except Rejected as problem:
            log.warning("an execution cannot be read", extra={"problem": str(problem)[:300]})
            continue
        known = found.setdefault(row["account"], {})
        before = known.get(one.command_id)
        if one.ended_at and one.ended_at + SETTLED <= now and (not before or before.revision < one.revision):
            known[one.command_id] = one
    return found


def _newest(found: dict[str, dict[str, Sent]]) -> dict[str, dict[str, Sent]]:
    """Return as many commands as one look takes."""
    every = sorted(
        ((account, one) for account, sent in found.items() for one in sent.values()),
        key=lambda item: (item[1].issued_at, item[1].command_id),
        reverse=True,
    )
    if len(every) <= MOST:
        return found
    _left_out(f"{len(every) - MOST} commands are older than the {MOST} that are looked at")
    kept: dict[str, dict[str, Sent]] = {}
    for account, one in every[:MOST]:
        kept.setdefault(account, {})[one.command_id] = one
    return kept


def _left_out(problem: str) -> None:
    log.warning("executions not restated", extra={"problem": problem[:300]})
