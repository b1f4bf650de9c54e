"""Look for silence, and tell it once an episode: the sweep watches feed, brokers and limits, the prices watch the
sweep.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.messages import Alert, Effect
from stopline.model.times import utc_text
from stopline.model.wire import canonical
from stopline.ports import AlreadyExists, Bus, Clock, Conflict, Create, Outgoing, Path, Store, Update, Where
from stopline.rules.watching.watchdog import (
    EXPECTED,
    Found,
    broker_silence,
    feed_silence,
    still_silent,
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
UNWATCHED = "account_unwatched"
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
        look after, and since when: what was silent of them is so until they can be.
        """
        unwatched = unwatched or {}
        silent = [unwatched_account(name, since, now) for name, since in unwatched.items()]
        document = self._store.get(WATCHED)
        stored = orjson.loads(document.data["state"]) if document else {}
        before = {key: (datetime.fromisoformat(since), Found(*told)) for key, (since, told) in stored.items()}
        holding = [a for name, a in sorted(desk.accounts.items()) if _holds(desk.books.get(name))]
        held = {a.account for a in holding} or set(unwatched)
        told = [f for _, f in before.values() if f.kind != UNWATCHED]
        brokers = [f for f in told if f.kind == "broker_silent"]
        brokers = brokers if self._was_away(now) else self._brokers(holding, brokers, unwatched, now)
        unseen = [
            f for f in told if f.account in unwatched or (f.account is None and not holding and unwatched)
        ]
        found = {f.key: f for f in (*self._found(desk, holding, told, now), *silent, *brokers, *unseen) if f}
        after = {key: before.get(key, (now, f)) for key, f in found.items()}
        alerts = [f.alert(since, now) for key, (since, f) in after.items() if key not in before]
        ended = [of for key, of in before.items() if key not in after]
        alerts += [f.alert(since, now, True, _is_flat(f, held)) for since, f in ended]
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

    def _found(
        self, desk: Desk, holding: Sequence[Account], told: Sequence[Found], now: datetime
    ) -> list[Found]:
        newest = max((mark.as_of for mark in desk.marks.marks.values()), default=None)
        found = [feed_silence(holding, newest, now, any(f.kind == "feed_silent" for f in told))]
        for account in holding:
            state = self._states.peek(account.account)
            if state is not None:
                found.append(unprotected(account, state.watched, now))
        return [f for f in found if f]

    def _was_away(self, now: datetime) -> bool:
        """Whether no lease could be granted just now, because the sweep itself did not run: who is silent is unknown."""
        last = self._store.get(SWEPT)
        return last is None or sweep_silence(last.data["at"], now) is not None

    def _brokers(
        self,
        holding: Sequence[Account],
        told: Sequence[Found],
        unwatched: Mapping[str, datetime],
        now: datetime,
    ) -> list[Found]:
        leases: dict[str, dict[str, datetime]] = defaultdict(dict)
        where = [Where("expires_at", ">", now - EXPECTED)]
        for document in self._store.query(LEASES, where, ["expires_at"]):
            data = document.data
            leases[data["account"]][data["adapter"]] = data["expires_at"]
        found = []
        for account in holding:
            last = leases[account.account]
            if account.account not in unwatched:
                found += broker_silence(account, last, now)
            own = [f for f in told if f.account == account.account]
            found += [f for f in own if still_silent(last.get(f.object), now)]
        return found

    def _tell(self, alert: Alert) -> None:
        body = alert.model_dump(mode="json")
        self._bus.publish([Outgoing("alerts", canonical(body), {"type": body["type"]})])


def _holds(book: Book | None) -> bool:
    return book is not None and bool(book.open_positions())


def _is_flat(found: Found, held: Collection[str]) -> bool:
    """Tell whether it ends because nothing is held for which it mattered."""
    return found.kind != UNWATCHED and (found.account not in held if found.account else not held)


def _plain(found: Found) -> list[str | None]:
    """Return it as plain data, the object only where there is one."""
    plain = [found.kind, found.account, found.summary, found.action]
    return plain if found.object == "account" else [*plain, found.object]


def _effect(alert: Alert) -> Effect:
    return Effect(alert.alert_id, "alerts", alert.account or "", alert.model_dump(mode="json"))
