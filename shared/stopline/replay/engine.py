"""The replay itself: files in the order of time, through an embedded Stopline whose clock the data moves.

At each moment: the prices known then, the fills executed then, and, on a full sweep interval, the risk sweep.
Between moments the sweep goes on at its interval until nothing can change any more; then the clock jumps, and
stops at each opening on its way.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.control import GLOBAL, account_scope
from stopline.model.decimals import EXACT, ZERO
from stopline.model.errors import Rejected
from stopline.model.messages import ALERT_TYPE, Alert
from stopline.model.prices import MAX_ITEMS, PRICES_TYPE
from stopline.model.times import utc_text
from stopline.model.wire import decode_object, validate
from stopline.ports import Outgoing
from stopline.replay.result import AccountResult, Conservation, ReplayResult, SessionPnl, StateChange
from stopline.replay.rows import FillFile, Price, PriceFile
from stopline.runtime.embedded import Embedded
from stopline.service.accounts.status import account_status
from stopline.service.evaluation.risk_state import RiskState

SOURCE = "replay"
QUIET = timedelta(
    minutes=5
)  # after the last event, and after its price has become stale, nothing changes any more

Event = tuple[datetime, Sequence[Price], Sequence[dict[str, Any]]]
Watcher = Callable[[Alert | StateChange], None]
Waiter = Callable[[timedelta], None]


class Replay:
    """One replay, with `accounts` from the start.

    A name in the fills that is not among them is refused, as in production, or opened with `defaults`.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        defaults: Account | None = None,
        *,
        sweep_every: timedelta = timedelta(minutes=1),
        watcher: Watcher | None = None,
        wait: Waiter | None = None,
    ) -> None:
        """Prepare it.

        `watcher` hears of alerts and trading states as they come; `wait` passes the time between events.
        """
        self._wanted = {account.account: account for account in accounts}
        self._defaults = defaults
        self._every = sweep_every
        self._watcher = watcher
        self._wait = wait
        self._accounts: dict[str, Account] = {}
        self._alerts: dict[str, Alert] = {}
        self._states: list[StateChange] = []
        self._epochs: dict[str, int] = {}
        self._sessions: dict[tuple[str, date], SessionPnl] = {}
        self._seen: dict[str, RiskState] = {}
        self._world: Embedded | None = None
        self._published = self._batches = self._sweeps = 0

    @property
    def world(self) -> Embedded:
        """The Stopline that the files ran through."""
        if self._world is None:
            raise RuntimeError("nothing was replayed yet")
        return self._world

    def strategies(self) -> set[str]:
        """Return the strategies that fills were booked for."""
        books = [self.world.app.books.read(name) for name in self._accounts]
        return {strategy for book in books if book for strategy, _ in book.strategies}

    def run(self, prices: Sequence[PriceFile], fills: FillFile | None) -> ReplayResult:
        """Replay files to their end. Raises Rejected for a file that cannot be read, with its line."""
        first = last = None
        for moment, quotes, bodies in self._events(prices, fills):
            if last is None:
                first = moment
                self._begin(moment)
            else:
                self._pass_time(last, moment)
            last = moment
            self.world.clock.set(moment)
            self._publish(moment, quotes, bodies)
            if moment == self._floor(moment):
                self._sweep(moment)
        if last is not None and last != self._floor(last):
            self._sweep(last)
        if last is None:
            raise Rejected("BAD_FILE", "there is nothing to replay: the files hold no fill and no price")
        return self._result(prices, first, last)

    def _events(self, prices: Sequence[PriceFile], fills: FillFile | None) -> Iterator[Event]:
        """Merge all files into moments."""
        quotes = heapq.merge(*(file.read() for file in prices), key=lambda item: item[0])
        bodies: Iterable[tuple[datetime, dict[str, Any]]] = fills.read(self._account_of) if fills else ()
        tagged: Iterator[tuple[datetime, int, Any]] = heapq.merge(
            ((moment, 0, quote) for moment, quote in quotes),
            ((moment, 1, body) for moment, body in bodies),
            key=lambda item: item[:2],
        )
        for moment, group in groupby(tagged, key=lambda item: item[0]):
            both: tuple[list[Any], list[Any]] = ([], [])
            for _, kind, item in group:
                both[kind].append(item)
            yield moment, *both

    def _begin(self, moment: datetime) -> None:
        self._world = Embedded(moment, keep_rows=1_000)
        self._world.bus.subscribe("alerts", self._on_alert)
        for account in self._wanted.values():
            self._open(account)

    def _pass_time(self, last: datetime, moment: datetime) -> None:
        """Run the sweeps that lie between two moments."""
        done = last
        for tick in self._ticks(last, moment):
            if self._wait:
                self._wait(min(tick - done, QUIET))
            self._sweep(tick)
            done = tick
        if self._wait:
            self._wait(min(moment - done, QUIET))

    def _ticks(self, last: datetime, moment: datetime) -> Iterator[datetime]:
        stale = max((a.price_max_age_s for a in self._accounts.values()), default=0)
        quiet = last + QUIET + timedelta(seconds=stale)
        tick = self._floor(last) + self._every
        while tick < min(quiet, moment):
            yield tick
            tick += self._every
        yield from self._openings(tick, moment)

    def _openings(self, start: datetime, end: datetime) -> list[datetime]:
        """Return when markets of our accounts open in [start, end)."""
        found: set[datetime] = set()
        for calendar in {a.calendar: a.sessions for a in self._accounts.values()}.values():
            day = start.astimezone(calendar.zone).date()
            while (opening := calendar.open_of(day)) < end:
                if opening >= start and calendar.is_session(day):
                    found.add(opening)
                day += timedelta(days=1)
        return sorted(found)

    def _floor(self, moment: datetime) -> datetime:
        midnight = datetime.combine(moment.date(), time(0), moment.tzinfo)
        return moment - (moment - midnight) % self._every

    def _publish(self, moment: datetime, quotes: Sequence[Price], bodies: Sequence[dict[str, Any]]) -> None:
        latest = {quote[0]: quote for quote in quotes}  # of a symbol that is there twice the later row
        rows = list(latest.values())
        for start in range(0, len(rows), MAX_ITEMS):
            symbols, last, bid, ask, iv = zip(*rows[start : start + MAX_ITEMS], strict=True)
            batch = {"symbols": symbols, "last": last, "bid": bid, "ask": ask, "iv": iv}
            self.world.publish(
                "prices", {"type": PRICES_TYPE, "source": SOURCE, "as_of": utc_text(moment), **batch}
            )
            self._batches += 1
        for body in bodies:
            self._account_of(body["account"])
            self.world.publish("fills", body, {"account": body["account"], "broker": body["broker"]})
            self._published += 1
        self._deliver()

    def _sweep(self, moment: datetime) -> None:
        self.world.clock.set(moment)
        self.world.sweep()
        self._sweeps += 1
        self._deliver()

    def _deliver(self) -> None:
        self.world.run()
        states = self.world.app.risk_states
        for name in self._accounts:
            state = states.peek(name)
            if state is not None and state is not self._seen.get(name):
                self._seen[name] = state
                self._note(name, state)

    def _note(self, name: str, state: RiskState) -> None:
        session = date.fromisoformat(state.shown["session"])
        line = self._sessions.setdefault((name, session), SessionPnl(session))
        known = state.shown["pnl_day"]
        line.is_known = known is not None
        if known is not None:
            line.pnl_day, line.known_at = Decimal(known), state.as_of

    def _on_alert(self, message: Outgoing, message_id: str, attempt: int) -> None:
        body = decode_object(message.data)
        if body.get("type", ALERT_TYPE) != ALERT_TYPE:
            return  # a notice or a check: what is told of the alerts, and when
        alert = validate(Alert, body)
        if alert.kind == "sweep_silent":
            return  # it is this replay that leaves out sweeps in which nothing can change
        if alert.alert_id in self._alerts:
            return
        self._alerts[alert.alert_id] = alert
        if alert.kind == "trading_state":
            self._note_state(alert)
        elif self._watcher:
            self._watcher(alert)

    def _note_state(self, alert: Alert) -> None:
        control = self.world.app.trading.read(alert.object)
        change = StateChange(
            alert.raised_at, control.scope, control.state.value, control.epoch, control.actor, control.reason
        )
        self._states.append(change)
        if self._watcher:
            self._watcher(change)

    def _account_of(self, name: str) -> Account:
        """Return the settings behind a name in the fills, opening the account where that is wanted."""
        known = self._wanted.get(name)
        if known is None:
            if self._defaults is None:
                first = next(iter(self._wanted.values()))
                return first.model_copy(update={"account": name})  # not opened: the fills function refuses it
            facts = {**self._defaults.model_dump(mode="json"), "account": name}
            known = self._wanted[name] = validate(Account, facts)
        if self._world is not None and name not in self._accounts:
            self._open(known)
        return known

    def _open(self, account: Account) -> None:
        self.world.app.account_writer.create(account, SOURCE)
        self._accounts[account.account] = account
        self.world.run()

    def _result(self, prices: Sequence[PriceFile], first: datetime | None, last: datetime) -> ReplayResult:
        world = self.world
        refused: Counter[tuple[str, str]] = Counter()
        details: dict[tuple[str, str], str] = {}
        for document in world.store.query("quarantine"):
            key = (document.data["source"], document.data["reason"])
            refused[key] += 1
            details.setdefault(key, document.data["detail"])
        return ReplayResult(
            accounts=[self._account_result(account) for _, account in sorted(self._accounts.items())],
            alerts=list(self._alerts.values()),
            states=self._states,
            conservation=self._conservation(),
            refused=[(key[0], f"{key[1]}: {details[key]}", count) for key, count in sorted(refused.items())],
            faults=[str(fault)[:300] for fault in world.bus.faults],
            started=first,
            ended=last,
            price_rows=sum(file.rows for file in prices),
            unpriced_rows=sum(file.unpriced for file in prices),
            batches=self._batches,
            sweeps=self._sweeps,
        )

    def _conservation(self) -> Conservation:
        store, bus = self.world.store, self.world.bus
        return Conservation(
            published=self._published,
            applied=len(store.query("fills")),
            duplicates=len(store.query("duplicates")),
            quarantined=sum(1 for d in store.query("quarantine") if d.data["source"] == "fills"),
            in_flight=bus.pending("fills") + sum(1 for message, _ in bus.dead if message.topic == "fills"),
            booked=sum(d.data["fills"] for d in store.query("books")),
        )

    def _account_result(self, account: Account) -> AccountResult:
        app, name = self.world.app, account.account
        book, risk = app.books.read(name) or Book(name), app.risk_states.read(name)
        controls = app.trading.read(GLOBAL), app.trading.read(account_scope(name))
        own = account.currency
        for session, currency in book.days:
            if currency == own:
                line = self._sessions.setdefault((name, session), SessionPnl(session))
                day = book.day(session, own)
                line.realised, line.fees = day.realised, day.fees
        status = account_status(account, book, risk, *controls, app.closer.read(name))
        single = not (set(book.totals) - {own})
        sessions = [line for (owner, _), line in sorted(self._sessions.items()) if owner == name]
        for line in sessions:
            if single and line.realised is None:
                line.realised = line.fees = ZERO
        cost = sum((p.cost for p in book.open_positions()), ZERO)
        total = book.total(own)
        return AccountResult(
            account=account,
            status=status,
            sessions=sessions,
            realised=total.realised if single else None,
            fees=total.fees if single else None,
            cash=EXACT.subtract(EXACT.add(account.capital, total.net), cost) if single else None,
        )
