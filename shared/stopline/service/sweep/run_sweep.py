"""The scheduled round: flush outboxes, re-evaluate accounts, go on with closings, and show that Stopline
lives.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from stopline.model.errors import Transient
from stopline.model.ids import digest, document_id
from stopline.model.messages import Effect, Sweep, SweepKind
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.times import utc_text
from stopline.ports import Beacon, Bus, Clock, Document, Path, Put, Store
from stopline.rules.alerting.audience import USUAL
from stopline.service.accounts.reader import AccountReader
from stopline.service.alerting.desk import publish_checks
from stopline.service.alerting.undelivered import republish_due
from stopline.service.audit.verify import AuditVerifier
from stopline.service.closing.restate_executions import ExecutionRestater
from stopline.service.closing.unclosed import HaltCloser
from stopline.service.documents.outbox import Relay, outbox_fields
from stopline.service.fills.while_halted import HaltedFills
from stopline.service.history.end_session import SessionEnder
from stopline.service.history.verify import HistoryVerifier
from stopline.service.measuring.measure_risk import RiskMeasurer
from stopline.service.prices.mark_prices import Desk, PriceMarker
from stopline.service.reconciliation.reconcile import Reconciler
from stopline.service.sweep.all_is_well import AllIsWell
from stopline.service.sweep.flush_outboxes import NOBODY, OutboxFlusher, joined
from stopline.service.sweep.heartbeat import HEARTBEAT, last_beat, unwatched_after, unwatched_text
from stopline.service.sweep.lost_states import LostStates, Noted, noted_of
from stopline.service.sweep.watch_activity import ActivityWatch
from stopline.service.sweep.watch_health import HealthWatch
from stopline.service.sweep.watchdog import Watchdog
from stopline.service.trading.controls import TradingStates
from stopline.service.trading.set_back import SetBack

log = logging.getLogger("stopline")


class Sweeper:
    """Runs sweeps. Every step is safe to repeat, so one that comes twice or dies half way does no harm."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        relay: Relay,
        flusher: OutboxFlusher,
        clock: Clock,
        accounts: AccountReader,
        desk: Desk,
        marker: PriceMarker,
        closer: HaltCloser,
        ender: SessionEnder,
        trading: TradingStates,
        watchdog: Watchdog,
        reconciler: Reconciler,
        measurer: RiskMeasurer,
        health: HealthWatch,
        activity: ActivityWatch,
        halted: HaltedFills,
        well: AllIsWell,
        auditor: AuditVerifier,
        beacon: Beacon | None = None,
        duty: OperatorAlerts = USUAL,
        restater: ExecutionRestater | None = None,
        set_back: SetBack | None = None,
        database: str = "",
        verifier: HistoryVerifier | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._relay = relay
        self._flusher = flusher
        self._clock = clock
        self._accounts = accounts
        self._desk = desk
        self._marker = marker
        self._closer = closer
        self._ender = ender
        self._trading = trading
        self._watchdog = watchdog
        self._beacon = beacon
        self._duty = duty
        self._restater = restater
        self._set_back = set_back
        self._lost = LostStates(store, set_back)
        self._database = database
        self._verifier = verifier
        self._reconciler = reconciler
        self._measurer = measurer
        self._health = health
        self._activity = activity
        self._halted = halted
        self._well = well
        self._auditor = auditor

    def run(self, sweep: Sweep, scheduled_at: datetime, message_id: str) -> None:
        """Run one sweep. Raises Transient when a part could not be done: the rest was done, the whole comes
        again.
        """
        now = self._clock.now()
        if sweep.kind is SweepKind.ACCOUNT:
            if sweep.account:
                self._account(sweep.account, now, digest("after", message_id), sweep.fills)
            return
        if sweep.account:  # a statement of it came
            compared = self._reconciler.run(sweep, ())
            self._closer.advance(sweep.account)  # the statement may prove or deny what was closed
            self._raise(list(compared.values()))
            return
        faults: list[str | None] = []
        parts: list[str | None] = []  # without which the round is whole, and is done again for them
        beat = self._store.get(HEARTBEAT)
        if self._set_back:
            hold = self._set_back.hold_where_copied
            faults.append(_tried("set back", lambda: hold(beat, self._database)))
        noted = noted_of(beat)
        lost = _tried_each("trading states", lambda: self._lost.take_up(noted))  # before anything changes one
        failed = self._flusher.flush(now)  # by account; of none: the round's own
        parts.append(failed.pop(NOBODY, None))
        evaluated = self._evaluate_all(now, digest("sweep", sweep.kind.value, utc_text(scheduled_at)))
        failed = joined(joined(failed, evaluated), lost)
        if sweep.kind in (SweepKind.SESSION_CLOSE, SweepKind.END_OF_DAY):
            faults.append(_tried("session", lambda: self._ender.close(now)))
        if sweep.kind is SweepKind.END_OF_DAY:
            parts.append(_tried("factors", self._ender.build_factors))
            parts.append(_tried("audit", lambda: self._auditor.verify(now)))
        known = self._desk.accounts.values()
        failed = joined(failed, _tried_each("reconciliation", lambda: self._reconciler.run(sweep, known)))
        untold: dict[str, str] = {}
        faults.append(_tried("alerts", lambda: self._republish(untold)))
        parts.append(untold.pop("", None))
        failed = joined(failed, untold)
        faults.append(failed.pop("", None))
        unwatched = unwatched_after(beat, failed)
        faults.append(self._look(sweep, now, beat, unwatched))
        faults.append(_tried("checks", lambda: publish_checks(self._store, self._bus, self._clock)))
        problems = [f"{name}: {problem}" for name, problem in failed.items()]
        if any(faults):
            self._raise([*problems, *faults, *parts])
        parts.append(_tried("trading states", lambda: self._lost.note(noted)))
        parts.append(self._beat(sweep, now, unwatched, noted))
        if sweep.kind is SweepKind.END_OF_DAY and self._restater:
            parts.append(_tried("executions", self._restater.restate))
        if sweep.kind is SweepKind.END_OF_DAY and self._verifier:
            verify = self._verifier.verify
            parts.append(_tried("history", lambda: verify(now)))
        self._raise([*problems, *parts])
        if self._beacon and sweep.kind is SweepKind.RISK:
            self._beacon.beat(ok=True)

    def _republish(self, failed: dict[str, str]) -> None:
        republish_due(self._store, self._bus, self._clock, self._accounts, duty=self._duty, failed=failed)

    def _raise(self, faults: Sequence[str | None]) -> None:
        """Fail where a part of the round has failed, and show it outside."""
        problems = [fault for fault in faults if fault]
        if problems:
            if self._beacon:
                self._beacon.beat(ok=False)
            raise Transient("; ".join(problems)[:1000])

    def _look(
        self, sweep: Sweep, now: datetime, beat: Document | None, unwatched: Mapping[str, datetime]
    ) -> str | None:
        """Look for what is silent."""
        if sweep.kind is not SweepKind.RISK:
            return None

        def look() -> None:
            self._watchdog.sweep_is_back(last_beat(beat), now)
            self._watchdog.look(self._desk, now, unwatched)

        return _tried("watchdog", look)

    def _account(self, name: str, now: datetime, cause: str, fills: Sequence[str]) -> None:
        """Look at an account of which fills or a report came, or whose stop was left over: that waits for no book. One whose
        book is valued already was looked at.
        """
        if not fills:
            _tried("stop", lambda: self._closer.advance(name))
        try:
            self._desk.refresh()
            self._marker.value_new(name, now, cause)
        finally:  # a halt is carried through, whatever keeps the account from being valued
            self._closer.advance(name)
        self._halted.look(name, fills)

    def _evaluate_all(self, now: datetime, cause: str) -> dict[str, str]:
        unread = _tried("books", self._desk.refresh)
        failed = joined(_tried_each("trading states", self._trading.lapse_due), self._desk.unreadable)
        failed = joined(failed, {"": unread} if unread else {})
        # whoever holds something is here, whether deleted or not to be read
        for name in sorted({*self._desk.accounts, *self._desk.books, *self._trading.stopped_accounts()}):
            at = self._clock.now()  # a price that was fresh when the round began may be old by now
            try:
                try:
                    if name in self._desk.accounts and not unread:
                        self._marker.evaluate({name}, at, cause, force=True)
                finally:
                    self._closer.advance(name)
                if name in self._desk.accounts and not unread:
                    self._measurer.measure(name, at, cause)
            except Transient as problem:  # one account's trouble must not keep the others from being watched
                failed[name] = str(problem)
            except Exception as problem:
                log.exception("sweep: an account cannot be evaluated", extra={"account": name})
                failed[name] = f"{type(problem).__name__}: {problem}"
        if unread:
            return failed
        accounts, books = self._desk.accounts, self._desk.books
        health = _tried_each("health", lambda: self._health.check(accounts, books, now, cause))
        activity = _tried_each("activity", lambda: self._activity.check(self._desk, now, cause))
        return joined(joined(failed, health), activity)

    def _beat(
        self, sweep: Sweep, now: datetime, unwatched: Mapping[str, datetime], noted: Noted
    ) -> str | None:
        """Record that the sweep got to its end; at the end of the day tell people so, or return why that cannot be worded.
        What is for accounts goes out first, and again under the same ids if the round dies here: however many there are,
        one document must hold the rest.
        """
        effects: tuple[Effect, ...] = ()
        told: list[Effect] = []
        problem = None
        if sweep.kind is SweepKind.END_OF_DAY:
            problem = _tried("all is well", lambda: told.extend(self._well.effects(self._desk, unwatched)))
            effects = tuple(effect for effect in told if not effect.account)
            self._relay.publish([effect for effect in told if effect.account])
        data = {
            "kind": sweep.kind.value,
            "at": now,
            "accounts": len(self._desk.accounts),
            "unwatched": unwatched_text(unwatched),
            "database": self._database,
            **noted.fields,
            **outbox_fields(effects, now),
        }
        path = (
            HEARTBEAT if sweep.kind is SweepKind.RISK else Path("heartbeats", document_id(sweep.kind.value))
        )
        beat = last_beat(self._store.get(path))
        if beat is None or not now < beat <= self._clock.now():  # else a later round has overtaken this one
            self._store.commit([Put(path, data)])
        self._relay.publish(effects)
        return problem


def _tried(part: str, work: Callable[[], object]) -> str | None:
    """Do a part of the round that must cost no other one, whatever it raises; return what went wrong, or None."""
    try:
        work()
    except Transient as problem:
        return f"{part}: {problem}"
    except Exception as problem:
        log.exception("sweep: a part of the round cannot be done", extra={"part": part})
        return f"{part}: {type(problem).__name__}: {problem}"
    return None


def _tried_each(part: str, work: Callable[[], Mapping[str, str]]) -> dict[str, str]:
    """Do a part of the round that says by account what it could not do. What it raises is the round's own fault."""
    failed: dict[str, str] = {}
    problem = _tried(part, lambda: failed.update(work()))
    return joined(failed, {"": problem}) if problem else failed
