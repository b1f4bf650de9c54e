"""A day without BigQuery: every row waits, at last as a dead letter, and is there in the end (F52)."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from emulators.topology import load
from stopline.adapters.memory import MemoryHistory
from stopline.model.messages import HistoryRow
from stopline.model.times import utc_text
from stopline.ports import Outgoing, RowFault, Unavailable
from stopline.runtime.app import App
from stopline.runtime.embedded import Embedded
from stopline.runtime.envelope import Envelope
from stopline.runtime.handlers import receive
from stopline.service.fills.redrive import Redriver, Returned
from stopline.service.history.rows import history_effect

from ..make import NOON, account, raw_fill

TOPOLOGY = load()
HOURS = 24


class Away(MemoryHistory):
    """A BigQuery that is down; and once it is up it refuses what does not fit its tables."""

    down = True

    def append(self, rows: Sequence[HistoryRow], at: datetime) -> list[RowFault]:
        if self.down:
            raise Unavailable("BigQuery is down")
        return super().append(rows, at)


class PubSub:
    """The subscription of the topic `history`, by its numbers in the topology: tries, back-off, then a dead letter."""

    def __init__(self, desk: Embedded, app: App) -> None:
        self._desk, self._app = desk, app
        self._rules = TOPOLOGY.subscriptions["history-push"]
        self._due: list[tuple[datetime, int, int, datetime, Outgoing]] = []
        self._ids = 0
        self.dead: list[tuple[datetime, Outgoing]] = []
        self.published = self.acknowledged = self.tries = 0
        desk.bus._subscribers["history"] = [self._take]

    def _take(self, message: Outgoing, message_id: str, attempt: int) -> None:
        self._ids += 1
        self.published += 1
        now = self._desk.clock.now()
        heapq.heappush(self._due, (now, self._ids, 1, now, message))

    def run(self, until: datetime) -> None:
        """Deliver what is due until a moment."""
        while self._due and self._due[0][0] <= until:
            at, number, attempt, published_at, message = heapq.heappop(self._due)
            self._desk.clock.set(max(at, self._desk.clock.now()))
            self.tries += 1
            assert at - published_at < timedelta(days=self._rules.retention_days)
            envelope = Envelope(message.data, f"m-{number}", message.attributes, at, "history", attempt)
            try:
                receive(self._app, "history", envelope)
                self.acknowledged += 1
            except Unavailable:
                wait = min(self._rules.retry_min_seconds * 2 ** (attempt - 1), self._rules.retry_max_seconds)
                if attempt >= self._rules.attempts:
                    self.dead.append((at, message))
                else:
                    again = at + timedelta(seconds=wait)
                    heapq.heappush(self._due, (again, number, attempt + 1, published_at, message))
        self._desk.clock.set(max(until, self._desk.clock.now()))

    @property
    def is_idle(self) -> bool:
        return not self._due


def test_a_day_without_bigquery_loses_no_row() -> None:
    """F52, R8.5: two fills an hour for 24 hours; what failed every attempt is brought back as a person does it. One row
    that no table takes is quarantined alone, and its neighbours go in.
    """
    desk, away = Embedded(NOON), Away()
    app = App(replace(desk.app.ports, history=away))
    desk.app.account_writer.create(account(), "ann")
    desk.run()
    bus = PubSub(desk, app)
    for hour in range(HOURS):
        for number in range(2):
            body = raw_fill(f"H{hour}-{number}", executed_at=utc_text(desk.clock.now()))
            desk.publish("fills", body, {"account": "demo", "broker": "paper"})
        desk.run()
        bus.run(NOON + timedelta(hours=hour + 1))
    rows = [
        HistoryRow(table="fills", event_id=f"odd-{n}", row={"price": price})
        for n, price in enumerate(("1", "x", "2"))
    ]
    desk.app.relay.publish([history_effect("demo", rows)])
    desk.run()
    assert not any(away.rows.values())
    assert len(bus.dead) > 10, "the rows of the first hours have failed every attempt"

    away.down = False
    bus.run(desk.clock.now() + timedelta(hours=1))
    assert bus.is_idle
    dead, bus.dead = bus.dead, []
    kept = timedelta(days=TOPOLOGY.dead_letters.retention_days)
    redriver = Redriver(desk.store, desk.bus, desk.app.relay, desk.clock)
    for number, (at, message) in enumerate(dead):
        assert desk.clock.now() - at < kept
        redriver.redrive(Returned("history", f"d-{number}", message.data, message.attributes), "ann")
    desk.run()
    bus.run(desk.clock.now() + timedelta(hours=1))
    assert bus.is_idle
    assert not bus.dead
    assert bus.published == bus.acknowledged + len(dead)

    booked = {document.path.id for document in desk.store.query("fills")}
    assert len(booked) == 2 * HOURS
    found = {row["event_id"] for row in away.rows["fills"]}
    assert found == booked | {"odd-0", "odd-2"}
    assert [d.data["reason"] for d in desk.store.query("quarantine")] == ["ROW_REFUSED"]
