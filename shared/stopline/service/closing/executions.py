"""The execution log: what became of close commands, as rows of the table `executions`."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from stopline.ledger.amend import effective
from stopline.ledger.arrivals import Reader
from stopline.model.closing_state import ClosingState, Sent
from stopline.model.errors import Unreadable
from stopline.model.fill import Fill
from stopline.model.ids import digest, position_key
from stopline.model.messages import Alert, HistoryRow
from stopline.model.settings.closing import ClosingSettings
from stopline.ports import History, Where
from stopline.rules.closing.alerts import large_slippage
from stopline.rules.closing.executions import facts, with_fills
from stopline.service.fills.books import FillLog
from stopline.service.history.rows import table_row

if TYPE_CHECKING:  # no kill waits for the statistics
    from stopline.rules.closing.execution_statistics import Row

_log = logging.getLogger("stopline")
_SKEW = timedelta(minutes=1)  # by which a broker's clock may be behind ours
APART = 4  # positions: so many are asked for by themselves
WORTH_A_QUESTION = 10  # fills are read in the time of one


def with_executions(state: ClosingState, log: FillLog, most: int | None = None) -> ClosingState:
    """Return a state whose commands know their fills, out of the fill log. A command of a position with more than `most`
    fills since is left as it is: they are not all read.
    """
    spans: dict[str, _Span] = {}
    for sent in state.sent.values():
        for leg in sent.legs:
            since = sent.issued_at - _SKEW
            known = spans.setdefault(leg.key, _Span(sent.strategy, leg.instrument.symbol, since))
            spans[leg.key] = replace(known, since=min(known.since, since))
    together = _together(state.account, spans, log) if most is None else None
    fills: dict[str, list[Fill]] = {}
    beyond: set[str] = set()
    for key, span in spans.items():
        if together is not None:
            found = together[key]
        else:
            limit = None if most is None else most + 1
            found = log.of(state.account, span.strategy, span.symbol, span.since, limit)
        if most is not None and len(found) > most:
            beyond.add(key)
            _log.warning(
                "executions: a position has more fills than are read",
                extra={"account": state.account, "position": key},
            )
        fills[key] = [step.fill for step in effective(found)]
    updated = {
        id_: with_fills(sent, [fill for leg in sent.legs for fill in fills[leg.key]])
        for id_, sent in state.sent.items()
        if beyond.isdisjoint(leg.key for leg in sent.legs)
    }
    updated = {**state.sent, **updated}
    return state.model_copy(update={"sent": updated}) if updated != state.sent else state


@dataclass(frozen=True, slots=True)
class _Span:
    """The position of commands, and since when it may have fills of them."""

    strategy: str
    symbol: str
    since: datetime


def _together(account: str, spans: Mapping[str, _Span], log: FillLog) -> Mapping[str, list[Fill]] | None:
    """Return the fills of many positions by one question for all of the account; None where each is to be asked for: they
    are few, the account has more fills of other things than that saves, or one of those cannot be read.
    """
    if len(spans) <= APART:
        return None
    most = len(spans) * WORTH_A_QUESTION
    try:
        found = log.since(account, min(span.since for span in spans.values()), most + 1)
    except Unreadable:
        return None
    if len(found) > most:
        return None
    of: dict[str, list[Fill]] = defaultdict(list)
    known = {fill.key: fill for fill, _ in found}
    reader = Reader(known, known.get, lambda *_: ())
    for fill in known.values():
        of[reader.home(fill).position_key].append(fill)
    return {
        key: [f for f in of[position_key(span.strategy, span.symbol)] if f.executed_at >= span.since]
        for key, span in spans.items()
    }


def log_executions(
    state: ClosingState, settings: Callable[[Sent], ClosingSettings], now: datetime
) -> tuple[ClosingState, list[HistoryRow], list[Alert]]:
    """Return the state with the commands that are over marked as logged, their rows, and alerts of large slippage.

    A fill that comes after the row, a correction or a bust, makes another row of the command; the view keeps the newest.
    """
    rows: list[HistoryRow] = []
    alerts: list[Alert] = []
    sent = dict(state.sent)
    for id_, one in state.sent.items():
        if one.ended_at is None or one.logged_as == one.executed:
            continue
        one = one.model_copy(update={"revision": one.revision + 1})
        rows += execution_rows(state.account, one, now)
        alert = large_slippage(state.account, one, settings(one), now)
        if alert is not None:
            alerts.append(alert)
        sent[id_] = one.model_copy(update={"logged": one.fills, "logged_as": one.executed})
    return (state.model_copy(update={"sent": sent}) if rows else state), rows, alerts


def execution_rows(account: str, sent: Sent, now: datetime) -> Sequence[HistoryRow]:
    """Return the rows of a command, one for each leg."""
    detail = sent.model_dump(mode="json")
    return [
        table_row(
            "executions",
            digest("execution", account, sent.command_id, leg.key, str(sent.fills), str(sent.revision)),
            facts(account, sent, leg, now),
            detail,
        )
        for leg in sent.legs
    ]


class ExecutionLog:
    """Reads the execution log back."""

    def __init__(self, history: History) -> None:
        self._history = history

    def read(self, account: str | None, since: datetime) -> "list[Row]":
        """Return the rows of an account, or of all, whose command was made since a moment, oldest first. One of each
        command and leg: the newest, as the view `executions_latest` has it. Raises Unavailable.
        """
        where = [Where("issued_at", ">=", since)]
        if account is not None:
            where.append(Where("account", "==", account))
        latest: dict[tuple[str, str, str], Row] = {}
        for row in self._history.read("executions", where):
            key = row["account"], row["command_id"], row["symbol"]
            if key not in latest or _age(row) > _age(latest[key]):
                latest[key] = row
        return sorted(latest.values(), key=lambda row: (row["issued_at"], row["command_id"], row["symbol"]))


def _age(row: "Row") -> tuple[int, Decimal]:
    """Return by what the newest row of a command is known; those of before revisions were noted by their fills."""
    return row.get("revision") or 0, row["filled_quantity"]
