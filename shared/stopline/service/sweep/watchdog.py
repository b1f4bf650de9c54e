"""Look for silence, and tell it once an episode: the sweep watches feed, brokers and limits, the prices watch the
sweep.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta

import orjson

from stopline.ledger.book import Book
from stopline.model.messages import Alert, Effect
from stopline.model.times import utc_text
from stopline.model.wire import canonical
from stopline.ports import AlreadyExists, Bus, Clock, Conflict, Create, Outgoing, Path, Store, Update, Where
from stopline.rules.watching.watchdog import (
    EXPECTED,
    Found,
    broker_silence,
    feed_silence,
    sweep_silence,
    unprotected,
    unwatched_account,
)
from stopline.service.documents.aggregate import Aggregates
from stopline.service.documents.outbox import Relay, decode_outbox, outbox_fields
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.prices.mark_prices import Desk
from stopline.service.trading.leases import COLLECTION as LEASES

WATCHED = Path("heartbeats", "watchdog")
SWEPT = Path("heartbeats", "sweep")
LOOK_EVERY = timedelta(seconds=60)


class Watchdog:
    """Finds what is silent. `look` is the sweep's, `watch_sweep` belongs to whatever runs without the sweep."""

    def __init__(
        self, store: Store, bus: Bus, relay: Relay, clock: Clock, states: Aggregates[RiskState]
    ) -> None:
        self._store = store
        self._bus = bus
        self._relay = relay
        self._clock = clock
        self._states = states
        self._looked: datetime | None = None

    def look(self, desk: Desk, now: datetime, unwatched: Mapping[str, datetime] | None = None) -> None:
        """Compare what is silent with what was, and tell the differences. `unwatched`: accounts that the sweep could not
        look after, and since when.
        """
        silent = [unwatched_account(name, since, now) for name, since in (unwatched or {}).items()]
        document = self._store.get(WATCHED)
        stored = orjson.loads(document.data["state"]) if document else {}
        before = {key: (datetime.fromisoformat(since), Found(*told)) for key, (since, told) in stored.items()}
        known = [f for _, f in before.values() if f.kind == "broker_silent"]
        brokers = known if self._was_away(now) else self._brokers(desk, unwatched or {}, now)
        found = {f.key: f for f in (*self._found(desk, now), *silent, *brokers) if f}
        after = {key: before.get(key, (now, f)) for key, f in found.items()}
        alerts = [f.alert(since, now) for key, (since, f) in after.items() if key not in before]
        alerts += [f.alert(since, now, True) for key, (since, f) in before.items() if key not in after]
        if not alerts:
            return
        effects = [_effect(alert) for alert in alerts]
        state = {key: [utc_text(since), _plain(f)] for key, (since, f) in after.items()}
        due = (*self._relay.unpublished(decode_outbox(document.data)), *effects) if document else effects
        data = {
            "kind": "watchdog",
            "at": now,
            "state": orjson.dumps(state).decode(),
            **outbox_fields(due, now),
        }
        try:
            self._store.commit(
                [Update(WATCHED, data, document.version) if document else Create(WATCHED, data)]
            )
        except (AlreadyExists, Conflict):
            return  # another sweep was here
        self._relay.publish(due)

    def watch_sweep(self) -> None:
        """Tell that the sweep is silent; at most one look a minute, and one alert for each missing beat."""
        now = self._clock.now()
        if self._looked is not None and abs(now - self._looked) < LOOK_EVERY:
            return
        self._looked = now
        document = self._store.get(SWEPT)
        last = document.data["at"] if document else None
        found = sweep_silence(last, now)
        if found and last:
            self._tell(found.alert(last, now))

    def sweep_is_back(self, last: datetime | None, now: datetime) -> None:
        """Tell that the sweep runs again, where it was silent."""
        found = sweep_silence(last, now)
        if found and last:
            self._tell(found.alert(last, now, resolved=True))

    def _found(self, desk: Desk, now: datetime) -> list[Found]:
        holding = [a for name, a in sorted(desk.accounts.items()) if _holds(desk.books.get(name))]
        newest = max((mark.as_of for mark in desk.marks.marks.values()), default=None)
        found = [feed_silence(holding, newest, now)]
        for account in holding:
            state = self._states.peek(account.account)
            if state is not None:
                found.append(unprotected(account, state.watched, now))
        return [f for f in found if f]

    def _was_away(self, now: datetime) -> bool:
        """Whether no lease could be granted just now, because the sweep itself did not run: who is silent is unknown."""
        last = self._store.get(SWEPT)
        return last is None or sweep_silence(last.data["at"], now) is not None

    def _brokers(self, desk: Desk, unwatched: Mapping[str, datetime], now: datetime) -> list[Found]:
        leases: dict[str, dict[str, datetime]] = defaultdict(dict)
        where = [Where("expires_at", ">", now - EXPECTED)]
        for document in self._store.query(LEASES, where, ["expires_at"]):
            data = document.data
            leases[data["account"]][data["adapter"]] = data["expires_at"]
        found = []
        for name in sorted(leases.keys() - unwatched.keys()):
            if name in desk.accounts and _holds(desk.books.get(name)):
                found += broker_silence(desk.accounts[name], leases[name], now)
        return found

    def _tell(self, alert: Alert) -> None:
        body = alert.model_dump(mode="json")
        self._bus.publish([Outgoing("alerts", canonical(body), {"type": body["type"]})])


def _holds(book: Book | None) -> bool:
    return book is not None and bool(book.open_positions())


def _plain(found: Found) -> list[str | None]:
    """Return it as plain data, the object only where there is one."""
    plain = [found.kind, found.account, found.summary, found.action]
    return plain if found.object == "account" else [*plain, found.object]


def _effect(alert: Alert) -> Effect:
    return Effect(alert.alert_id, "alerts", alert.account or "", alert.model_dump(mode="json"))
