"""What stops trading and closes, wired: the kill switch needs this, and loads little else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING

from stopline.model.control import account_scope
from stopline.runtime.documents import Documents
from stopline.runtime.ports import Ports
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.outbox import Relay

if TYPE_CHECKING:
    from datetime import datetime

    from stopline.ledger.book import Book
    from stopline.ledger.position import Position
    from stopline.model.account import Account
    from stopline.model.closing_state import ClosingState
    from stopline.model.scopes import Scope
    from stopline.rules.closing.order import Resting
    from stopline.rules.closing.still_working import Lists
    from stopline.rules.limits.stops import Stop
    from stopline.rules.trading.breakers import Tripped
    from stopline.service.closing.close_book import Closer
    from stopline.service.closing.reduce import Reducer
    from stopline.service.closing.unclosed import HaltCloser
    from stopline.service.closing.working_orders import WorkingOrders
    from stopline.service.prices.marks import MarkTable
    from stopline.service.trading.cancel_orders import OrderCanceller
    from stopline.service.trading.carry_halt import HaltCarrier
    from stopline.service.trading.controls import TradingStates
    from stopline.service.trading.leases import Leases
    from stopline.service.trading.set_back import SetBack
    from stopline.service.trading.watch_cancels import CancelWatcher


class TradingParts(Documents):
    """The trading state, how it is carried out, and the closings that follow from it; each made when first asked for."""

    def __init__(self, ports: Ports, relay: Relay) -> None:
        super().__init__(ports.store, relay, ports.clock)
        self.ports = ports
        self.accounts = AccountReader(ports.store, ports.clock)

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

    def open_breaks(self, account: str) -> list[str]:
        """Return what the last reconciliation left blocked, each with its reason."""
        state = self.reconciliations.read(account)
        return [f"{symbol}: {why}" for symbol, why in state.blocked.items()] if state else []

    def lifted(self, account: str, tripped: Mapping[str, Tripped]) -> Mapping[str, str]:
        """Return which stops of breakers were carried out and hold no more: see `lifted_of`."""
        from stopline.service.trading.breaker_effects import lifted_of

        return lifted_of(self.trading.read(account_scope(account)), tripped) if tripped else {}

    def ended(self, account: str, stops: Mapping[str, Stop]) -> Collection[str]:
        """Return which stops of limits were carried out and hold no more."""
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
            self.reconciliations,
            self._listed,
            self.ports.looks,
        )
        return checks.doubts(scope)

    @cached_property
    def closer(self) -> Closer:
        from stopline.service.closing.close_book import Closer
        from stopline.service.closing.stated import StatementCheck
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
            self.cancel_watcher.look,
            self._resting,
            StatementCheck(self.reconciliations.read, self._listed).of,
            self.cancel_watcher.refused,
        )

    @cached_property
    def halt_closer(self) -> HaltCloser:
        from stopline.service.closing.unclosed import HaltCloser

        return HaltCloser(self.store, self.relay, self.clock, self.closer, self.controls)

    def _resting(
        self, position: Position, account: Account, book: Book, closing: ClosingState, now: datetime
    ) -> Resting | None:
        return self.working_orders.against(position, account, book, closing, now)  # built when it is needed

    def _listed(
        self, name: str, account: Account | None, book: Book, closing: ClosingState | None, since: datetime
    ) -> Lists:
        return self.working_orders.listed(name, account, book, closing, since)

    @cached_property
    def cancel_watcher(self) -> CancelWatcher:
        from stopline.service.trading.watch_cancels import CancelWatcher, cancels

        documents = cancels(self.store, self.relay, self.clock)
        return CancelWatcher(documents, self.controls, self.relay, self.clock, self._uncancelled)

    def _uncancelled(self, name: str) -> Lists:
        from stopline.ledger.book import Book
        from stopline.rules.closing.halts import oldest_halt
        from stopline.service.trading.control_documents import both_to_stop

        since = oldest_halt(*both_to_stop(self.controls, name))
        book, closing = self.books.read(name) or Book(name), self.closings.read(name)
        return self._listed(name, self.closer.settings(name), book, closing, since)

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
