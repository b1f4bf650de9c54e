"""The one place where use cases meet adapters. Each use case is imported when it is first needed: bundles start fast."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

from stopline.model.closing import CLOSINGS_TOPIC, REDUCTIONS_TOPIC
from stopline.model.control import account_scope
from stopline.model.messages import Effect
from stopline.model.settings.operator import OperatorAlerts
from stopline.model.settings.recipients import Recipients
from stopline.ports import Beacon, Bus, Channel, Clock, Each, History, Store, in_turn
from stopline.runtime.documents import Documents
from stopline.runtime.quotas import Quotas
from stopline.runtime.refusals import Refusals
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.outbox import JOURNAL_TOPIC, Relay
from stopline.service.fills.quarantine import Quarantine

if TYPE_CHECKING:
    from datetime import datetime

    from stopline.ledger.book import Book
    from stopline.ledger.position import Position
    from stopline.model.account import Account
    from stopline.model.closing_state import ClosingState
    from stopline.model.scopes import Scope
    from stopline.rules.alerting.ack_links import AckLinks
    from stopline.rules.closing.order import Resting
    from stopline.rules.limits.stops import Stop
    from stopline.rules.trading.breakers import Tripped
    from stopline.service.accounts.settings import AccountSettings
    from stopline.service.accounts.writer import AccountWriter
    from stopline.service.alerting.desk import AlertDesk
    from stopline.service.alerting.dispatch_alert import AlertDispatcher
    from stopline.service.audit.journal import Journals
    from stopline.service.audit.verify import AuditVerifier
    from stopline.service.closing.close_book import Closer
    from stopline.service.closing.reduce import Reducer
    from stopline.service.closing.restate_executions import ExecutionRestater
    from stopline.service.closing.unclosed import HaltCloser
    from stopline.service.closing.working_orders import WorkingOrders
    from stopline.service.evaluation.evaluate import Evaluator
    from stopline.service.exits.desk import ExitDesk
    from stopline.service.fills.record_fill import FillRecorder
    from stopline.service.fills.settle import Settler
    from stopline.service.fills.statements import StatementRecorder
    from stopline.service.fills.while_halted import HaltedFills
    from stopline.service.history.end_session import SessionEnder
    from stopline.service.history.factors import FactorReader
    from stopline.service.history.keep_history import HistoryKeeper
    from stopline.service.history.verify import HistoryVerifier
    from stopline.service.measuring.measure_risk import RiskMeasurer
    from stopline.service.orders.desk import OrderDesk
    from stopline.service.orders.size_order import OrderSizer
    from stopline.service.prices.mark_prices import Desk, PriceMarker
    from stopline.service.prices.marks import MarkTable
    from stopline.service.reconciliation.reconcile import Reconciler
    from stopline.service.reconciliation.reconciliations import Reconciliation
    from stopline.service.report.report import Reporter
    from stopline.service.sweep.all_is_well import AllIsWell
    from stopline.service.sweep.flush_outboxes import OutboxFlusher
    from stopline.service.sweep.run_sweep import Sweeper
    from stopline.service.sweep.watch_activity import ActivityWatch
    from stopline.service.sweep.watch_health import HealthWatch
    from stopline.service.sweep.watchdog import Watchdog
    from stopline.service.trading.cancel_orders import OrderCanceller
    from stopline.service.trading.carry_halt import HaltCarrier
    from stopline.service.trading.controls import TradingStates
    from stopline.service.trading.leases import Leases
    from stopline.service.trading.set_back import SetBack


@dataclass(frozen=True)
class Ports:
    """The world of one instance. `operator` is told what belongs to no account, as `operator_alerts` says;
    `broker_secrets` are what brokers sign their messages with, by dialect. `resume_people`: how many must agree to resume
    the whole, and what a drawdown stopped.
    """

    store: Store
    bus: Bus
    clock: Clock
    history: History | None = None
    channels: Mapping[str, Channel] = field(default_factory=dict)
    operator: Recipients = field(default_factory=Recipients)
    operator_alerts: OperatorAlerts = field(default_factory=OperatorAlerts)
    broker_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    links: AckLinks | None = None  # to acknowledge alerts by
    beacon: Beacon | None = None  # the heartbeat that leaves the cloud
    resume_people: int = 2
    subscriptions: str = ""  # how the names of our push subscriptions begin; empty: any is taken
    database: str = ""  # its name, to know a restored one by; empty: not known
    each: Each = in_turn  # how a kill goes through many accounts
    replayed: bool = False  # the clock tells a day that is played again, and not Pub/Sub's time


class App(Documents):
    """The use cases of one instance, built over its ports when first asked for."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        local = {
            "controls": self._set_trading_state,
            "notices": self._tell,
            CLOSINGS_TOPIC: self._close,
            REDUCTIONS_TOPIC: self._reduce,
            JOURNAL_TOPIC: self._record,
        }
        super().__init__(ports.store, Relay(ports.bus, local), ports.clock)
        self.accounts = AccountReader(ports.store, ports.clock)
        self.quarantine = Quarantine(ports.store, self.relay, ports.clock)
        self.relay.refused = self.quarantine.keep_effect
        self.quotas = Quotas(ports.clock)
        self.refusals = Refusals(ports.clock)

    def _set_trading_state(self, effect: Effect) -> None:
        self.halts.advance(self.trading.carry_out(effect))

    def _reconciliation(self, account: str) -> Reconciliation | None:
        return self.reconciliations.read(account)

    def _close(self, effect: Effect) -> None:
        self.closer.carry_out(effect)

    def _record(self, effect: Effect) -> None:
        self.journals.carry_out(effect)

    def _reduce(self, effect: Effect) -> None:
        self.reducer.carry_out(effect)

    def _tell(self, effect: Effect) -> None:
        """Deliver a notice here where there are channels; else have the function deliver it that has them."""
        from stopline.service.alerting.desk import notice_message, notice_of

        if self.ports.channels:
            self.dispatcher.deliver(notice_of(effect))
        else:
            self.ports.bus.publish([notice_message(effect)])

    @cached_property
    def journals(self) -> Journals:
        from stopline.service.audit.journal import Journals

        return Journals(self.store, self.relay, self.clock)

    @cached_property
    def account_writer(self) -> AccountWriter:
        from stopline.service.accounts.writer import AccountWriter

        return AccountWriter(self.store, self.relay, self.clock)

    @cached_property
    def account_settings(self) -> AccountSettings:
        from stopline.service.accounts.approvals import Approvals
        from stopline.service.accounts.settings import AccountSettings

        approvals = Approvals(self.store, self.clock)
        return AccountSettings(self.accounts, self.account_writer, approvals, self.ports.resume_people)

    @cached_property
    def exit_desk(self) -> ExitDesk:
        from stopline.service.exits.desk import ExitDesk

        return ExitDesk(self.accounts, self.account_writer, self.books, self.risk_states, self.clock)

    @cached_property
    def order_desk(self) -> OrderDesk:
        from stopline.service.orders.desk import OrderDesk

        return OrderDesk(
            self.store,
            self.clock,
            self.accounts,
            self.books,
            self.risk_states,
            self.desk.marks,
            self.trading,
            self.factors,
            self.reconciliations,
            self.working_orders,
        )

    @cached_property
    def order_sizer(self) -> OrderSizer:
        from stopline.service.orders.size_order import OrderSizer

        return OrderSizer(self.order_desk)

    @cached_property
    def recorder(self) -> FillRecorder:
        from stopline.service.fills.record_fill import FillRecorder
        from stopline.service.history.last_spots import LastSpots

        return FillRecorder(self.store, self.clock, self.accounts, self.books, LastSpots(self.store).of)

    @cached_property
    def trading(self) -> TradingStates:
        from stopline.service.trading.controls import TradingStates

        people = self.ports.resume_people
        return TradingStates(
            self.store,
            self.controls,
            self.clock,
            self.accounts,
            self._doubts,
            people,
            self._unheld,
        )

    def _unheld(self, scope: Scope) -> str:
        from stopline.ledger.book import Book
        from stopline.rules.closing.halts import nothing_held

        return nothing_held(scope, self.books.read(scope.account) or Book(scope.account))

    def _open_breaks(self, account: str) -> list[str]:
        state = self.reconciliations.read(account)
        return [f"{symbol}: {why}" for symbol, why in state.blocked.items()] if state else []

    def _lifted(self, account: str, tripped: Mapping[str, Tripped]) -> Collection[str]:
        from stopline.service.trading.breaker_effects import lifted_of

        return lifted_of(self.trading.read(account_scope(account)), tripped) if tripped else ()

    def _ended(self, account: str, stops: Mapping[str, Stop]) -> Collection[str]:
        from stopline.service.trading.limit_effects import ended_of

        return ended_of(self.trading.read(account_scope(account)), account, stops) if stops else ()

    def _doubts(self, scope: Scope) -> list[str]:
        from stopline.service.trading.resume_checks import ResumeChecks

        checks = ResumeChecks(
            self.store,
            self.clock,
            self.accounts,
            self.books,
            self.controls,
            self.marks,
            self.closings,
            self._open_breaks,
        )
        return checks.doubts(scope)

    @cached_property
    def closer(self) -> Closer:
        from stopline.service.closing.close_book import Closer
        from stopline.service.fills.books import FillLog

        return Closer(
            self.closings,
            self.controls,
            self.books,
            self.accounts,
            self.marks,
            FillLog(self.store),
            self.clock,
            partial(self.canceller.advance, just_read=True),
            self._reconciliation,
            self._resting,
        )

    @cached_property
    def halt_closer(self) -> HaltCloser:
        from stopline.service.closing.unclosed import HaltCloser

        return HaltCloser(self.store, self.relay, self.clock, self.closer, self.controls)

    def _resting(
        self, position: Position, account: Account, book: Book, closing: ClosingState, now: datetime
    ) -> Resting | None:
        return self.working_orders.against(position, account, book, closing, now)  # built when it is needed

    @cached_property
    def working_orders(self) -> WorkingOrders:
        from stopline.service.closing.working_orders import WorkingOrders
        from stopline.service.fills.books import FillLog

        return WorkingOrders(self.statements, self.closings, FillLog(self.store))

    @cached_property
    def reducer(self) -> Reducer:
        from stopline.service.closing.reduce import Reducer

        return Reducer(self.accounts, self.books, self.marks, self.closer, self.relay, self.clock)

    @cached_property
    def marks(self) -> MarkTable:
        from stopline.service.prices.marks import MarkTable

        return MarkTable(self.store, self.relay, self.clock)

    @cached_property
    def canceller(self) -> OrderCanceller:
        from stopline.service.trading.cancel_orders import OrderCanceller

        return OrderCanceller(self.controls, self.relay, self.clock)

    @cached_property
    def halts(self) -> HaltCarrier:
        from stopline.service.trading.carry_halt import HaltCarrier

        parts = self.accounts, self.canceller, self.halt_closer
        return HaltCarrier(self.ports.bus, self.clock, *parts, self.ports.each)

    @cached_property
    def leases(self) -> Leases:
        from stopline.service.trading.leases import Leases

        return Leases(self.store, self.clock, self.controls, self.ports.database)

    @cached_property
    def set_back(self) -> SetBack:
        from stopline.service.trading.set_back import SetBack

        return SetBack(self.store, self.controls, self.trading)

    @cached_property
    def health_watch(self) -> HealthWatch:
        from stopline.service.sweep.watch_health import HealthWatch

        return HealthWatch(
            self.store,
            self.relay,
            self.clock,
            self.accounts,
            self.risk_states,
            self._open_breaks,
            self._lifted,
        )

    @cached_property
    def activity_watch(self) -> ActivityWatch:
        from stopline.service.sweep.watch_activity import ActivityWatch

        return ActivityWatch(
            self.store, self.relay, self.clock, self.risk_states, self._lifted, self.accounts
        )

    @cached_property
    def desk(self) -> Desk:
        from stopline.service.prices.mark_prices import Desk

        return Desk(self.store, self.accounts, self.marks)

    @cached_property
    def factors(self) -> FactorReader:
        from stopline.service.history.factors import FactorReader

        return FactorReader(self.store, self.clock)

    @cached_property
    def session_ender(self) -> SessionEnder:
        from stopline.service.history.end_session import SessionEnder
        from stopline.service.history.factors import FactorBuilder

        history = self.ports.history
        builder = FactorBuilder(self.store, history, self.clock) if history else None
        return SessionEnder(self.desk, self.ended_sessions, builder, self.factors)

    @cached_property
    def history(self) -> History:
        if self.ports.history is None:
            raise RuntimeError("this instance has no history port")
        return self.ports.history

    @cached_property
    def measurer(self) -> RiskMeasurer:
        from stopline.service.measuring.measure_risk import RiskMeasurer

        return RiskMeasurer(
            self.measured, self.risk_states, self.ended_sessions, self.desk, self.marker, self.factors
        )

    @cached_property
    def reporter(self) -> Reporter:
        from stopline.service.report.report import Reporter

        return Reporter(
            self.store,
            self.clock,
            self.desk,
            self.marker,
            self.risk_states,
            self.measured,
            self.ports.history,
            self.factors,
        )

    @cached_property
    def evaluator(self) -> Evaluator:
        from stopline.service.evaluation.evaluate import Evaluator
        from stopline.service.exits.watch_exits import ExitWatcher

        exits = ExitWatcher(self.trading.standing, self.closer.read)
        return Evaluator(self.risk_states, exits, self._lifted, self._ended, self.books.read)

    @cached_property
    def marker(self) -> PriceMarker:
        from stopline.service.prices.mark_prices import PriceMarker

        return PriceMarker(self.clock, self.desk, self.evaluator, self.factors)

    @cached_property
    def watchdog(self) -> Watchdog:
        from stopline.service.sweep.watchdog import Watchdog

        return Watchdog(self.store, self.ports.bus, self.relay, self.clock, self.risk_states)

    @cached_property
    def flusher(self) -> OutboxFlusher:
        from stopline.service.sweep.flush_outboxes import OutboxFlusher

        return OutboxFlusher(self.store, self.relay)

    @cached_property
    def sweeper(self) -> Sweeper:
        from stopline.service.sweep.run_sweep import Sweeper

        return Sweeper(
            self.store,
            self.ports.bus,
            self.relay,
            self.flusher,
            self.clock,
            self.accounts,
            self.desk,
            self.marker,
            self.halt_closer,
            self.session_ender,
            self.trading,
            self.watchdog,
            self.reconciler,
            self.measurer,
            self.health_watch,
            self.activity_watch,
            self.halted_fills,
            self.all_is_well,
            self.audit_verifier,
            self.ports.beacon,
            self.ports.operator_alerts,
            self._restater(),
            self.set_back,
            self.ports.database,
            self.history_verifier,
        )

    @cached_property
    def history_verifier(self) -> HistoryVerifier | None:
        from stopline.service.history.verify import HistoryVerifier

        history = self.ports.history
        return (
            HistoryVerifier(self.store, history, self.relay) if history and not self.ports.replayed else None
        )

    def _restater(self) -> ExecutionRestater | None:
        from stopline.service.closing.restate_executions import ExecutionRestater
        from stopline.service.fills.books import FillLog

        history = self.ports.history
        return ExecutionRestater(history, FillLog(self.store), self.relay, self.clock) if history else None

    @cached_property
    def audit_verifier(self) -> AuditVerifier:
        from stopline.service.audit.verify import AuditVerifier

        return AuditVerifier(self.store, self.relay)

    @cached_property
    def halted_fills(self) -> HaltedFills:
        from stopline.service.fills.while_halted import HaltedFills

        return HaltedFills(
            self.store, self.clock, self.relay, self.trading.standings, self.closer.read, self.books.read
        )

    @cached_property
    def all_is_well(self) -> AllIsWell:
        from stopline.service.sweep.all_is_well import AllIsWell

        told = (self.ports.operator, self.ports.operator_alerts)
        return AllIsWell(self.clock, self.risk_states, self.trading, self.watchdog, *told)

    @cached_property
    def statement_recorder(self) -> StatementRecorder:
        from stopline.service.fills.statements import StatementRecorder

        return StatementRecorder(self.clock, self.accounts, self.statements)

    @cached_property
    def reconciler(self) -> Reconciler:
        from stopline.service.reconciliation.reconcile import Reconciler

        def told(account: str) -> dict[str, datetime]:
            live = self.alert_desk.read(account).live()
            open_ = (s for s in live if s.alert.kind == "position_break" and s.ending is None)
            return {s.alert.object: s.since for s in open_}

        return Reconciler(
            self.store, self.clock, self.accounts, self.books, self.statements, self.reconciliations, told
        )

    @cached_property
    def settler(self) -> Settler:
        from stopline.service.fills.settle import Settler

        return Settler(self.store, self.accounts, self.books, self.ports.bus, self.relay, self.clock)

    @cached_property
    def dispatcher(self) -> AlertDispatcher:
        from stopline.service.alerting.dispatch_alert import AlertDispatcher

        return AlertDispatcher(
            self.store,
            self.clock,
            self.ports.channels,
            self.ports.operator,
            self.relay,
            self.accounts,
            duty=self.ports.operator_alerts,
            links=self.ports.links,
            failing=self.alert_desk.failing,
        )

    @cached_property
    def alert_desk(self) -> AlertDesk:
        from stopline.service.alerting.desk import AlertDesk, incidents
        from stopline.service.audit.acts import person_behind

        documents = incidents(self.store, self.relay, self.clock)
        return AlertDesk(
            self.store,
            self.clock,
            documents,
            self.accounts,
            self.ports.operator,
            lambda alert: person_behind(alert, self.trading.standing),
            self.ports.operator_alerts,
        )

    @cached_property
    def history_keeper(self) -> HistoryKeeper:
        from stopline.service.history.keep_history import HistoryKeeper

        return HistoryKeeper(self.history, self.quarantine, self.clock)
