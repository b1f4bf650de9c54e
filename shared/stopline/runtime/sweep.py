"""The sweep, wired: the round itself, and the parts that nothing but the round asks for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stopline.runtime.app import App
    from stopline.service.audit.verify import AuditVerifier
    from stopline.service.closing.restate_executions import ExecutionRestater
    from stopline.service.fills.while_halted import HaltedFills
    from stopline.service.history.end_session import SessionEnder
    from stopline.service.history.verify import HistoryVerifier
    from stopline.service.measuring.measure_risk import RiskMeasurer
    from stopline.service.sweep.all_is_well import AllIsWell
    from stopline.service.sweep.flush_outboxes import OutboxFlusher
    from stopline.service.sweep.run_sweep import Sweeper
    from stopline.service.sweep.watch_activity import ActivityWatch
    from stopline.service.sweep.watch_health import HealthWatch
    from stopline.service.sweep.watchdog import Watchdog


class SweepParts:
    """What a round of the sweep goes through, built over the app's use cases when first asked for."""

    def __init__(self, app: App) -> None:
        self._app = app

    @cached_property
    def sweeper(self) -> Sweeper:
        from stopline.service.sweep.run_sweep import Sweeper

        app = self._app
        return Sweeper(
            app.store,
            app.ports.bus,
            app.relay,
            self.flusher,
            app.clock,
            app.accounts,
            app.desk,
            app.marker,
            app.halt_closer,
            self.session_ender,
            app.trading,
            self.watchdog,
            app.reconciler,
            self.measurer,
            self.health_watch,
            self.activity_watch,
            self.halted_fills,
            self.all_is_well,
            self.audit_verifier,
            app.ports.beacon,
            app.ports.operator_alerts,
            self._restater(),
            app.set_back,
            app.ports.database,
            self.history_verifier,
        )

    @cached_property
    def flusher(self) -> OutboxFlusher:
        from stopline.service.sweep.flush_outboxes import OutboxFlusher

        app = self._app
        return OutboxFlusher(app.store, app.relay)

    @cached_property
    def watchdog(self) -> Watchdog:
        from stopline.service.sweep.watchdog import Watchdog

        app = self._app
        return Watchdog(app.store, app.ports.bus, app.relay, app.clock, app.risk_states)

    @cached_property
    def health_watch(self) -> HealthWatch:
        from stopline.service.sweep.watch_health import HealthWatch

        app = self._app
        return HealthWatch(
            app.store,
            app.relay,
            app.clock,
            app.accounts,
            app.risk_states,
            app.open_breaks,
            app.lifted,
        )

    @cached_property
    def activity_watch(self) -> ActivityWatch:
        from stopline.service.sweep.watch_activity import ActivityWatch

        app = self._app
        return ActivityWatch(
            app.store, app.relay, app.clock, app.risk_states, app.lifted, app.accounts, app.closer.read
        )

    @cached_property
    def halted_fills(self) -> HaltedFills:
        from stopline.service.fills.while_halted import HaltedFills

        app = self._app
        return HaltedFills(
            app.store, app.clock, app.relay, app.trading.standings, app.closer.read, app.books.read
        )

    @cached_property
    def all_is_well(self) -> AllIsWell:
        from stopline.service.sweep.all_is_well import AllIsWell

        app = self._app
        told = (app.ports.operator, app.ports.operator_alerts)
        return AllIsWell(app.clock, app.risk_states, app.trading, self.watchdog, *told)

    @cached_property
    def session_ender(self) -> SessionEnder:
        from stopline.service.history.end_session import SessionEnder
        from stopline.service.history.factors import FactorBuilder

        app = self._app
        history = app.ports.history
        builder = FactorBuilder(app.store, history, app.clock) if history else None
        return SessionEnder(app.desk, app.ended_sessions, builder, app.factors)

    @cached_property
    def measurer(self) -> RiskMeasurer:
        from stopline.service.measuring.measure_risk import RiskMeasurer

        app = self._app
        return RiskMeasurer(
            app.measured, app.risk_states, app.ended_sessions, app.desk, app.marker, app.factors
        )

    @cached_property
    def history_verifier(self) -> HistoryVerifier | None:
        from stopline.service.history.verify import HistoryVerifier

        app = self._app
        history = app.ports.history
        return HistoryVerifier(app.store, history, app.relay) if history and not app.ports.replayed else None

    @cached_property
    def audit_verifier(self) -> AuditVerifier:
        from stopline.service.audit.verify import AuditVerifier

        app = self._app
        return AuditVerifier(app.store, app.relay)

    def _restater(self) -> ExecutionRestater | None:
        from stopline.service.closing.restate_executions import ExecutionRestater
        from stopline.service.fills.books import FillLog

        app = self._app
        history = app.ports.history
        return ExecutionRestater(history, FillLog(app.store), app.relay, app.clock) if history else None
