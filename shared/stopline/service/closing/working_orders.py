"""The orders of an account that may still be executed, as far as the store knows: what brokers have told, less what was
executed since, and Stopline's own close commands that are out.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from stopline.ledger.book import Book
from stopline.ledger.leg_name import CLIENT_ID, client_id
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.closing_state import ClosingState
from stopline.model.decimals import EXACT, ZERO
from stopline.model.errors import Unreadable
from stopline.model.fill import TRADES, Fill
from stopline.model.ids import position_key, short_id
from stopline.model.order import Order, WorkingOrder
from stopline.model.statement import Statement
from stopline.model.times import LONG_AGO
from stopline.ports import Where
from stopline.rules.closing.order import Resting
from stopline.rules.closing.sent import own_names
from stopline.rules.closing.still_working import Listed, Lists, adds
from stopline.service.documents.aggregate import Aggregates
from stopline.service.fills.books import FillLog
from stopline.service.fills.statements import statement_name

log = logging.getLogger("stopline")


@dataclass(frozen=True, slots=True)
class Working:
    """`told_at`: when the oldest of the brokers' lists that count was asked for. `silent`: brokers without one."""

    orders: tuple[WorkingOrder, ...]
    told_at: datetime | None
    silent: tuple[str, ...]

    def beside(self, order: Order) -> tuple[WorkingOrder, ...]:
        """Return the orders that work beside one: those that its sender names, and the others that are known."""
        named = {name for one in order.working for name in _names(one)}
        skipped = named if order.order_id is None else named | {order.order_id}
        return (*order.working, *(one for one in self.orders if one.order_id not in skipped))


class WorkingOrders:
    """Reads what is working. It changes nothing."""

    def __init__(
        self, statements: Aggregates[Statement], closings: Aggregates[ClosingState], log: FillLog
    ) -> None:
        self._statements = statements
        self._closings = closings
        self._log = log

    def of(self, account: Account, book: Book, now: datetime) -> Working:
        """Return what works for an account now. Raises Transient when the store cannot be read."""
        lists, silent = self._lists(account, book, now)
        closing = self._closings.read(account.account)
        own, names = commands_out(closing) if closing else ((), set())
        told_orders = (one for _, orders in lists for one in orders if names.isdisjoint(_names(one)))
        return Working((*told_orders, *own), min((at for at, _ in lists), default=None), tuple(silent))

    def against(
        self, position: Position, account: Account, book: Book, closing: ClosingState, now: datetime
    ) -> Resting | None:
        """Return how many units the orders of others, not our commands, would take off a position, as of the newest list
        that counts; None without one. Raises Transient when the store cannot be read.
        """
        lists, _ = self._lists(account, book, now)
        own = {name for sent in closing.sent.values() for name in sent.known_as}
        side = "SELL" if position.quantity > 0 else "BUY"
        where = position.strategy, position.instrument.symbol, side
        left = (one for _, orders in lists for one in orders if own.isdisjoint(_names(one)))
        units = (one.quantity for one in left if (one.strategy, one.instrument.symbol, one.side) == where)
        told_at = max((at for at, _ in lists), default=None)
        return None if told_at is None else Resting(sum(units, ZERO), told_at)

    def listed(
        self,
        name: str,
        account: Account | None,
        book: Book,
        closing: ClosingState | None,
        since: datetime,
    ) -> Lists:
        """Return what the brokers' newest lists name of orders that are not our commands, where they were asked for after a
        moment. Without settings the brokers are those of the account's statements. Raises Transient when the store cannot
        be read.
        """
        told_at: dict[str, datetime | None] = {}
        unread: dict[str, str] = {}
        found: list[Listed] = []
        for broker in account.brokers if account else self._brokers(name):
            try:
                told = self._statements.read(statement_name(name, broker))
            except Unreadable as problem:
                log.exception("a statement cannot be read", extra={"account": name})
                told_at[broker], unread[broker] = LONG_AGO, str(problem)
                continue
            at = told_at[broker] = told.orders_at if told else None
            if told is None or at is None or at <= since:
                continue
            own = own_names(closing, broker, at) if closing else set()
            left = self._standing(name, told.working or (), at, book)
            left = [one for one in left if own.isdisjoint(_names(one))]
            found += [Listed(broker, at, one, adds(one, _held(book, one))) for one in left]
        return Lists(told_at, found, unread)

    def _brokers(self, name: str) -> list[str]:
        """Return the brokers that have stated what an account holds."""
        stated = self._statements.query([Where("account", "==", name)])
        return sorted(document.path.id.removeprefix(f"{name}.") for document in stated)

    def _standing(
        self, name: str, told: Sequence[WorkingOrder], at: datetime, book: Book
    ) -> Sequence[WorkingOrder]:
        """Return what may be left of the orders of one list: what is not known to be executed works."""
        try:
            return self._left(name, told, at, book, nameless=False)
        except Unreadable:
            log.exception("fills since a list of orders cannot be read", extra={"account": name})
            return told

    def _lists(
        self, account: Account, book: Book, now: datetime
    ) -> tuple[list[tuple[datetime, list[WorkingOrder]]], list[str]]:
        """Return what is left of each broker's list that counts, with its moment, and the brokers without one."""
        lists, silent = [], []
        for broker in account.brokers:
            told = self._statements.read(statement_name(account.account, broker))
            at = told.orders_at if told else None
            if told is None or at is None or now - at > timedelta(seconds=account.risk.working_max_age_s):
                silent.append(broker)
            else:
                lists.append((at, self._left(account.account, told.working or (), at, book)))
        return lists, silent

    def _left(
        self,
        account: str,
        told: Sequence[WorkingOrder],
        at: datetime,
        book: Book,
        *,
        nameless: bool = True,
    ) -> list[WorkingOrder]:
        """Return what is left of the orders of one list after the fills that were executed since; see `less_fills`."""
        groups: dict[tuple[str | None, str, str], list[WorkingOrder]] = {}
        for one in told:
            strategy = one.strategy if one.strategy_told else None
            groups.setdefault((strategy, one.instrument.symbol, one.side), []).append(one)
        result = []
        for (strategy, symbol, side), orders in groups.items():
            whose = {name for name, _ in book.strategies} if strategy is None else {strategy}
            since: list[Fill] = []
            for name in sorted(whose):
                position = book.positions.get(position_key(name, symbol))
                if position is not None and position.last is not None and position.last[0] > at:
                    found = self._log.of(account, name, symbol, at)
                    since += [
                        f for f in found if f.executed_at > at and f.side.value == side and f.kind in TRADES
                    ]
            result += less_fills(orders, since, nameless=nameless)
        return result


