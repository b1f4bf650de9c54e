"""The state documents of one instance: each is changed by compare-and-set, and carries its outbox."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from stopline.ports import Clock, Store
from stopline.service.documents.outbox import Relay

if TYPE_CHECKING:
    from stopline.ledger.book import Book
    from stopline.model.closing_state import ClosingState
    from stopline.model.control import Control
    from stopline.model.statement import Statement
    from stopline.service.documents.aggregate import Aggregates
    from stopline.service.evaluation.risk_state import RiskState
    from stopline.service.history.end_session import Ended
    from stopline.service.measuring.measured import Measured
    from stopline.service.reconciliation.reconciliations import Reconciliation


class Documents:
    """Each kind of state document, made when first asked for. docs/architecture.md says who writes which."""

    def __init__(self, store: Store, relay: Relay, clock: Clock) -> None:
        self.store = store
        self.relay = relay
        self.clock = clock

    @cached_property
    def books(self) -> Aggregates[Book]:
        from stopline.service.fills.books import books

        return books(self.store, self.relay, self.clock)

    @cached_property
    def controls(self) -> Aggregates[Control]:
        from stopline.service.trading.control_documents import controls

        return controls(self.store, self.relay, self.clock)

    @cached_property
    def closings(self) -> Aggregates[ClosingState]:
        from stopline.service.closing.closings import closings

        return closings(self.store, self.relay, self.clock)

    @cached_property
    def risk_states(self) -> Aggregates[RiskState]:
        from stopline.service.evaluation.risk_state import risk_states

        return risk_states(self.store, self.relay, self.clock)

    @cached_property
    def ended_sessions(self) -> Aggregates[Ended]:
        from stopline.service.history.end_session import ended_sessions

        return ended_sessions(self.store, self.relay, self.clock)

    @cached_property
    def measured(self) -> Aggregates[Measured]:
        from stopline.service.measuring.measured import measured_states

        return measured_states(self.store, self.relay, self.clock)

    @cached_property
    def statements(self) -> Aggregates[Statement]:
        from stopline.service.fills.statements import statements

        return statements(self.store, self.relay, self.clock)

    @cached_property
    def reconciliations(self) -> Aggregates[Reconciliation]:
        from stopline.service.reconciliation.reconciliations import reconciliations

        return reconciliations(self.store, self.relay, self.clock)
