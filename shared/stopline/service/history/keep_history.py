"""Append history rows to BigQuery; what it refuses for its content is quarantined, never dropped."""

from stopline.model.errors import Rejected
from stopline.model.messages import History as HistoryMessage
from stopline.model.wire import canonical
from stopline.ports import Clock, History
from stopline.service.fills.quarantine import Quarantine


class HistoryKeeper:
    """Appends rows, at least once; the views keep one a row."""

    def __init__(self, history: History, quarantine: Quarantine, clock: Clock) -> None:
        self._history = history
        self._quarantine = quarantine
        self._clock = clock

    def keep(self, message: HistoryMessage, message_id: str) -> None:
        """Append the rows of one message. Raises Unavailable: let it come again."""
        rows = {(row.table, row.event_id): (index, row) for index, row in enumerate(message.rows)}
        for fault in self._history.append(message.rows, self._clock.now()):
            index, row = rows[fault.table, fault.event_id]
            refused = Rejected("ROW_REFUSED", f"{fault.table} {fault.event_id}: {fault.reason}")
            alone = HistoryMessage(rows=(row,))
            self._quarantine.keep(
                "history", message_id, canonical(alone.model_dump(mode="json")), refused, item=index
            )
