"""The one place where use cases meet adapters. Each use case is imported when it is first needed: bundles start fast.

Trading and closing are wired in `trading.py`, the round of the sweep in `sweep.py`.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from stopline.model.closing import CLOSINGS_TOPIC, REDUCTIONS_TOPIC
from stopline.model.messages import Effect
from stopline.runtime.ports import Ports
from stopline.runtime.quotas import Quotas
from stopline.runtime.refusals import Refusals
from stopline.runtime.trading import TradingParts
from stopline.service.documents.outbox import JOURNAL_TOPIC, Relay

if TYPE_CHECKING:
    from datetime import datetime

    from stopline.model.errors import Rejected
    from stopline.ports import History
    from stopline.runtime.sweep import SweepParts
    from stopline.service.accounts.settings import AccountSettings
    from stopline.service.accounts.writer import AccountWriter
    from stopline.service.alerting.desk import AlertDesk
    from stopline.service.alerting.dispatch_alert import AlertDispatcher
    from stopline.service.audit.journal import Journals
    from stopline.service.evaluation.evaluate import Evaluator
    from stopline.service.exits.desk import ExitDesk
    from stopline.service.fills.quarantine import Quarantine
    from stopline.service.fills.record_fill import FillRecorder
    from stopline.service.fills.settle import Settler
    from stopline.service.fills.statements import StatementRecorder
    from stopline.service.history.factors import FactorReader
    from stopline.service.history.keep_history import HistoryKeeper
    from stopline.service.orders.desk import OrderDesk
    from stopline.service.orders.size_order import OrderSizer
    from stopline.service.prices.mark_prices import Desk, PriceMarker
    from stopline.service.reconciliation.reconcile import Reconciler
    from stopline.service.report.report import Reporter
    from stopline.service.sweep.run_sweep import Sweeper

FOLLOW_EVERY = timedelta(seconds=20)


class App(TradingParts):
    """The use cases of one instance, built over its ports when first asked for."""

    def __init__(self, ports: Ports) -> None:
        local = {
            "controls": self._set_trading_state,
            "notices": self._tell,
            CLOSINGS_TOPIC: self._close,
            REDUCTIONS_TOPIC: self._reduce,
            JOURNAL_TOPIC: self._record,
        }
        super().__init__(ports, Relay(ports.bus, local))
        self.relay.refused = self._refuse
        self.relay.stands = self._follow
        self._followed: dict[tuple[object, ...], datetime] = {}  # stops, and when what they ask for was begun
        self.quotas = Quotas(ports.clock)
        self.refusals = Refusals(ports.clock)

    def _refuse(self, effect: Effect, why: Rejected) -> None:
        self.quarantine.keep_effect(effect, why)

    def _set_trading_state(self, effect: Effect) -> None:
        self.halts.advance(self.trading.carry_out(effect))

    def _follow(self, effect: Effect) -> None:
        """Cancel, and close what a kill closes, though a message of the stop is due; seldom, for it may wait for the bus."""
        now, standing = self.clock.now(), self.trading.standing(str(effect.body["scope"]))
        stop = standing.scope, standing.state, standing.since, standing.flatten
        self._followed = {stop: at for stop, at in [*self._followed.items()] if now - at < FOLLOW_EVERY}
        if stop not in self._followed:
            self._followed[stop] = now
            self.halts.advance(standing)

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
    def quarantine(self) -> Quarantine:
        from stopline.service.fills.quarantine import Quarantine

        return Quarantine(self.store, self.relay, self.clock)

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
    def desk(self) -> Desk:
        from stopline.service.prices.mark_prices import Desk

        return Desk(self.store, self.accounts, self.marks)

    @cached_property
    def factors(self) -> FactorReader:
        from stopline.service.history.factors import FactorReader

        return FactorReader(self.store, self.clock)

    @cached_property
    def history(self) -> History:
        if self.ports.history is None:
            raise RuntimeError("this instance has no history port")
        return self.ports.history

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
        return Evaluator(self.risk_states, exits, self.lifted, self.ended, self.books.read, self._was_valued)

    def _was_valued(self, account: str) -> bool:
        """Tell whether an account has measures: they follow its first valuation, and stay, whatever they say."""
        return self.store.get(self.measured.path(account)) is not None

    @cached_property
    def marker(self) -> PriceMarker:
        from stopline.service.prices.mark_prices import PriceMarker

        return PriceMarker(self.clock, self.desk, self.evaluator, self.factors)

    @cached_property
    def sweep(self) -> SweepParts:
        from stopline.runtime.sweep import SweepParts

        return SweepParts(self)

    @property
    def sweeper(self) -> Sweeper:
        return self.sweep.sweeper

    @cached_property
    def statement_recorder(self) -> StatementRecorder:
        from stopline.service.fills.statements import StatementRecorder, statements_anew

        documents = statements_anew(self.store, self.relay, self.clock)
        return StatementRecorder(self.clock, self.accounts, documents)

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