def less_fills(
    orders: Sequence[WorkingOrder], fills: Iterable[Fill], *, nameless: bool = True
) -> list[WorkingOrder]:
    """Return what is left of orders of one contract and side. A fill counts for the order that it names, else for those
    without a name, in turn; if not `nameless` for none of these where it names an order that is not among them.
    """
    left = [one.quantity for one in orders]
    places = {name: place for place, one in enumerate(orders) for name in _with_short(_names(one))}
    unnamed = [place for place, one in enumerate(orders) if one.order_id is None]
    for fill in fills:
        rest = fill.quantity
        names = _fill_names(fill)
        own = next((places[name] for name in names if name in places), None)
        others = unnamed if nameless or not names else []
        for place in others if own is None else [own]:
            taken = min(rest, left[place])
            left[place], rest = EXACT.subtract(left[place], taken), EXACT.subtract(rest, taken)
    return [
        one.model_copy(update={"quantity": quantity})
        for one, quantity in zip(orders, left, strict=True)
        if quantity > 0
    ]


def _held(book: Book, one: WorkingOrder) -> Decimal:
    """Return what an order may reduce: its strategy's position; of one nobody told, all that is held of the contract."""
    symbol = one.instrument.symbol
    if not one.strategy_told:
        held = (p.quantity for p in book.open_positions() if p.instrument.symbol == symbol)
        return sum(held, ZERO)
    position = book.positions.get(position_key(one.strategy, symbol))
    return position.quantity if position else ZERO


def _names(one: WorkingOrder) -> list[str]:
    return [name for name in (one.order_id, one.client_order_id) if name is not None]


def _fill_names(fill: Fill) -> list[str]:
    names = fill.order_id, client_id((fill.model_extra or {}).get(CLIENT_ID))
    return _with_short([name for name in names if name is not None])


def _with_short(names: Sequence[str]) -> list[str]:
    """Return names, and with those of commands the short form that some brokers' orders have."""
    return [*names, *(short_id(name) for name in names if client_id(name))]


def commands_out(closing: ClosingState) -> tuple[tuple[WorkingOrder, ...], set[str]]:
    """Return what close commands may still execute, and all names that brokers have for these orders."""
    orders: list[WorkingOrder] = []
    names: set[str] = set()
    for sent in closing.sent.values():
        if sent.is_final or sent.ended_at is not None:
            continue
        name = sent.order_ids[-1][1] if sent.order_ids else sent.command_id
        names |= sent.known_as
        for leg in sent.legs:
            left: Decimal = max(EXACT.subtract(leg.quantity, leg.filled), ZERO)
            if left:
                orders.append(
                    WorkingOrder(
                        order_id=name,
                        strategy=sent.strategy,
                        instrument=leg.instrument,
                        side=leg.side,
                        quantity=left,
                    )
                )
    return tuple(orders), names
