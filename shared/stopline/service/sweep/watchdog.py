"""Look for silence, and tell it once an episode: the sweep watches feeds, brokers and limits, the prices watch the
sweep.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.errors import Unreadable
from stopline.model.ids import document_id
from stopline.model.messages import alert_effect
from stopline.model.times import utc_text
from stopline.ports import (
    Bus,
    Clock,
    Document,
    Path,
    Store,
    Where,
)
from stopline.rules.watching.feeds import Feed, feed_silences, feeds, why_moot
from stopline.rules.watching.found import Found, found_of
from stopline.rules.watching.watchdog import (
    EXPECTED,
    broker_silence,
    still_silent,
    sweep_silence,
    unprotected,
    unwatched_account,
)
from stopline.service.documents.aggregate import DAMAGED, Aggregates
from stopline.service.documents.outbox import Relay, typed
from stopline.service.documents.told import store_and_tell
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.prices.mark_prices import Desk
from stopline.service.sweep.heartbeat import HEARTBEAT, last_beat
from stopline.service.sweep.price_needs import price_needs
from stopline.service.trading.order_spans import holder_of
from stopline.service.trading.unheard import LEASES

WATCHED = Path("heartbeats", "watchdog")
UNWATCHED = "account_unwatched"
UNPROTECTED = "protection_suppressed"
BROKER = "broker_silent"
FEED = "feed_silent"
LOOK_EVERY = timedelta(seconds=60)
log = logging.getLogger("stopline")


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
        document = self._store.get(WATCHED)
        before = _told(document) if document else {}
        holding = [a for name, a in sorted(desk.accounts.items()) if _holds(desk.books.get(name))]
        told = [f for _, f in before.values() if f.kind != UNWATCHED]
        brokers = [f for f in told if f.kind == BROKER]
        brokers = brokers if self._was_away(now) else self._brokers(holding, brokers, unwatched, now)
        silent_feeds = [f for f in told if f.kind == FEED]
        needed = feeds(price_needs(desk, now), silent_feeds)
        found = [
            *feed_silences(needed, silent_feeds, now, unsure=bool(unwatched)),
            *self._unprotected(holding, now),
            *(unwatched_account(name, since, now) for name, since in unwatched.items()),
            *brokers,
            *(f for f in told if f.account in unwatched),
        ]
        after = {f.key: _since(before.get(f.key), f, now) for f in found if f}
        alerts = [f.alert(since, now) for key, (since, f) in after.items() if _is_news(before.get(key), f)]
        held = {a.account: a for a in holding}
        for key, (since, f) in before.items():
            if key not in after:
                retired = f.kind == BROKER and self._retired(f)
                alerts.append(f.end(since, now, _why_moot(f, held, needed, now, retired)))
        if not alerts:
            return
        effects = [alert_effect(alert) for alert in alerts]
        state = {key: [utc_text(since), f.plain()] for key, (since, f) in after.items()}
        data = {"kind": "watchdog", "at": now, "state": orjson.dumps(state).decode()}
        store_and_tell(self._store, self._relay, WATCHED, document, data, effects, now)

    def standing(self) -> list[Found]:
        """Return what is silent, as it was told."""
        document = self._store.get(WATCHED)
        stored = orjson.loads(document.data["state"]) if document else {}
        return [found_of(told) for _, told in stored.values()]

    def watch_sweep(self) -> None:
        """Tell that the sweep is silent; at most one look a minute, and one alert for each missing beat."""
        now = self._clock.now()
        if self._looked is not None and abs(now - self._looked) < LOOK_EVERY:
            return
        self._looked = now
        last = last_beat(self._store.get(HEARTBEAT))
        found = sweep_silence(last, now)
        if found and last:
            self._bus.publish([typed("alerts", found.alert(last, now))])

    def sweep_is_back(self, last: datetime | None, now: datetime) -> None:
        """Tell that the sweep runs again, where it was silent."""
        found = sweep_silence(last, now)
        if found and last:
            self._bus.publish([typed("alerts", found.end(last, now))])

    def _unprotected(self, holding: Sequence[Account], now: datetime) -> list[Found | None]:
        found = []
        for account in holding:
            try:
                state = self._states.peek(account.account)
            except Unreadable:  # it is unwatched, and told as that
                continue
            if state:
                found.append(unprotected(account, state.watched, now))
        return found

    def _was_away(self, now: datetime) -> bool:
        """Whether no lease could be granted just now, because the sweep itself did not run: who is silent is unknown."""
        last = last_beat(self._store.get(HEARTBEAT))
        return last is None or sweep_silence(last, now) is not None

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
            account_name, adapter = holder_of(document.path)
            leases[account_name][adapter] = document.data["expires_at"]
        found = []
        for account in holding:
            last = leases[account.account]
            if account.account not in unwatched:
                found += broker_silence(account, last, now)
            own = [f for f in told if f.account == account.account]
            found += [f for f in own if still_silent(last.get(f.object), now) and not self._retired(f)]
        return found

    def _retired(self, found: Found) -> bool:
        """Tell whether somebody has retired an adapter that was told as silent: its last lease is gone."""
        return self._store.get(Path(LEASES, document_id(found.account or "", found.object))) is None


def _told(document: Document) -> dict[str, tuple[datetime, Found]]:
    """Return what is silent, as it was told, and since when; what cannot be read counts as not told, and is told anew."""
    try:
        stored = orjson.loads(document.data["state"])
        return {key: (datetime.fromisoformat(at), found_of(told)) for key, (at, told) in stored.items()}
    except DAMAGED:
        log.exception("watchdog: what was told cannot be read")
        return {}


def _holds(book: Book | None) -> bool:
    return book is not None and bool(book.open_positions())


def _since(told: tuple[datetime, Found] | None, found: Found, now: datetime) -> tuple[datetime, Found]:
    """Return what stands and since when: in the words in which it was told, while they hold."""
    if told is None:
        return now, found
    return (told[0], found) if found.is_news_after(told[1]) else told


def _is_news(told: tuple[datetime, Found] | None, found: Found) -> bool:
    return told is None or found.is_news_after(told[1])


def _why_moot(
    found: Found, held: Mapping[str, Account], needed: Mapping[str, Feed], now: datetime, retired: bool
) -> str:
    """Say why it ends without a sign of life; empty: there is one."""
    if found.kind == FEED:
        return why_moot(found, needed)
    if found.kind == UNWATCHED:
        return ""
    if retired:
        return "It was retired by hand"
    account = held.get(found.account or "")
    if account is None:
        return "No position is open any more"
    if found.kind == UNPROTECTED and not account.sessions.is_open(now):
        return "The market has closed, its last prices count"
    return ""
