"""A broker on paper: executes orders, and Stopline's close commands, against the latest prices.

It does what a broker adapter of yours has to do: it holds commands back by epoch, expiry and position, asks
for the trading state before anything that adds risk, halts at once when a kill could not be stored, and reports each
execution under an id that follows from the order's, and what became of each command. It is logic only;
`emulators/broker_link.py` connects it to the topic `orders`.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

from emulators.paper_market import FEES, PaperMarket
from emulators.paper_orders import Due, Misbehaviour, Order, Report, Status, Ticket
from stopline.model.control import TradingState
from stopline.model.decimals import EXACT, ZERO
from stopline.model.errors import Rejected
from stopline.model.fill import DEFAULT_STRATEGY, Fill, Side
from stopline.model.instrument import Kind
from stopline.model.messages import HALT_TYPE, Command, CommandAction, ExecutionReport, Halt, ReportStatus
from stopline.model.prices import Quote
from stopline.model.scopes import Scope, parse_scope
from stopline.model.wire import decode_object, validate
from stopline.model.working import Working, adding

TradingStateOf = Callable[[str, str, str], TradingState]
"""The trading state that holds for an account, strategy and underlying; whatever it raises means that it cannot be read."""


@dataclass
class PaperBroker:
    """One broker with any number of accounts. Safe to call from several threads."""

    trading_state: TradingStateOf
    name: str = "paper"
    fees: Mapping[Kind, Decimal] = field(default_factory=lambda: FEES)
    misbehaviour: Misbehaviour = field(default_factory=Misbehaviour)
    published: int = 0  # fills handed to the topic, each time counted
    unreadable: list[str] = field(default_factory=list)  # why a message on `orders` was nothing of Stopline's
    halts: set[Scope] = field(default_factory=set)  # kills that were not stored when they came

    def __post_init__(self) -> None:
        self._market = PaperMarket()
        self._positions: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        self._epochs: dict[str, int] = {}
        self._reports: dict[str, Report] = {}
        self._working: dict[str, Ticket] = {}
        self._outbox: deque[Due] = deque()
        self._commands: dict[str, Command] = {}
        self.told: deque[ExecutionReport] = deque()  # reports on commands, to publish
        self._lock = threading.RLock()

    def position(self, account: str, strategy: str, symbol: str) -> Decimal:
        """Return what this broker has executed for a strategy: negative is short."""
        return self._positions[account, strategy, symbol]

    def report(self, id_: str) -> Report | None:
        """Return what became of an order or command; None when it was never seen."""
        return self._reports.get(id_)

    # --- what comes in ---

    def price(self, quotes: Mapping[str, Quote], now: datetime) -> list[Report]:
        """Take new prices, and try what is working; return the reports of what moved."""
        with self._lock:
            self._market.quotes.update(quotes)
            moved = []
            for ticket in list(self._working.values()):
                before = self._reports[ticket.id]
                after = self._try(ticket, now)
                if after != before:
                    moved.append(after)
                    self._tell(after, now)
            return moved

    def order(self, order: Order, now: datetime) -> Report:
        """Execute a trader's order, or let it wait for its limit. The same id again changes nothing."""
        with self._lock:
            if order.order_id in self._reports:
                return replace(self._reports[order.order_id], status=Status.DUPLICATE)
            if order.quantity <= 0:
                return self._note(order.order_id, Status.REFUSED, "the quantity must be above 0")
            if self._rejects():
                return self._note(order.order_id, Status.REFUSED, "the broker does not take it")
            ticket = Ticket(
                order.order_id,
                order.account,
                order.strategy,
                order.instrument,
                order.side,
                order.quantity,
                order.limit,
                order.group_id,
            )
            if order.limit is None and self._market.price(ticket) is None:
                return self._note(ticket.id, Status.REFUSED, f"no price for {order.instrument.symbol}")
            return self._try(ticket, now)

    def command(self, command: Command, now: datetime) -> Report:
        """Carry out a command of Stopline. The same id again changes nothing."""
        with self._lock:
            if command.command_id in self._reports:
                return replace(self._reports[command.command_id], status=Status.DUPLICATE)
            seen = self._epochs.get(command.account, -1)
            if command.epoch < seen:
                reason = f"epoch {command.epoch} is over, {seen} holds"
                return self._note(command.command_id, Status.DROPPED, reason)
            self._epochs[command.account] = command.epoch
            if command.action is not CommandAction.CLOSE:
                adds = self._adding() if command.action is CommandAction.CANCEL_ADDING else self._working
                return self._cancel(
                    command.command_id, lambda ticket: ticket.is_meant_by(command) and ticket.id in adds, now
                )
            self._commands[command.command_id] = command
            report = self._carry_out(command, now)
            self._tell(report, now)
            return report

    def _carry_out(self, command: Command, now: datetime) -> Report:
        if now >= command.expires_at and not self.misbehaviour.overdue:
            return self._note(command.command_id, Status.DROPPED, "it has expired")
        if self._rejects():
            return self._note(command.command_id, Status.REFUSED, "the broker does not take it")
        return self._close_as_one(command, now) if command.legs else self._close(command, now)

    def halt(self, halt: Halt, now: datetime) -> Report:
        """Halt a scope at once and cancel what works there, until the trading state shows it HALTED."""
        with self._lock:
            scope = parse_scope(halt.scope)
            if scope is None:
                raise Rejected("UNKNOWN_SCOPE", f"{halt.scope} is no scope")
            if halt.halt_id in self._reports:
                return replace(self._reports[halt.halt_id], status=Status.DUPLICATE)
            self.halts.add(scope)
            return self._cancel(halt.halt_id, lambda ticket: ticket.is_in(scope), now)

    def message(self, data: bytes, now: datetime) -> Report | None:
        """Carry out a message of the topic `orders`; None where it cannot be read: see `unreadable`."""
        try:
            value = decode_object(data)
            if value.get("type") == HALT_TYPE:
                return self.halt(validate(Halt, value), now)
            return self.command(validate(Command, value), now)
        except Rejected as refused:
            self.unreadable.append(str(refused))
            return None

    # --- what goes out ---

    def flush(self, now: datetime, publish: Callable[[Fill], object]) -> int:
        """Publish the fills that are due, in order; return how many. One whose publishing fails stays due."""
        count = 0
        with self._lock:
            while self._outbox and self._outbox[0].release_at <= now:
                publish(self._outbox[0].fill)
                self._outbox.popleft()
                self.published += 1
                count += 1
        return count

    def _tell(self, report: Report, now: datetime) -> None:
        """Note what became of a command, to be published."""
        command = self._commands.get(report.id)
        if command is None or self.misbehaviour.silent:
            return
        filled = sum((f.quantity for f in report.fills), ZERO)
        if command.legs:
            filled = (command.quantity or ZERO) if report.status is Status.FILLED else ZERO
        statuses = {
            Status.FILLED: ReportStatus.FILLED,
            Status.WORKING: ReportStatus.PARTIAL if filled else ReportStatus.ACCEPTED,
            Status.CANCELLED: ReportStatus.CANCELLED,
        }
        status = statuses.get(report.status, ReportStatus.EXPIRED if filled else ReportStatus.REJECTED)
        self.told.append(
            ExecutionReport(
                command_id=report.id,
                account=command.account,
                broker=self.name,
                status=status,
                reason=report.reason,
                filled=filled,
                reported_at=now.astimezone(UTC),
            )
        )

    # --- execution ---

    def _close(self, command: Command, now: datetime) -> Report:
        if command.instrument is None or command.side is None or command.quantity is None:
            return self._note(command.command_id, Status.DROPPED, "a close needs a whole order")
        if command.order_type == "LIMIT" and command.limit_price is None:
            return self._note(command.command_id, Status.DROPPED, "a limit order needs a limit price")
        ticket = Ticket(
            command.command_id,
            command.account,
            command.strategy or DEFAULT_STRATEGY,
            command.instrument,
            Side(command.side),
            command.quantity,
            command.limit_price if command.order_type == "LIMIT" else None,
            command.group_id,
            expires_at=command.expires_at,
            command=True,
        )
        return self._try(ticket, now)

    def _close_as_one(self, command: Command, now: datetime) -> Report:
        """Execute all legs of a spread at once, or none."""
        if command.quantity is None:
            return self._note(command.command_id, Status.DROPPED, "a close needs a whole order")
        legs = []
        for leg in command.legs:
            quantity = EXACT.multiply(leg.ratio, command.quantity)
            strategy = command.strategy or DEFAULT_STRATEGY
            ticket = Ticket(
                command.command_id,
                command.account,
                strategy,
                leg.instrument,
                Side(leg.side),
                quantity,
                None,
                command.group_of(leg.instrument.symbol),
                command.expires_at,
                command=True,
            )
            if self._reducible(ticket) < quantity:
                return self._note(ticket.id, Status.DROPPED, f"would not reduce {leg.instrument.symbol}")
            price = self._market.price(ticket)
            if price is None:
                return self._note(ticket.id, Status.REFUSED, f"no price for {leg.instrument.symbol}")
            legs.append((ticket, price, leg.ratio))
        cost = sum((p * r if t.side is Side.BUY else -p * r for t, p, r in legs), ZERO)
        if command.limit_price is not None and cost > command.limit_price:
            return self._note(
                command.command_id, Status.REFUSED, f"costs {cost} a unit, the limit is {command.limit_price}"
            )
        if self.misbehaviour.apart > 0:
            self.misbehaviour.apart -= 1
            legs = [leg for leg in legs if leg[0].side is Side.SELL]
        for ticket, price, _ in legs:
            self._execute(ticket, ticket.left, price, now)
        whole = len(legs) == len(command.legs)
        return self._note(
            command.command_id, Status.FILLED if whole else Status.REFUSED, "" if whole else "legged out"
        )

    def _reducible(self, ticket: Ticket) -> Decimal:
        """Return how many units may be closed: what is held, less what works on the same side already."""
        held = self._positions[ticket.key]
        if not held or (held > 0) is (ticket.side is Side.BUY):
            return ZERO
        others = (
            t
            for t in self._working.values()
            if t.id != ticket.id and (t.key, t.side) == (ticket.key, ticket.side)
        )
        return max(abs(held) - sum((t.left for t in others), ZERO), ZERO)

    def _adding(self) -> set[str]:
        """Return the ids of the working orders that may add risk."""
        by_position: dict[tuple[str, str, str], list[Working]] = defaultdict(list)
        for ticket in self._working.values():
            signed = ticket.left if ticket.side is Side.BUY else -ticket.left
            by_position[ticket.key].append(Working(ticket.id, signed, reduce_only=ticket.command))
        return {id_ for key, orders in by_position.items() for id_ in adding(self._positions[key], orders)}

    def _cancel(self, id_: str, is_meant: Callable[[Ticket], bool], now: datetime) -> Report:
        """Cancel the working orders that are meant."""
        if self.misbehaviour.deaf > 0:
            self.misbehaviour.deaf -= 1
            return self._note(id_, Status.FILLED, "")
        meant = [ticket for ticket in self._working.values() if is_meant(ticket)]
        for ticket in meant:
            self._tell(self._note(ticket.id, Status.CANCELLED, f"by {id_}"), now)
        return self._note(id_, Status.FILLED, f"{len(meant)} working orders cancelled")

    def _try(self, ticket: Ticket, now: datetime) -> Report:
        """Execute as much of a ticket as may be executed now."""
        if ticket.expires_at is not None and now >= ticket.expires_at and not self.misbehaviour.overdue:
            return self._note(ticket.id, Status.DROPPED, "it has expired")
        held = self._positions[ticket.key]
        quantity = ticket.left
        if ticket.command:
            quantity = min(quantity, self._reducible(ticket))
            if quantity <= 0:
                return self._note(ticket.id, Status.DROPPED, "there is nothing to reduce")
        price = self._market.price(ticket)
        if price is None:
            return self._wait(ticket, "waits for a price")
        most = self.misbehaviour.most
        quantity = quantity if most is None else min(quantity, most)
        refused = None if ticket.command else self._risk_refused(ticket, held, quantity)
        if refused is not None:
            return self._note(ticket.id, Status.REFUSED, refused)
        self._execute(ticket, quantity, price, now)
        rest = EXACT.subtract(ticket.left, quantity)
        if ticket.command:
            rest = min(rest, abs(self._positions[ticket.key]))
        if rest > 0:
            return self._wait(replace(ticket, left=rest), f"{rest} left")
        return self._note(ticket.id, Status.FILLED, "")

    def _risk_refused(self, ticket: Ticket, held: Decimal, quantity: Decimal) -> str | None:
        """Say why an order may not be executed in the trading state that holds for it, or None.

        A state that cannot be read lets nothing through but what makes a position smaller. A kill that was not stored
        lets nothing through, until the state shows it.
        """
        after = held + (quantity if ticket.side is Side.BUY else -quantity)
        reduces = abs(after) < abs(held) and after * held >= 0
        try:
            self.halts -= {scope for scope in self.halts if ticket.is_in(scope) and self._is_halted(scope)}
            state = self.trading_state(ticket.account, ticket.strategy, ticket.instrument.underlying)
        except Exception as problem:  # noqa: BLE001 - whatever the reason: unknown is not ACTIVE
            state, why = TradingState.REDUCING, f"the trading state cannot be read ({type(problem).__name__})"
        else:
            why = f"account {ticket.account} is {state.value}"
        halted = sorted(str(scope) for scope in self.halts if ticket.is_in(scope))
        if halted:
            return f"{halted[0]} is HALTED, which is not stored yet"
        if state is TradingState.HALTED or (state is TradingState.REDUCING and not reduces):
            return why
        return None

    def _is_halted(self, scope: Scope) -> bool:
        """Tell whether the trading state shows a whole scope HALTED: a kill of it is stored, and the state counts."""
        names = {scope.kind: scope.name}
        state = self.trading_state(scope.account, names.get("strategy", ""), names.get("underlying", ""))
        return state is TradingState.HALTED

    def _execute(self, ticket: Ticket, quantity: Decimal, price: Decimal, now: datetime) -> None:
        known = self._reports.get(ticket.id)
        fills = known.fills if known else ()
        fill = Fill(
            fill_id=f"{ticket.id}-{len(fills) + 1}",
            broker=self.name,
            account=ticket.account,
            strategy=ticket.strategy,
            instrument=ticket.instrument,
            side=ticket.side,
            quantity=quantity,
            price=price,
            fee=EXACT.multiply(self.fees.get(ticket.instrument.kind, ZERO), quantity),
            executed_at=now.astimezone(UTC),
            order_id=ticket.id,
            group_id=ticket.group_id,
        )
        self._positions[ticket.key] = EXACT.add(self._positions[ticket.key], fill.signed_quantity)
        self._reports[ticket.id] = Report(ticket.id, Status.WORKING, "", (*fills, fill))
        self._outbox.append(Due(fill, now + self.misbehaviour.late))
        if self.misbehaviour.twice > 0:
            self.misbehaviour.twice -= 1
            self._outbox.append(Due(fill, now + self.misbehaviour.late))
        if self.misbehaviour.renamed > 0:
            self.misbehaviour.renamed -= 1
            renamed = fill.model_copy(update={"fill_id": f"{fill.fill_id}-again"})
            self._outbox.append(Due(renamed, now + self.misbehaviour.late))

    def _wait(self, ticket: Ticket, reason: str) -> Report:
        report = self._note(ticket.id, Status.WORKING, reason)
        self._working[ticket.id] = ticket
        return report

    def _note(self, id_: str, status: Status, reason: str) -> Report:
        """Record a ticket's new status; it works on only when `_wait` says so."""
        self._working.pop(id_, None)
        known = self._reports.get(id_)
        self._reports[id_] = Report(id_, status, reason, known.fills if known else ())
        return self._reports[id_]

    def _rejects(self) -> bool:
        if self.misbehaviour.reject <= 0:
            return False
        self.misbehaviour.reject -= 1
        return True
