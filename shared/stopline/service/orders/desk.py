"""Orders before they are sent: gathers what an account holds and knows, and asks the rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.instrument import Instrument, coin_fault
from stopline.model.order import Order
from stopline.model.scopes import account_scope
from stopline.model.times import utc_text
from stopline.ports import Clock, Store
from stopline.risk.border import to_decimal
from stopline.risk.columns import columns
from stopline.rules.limits.figures import figures
from stopline.rules.limits.stops import Stop, lifted
from stopline.rules.limits.track import NEW
from stopline.rules.orders.decision import Decision, Desk
from stopline.rules.orders.filled import legs_of
from stopline.rules.orders.pretrade import check
from stopline.rules.orders.steps import with_lot
from stopline.service.accounts.reader import AccountReader
from stopline.service.closing.working_orders import WorkingOrders
from stopline.service.documents.aggregate import Aggregates
from stopline.service.evaluation.evaluate import exchange_rate, value_positions
from stopline.service.evaluation.risk_state import RiskState
from stopline.service.history.factors import FactorReader
from stopline.service.prices.market import market_of, needs_returns
from stopline.service.prices.marks import MarkTable, is_usable
from stopline.service.reconciliation.reconciliations import Reconciliation, blocked_symbols
from stopline.service.sweep.heartbeat import HEARTBEAT, share_of
from stopline.service.trading.controls import TradingStates
from stopline.service.trading.limit_effects import ended_of


@dataclass(frozen=True, slots=True)
class Versions:
    """What a decision was made by, so that it can be told later: settings, book, oldest price, trading state, and when the
    working orders were told (None: by no broker).
    """

    account: int
    book: int
    prices_at: datetime | None
    epoch: int
    decided_at: datetime
    working_at: datetime | None


class OrderDesk:
    """Judges orders by what is stored now. It changes nothing."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        accounts: AccountReader,
        books: Aggregates[Book],
        risk: Aggregates[RiskState],
        marks: MarkTable,
        trading: TradingStates,
        factors: FactorReader,
        reconciliations: Aggregates[Reconciliation],
        working: WorkingOrders,
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._books = books
        self._risk = risk
        self._marks = marks
        self._trading = trading
        self._factors = factors
        self._reconciliations = reconciliations
        self._working = working

    def check(self, name: str, order: Order) -> dict[str, Any]:
        """Return the decision on an order as plain data. Raises Rejected for an unknown account, Transient when what
        it needs cannot be read: then nothing is approved.
        """
        order, desk, versions = self.prepare(name, order)
        return decision_facts(check(order, desk), desk, versions)

    def prepare(self, name: str, order: Order, returns: bool = False) -> tuple[Order, Desk, Versions]:
        """Return an order of an account with what works beside it, in whole lots, and what it is judged by, read now. Daily
        `returns` are read where a limit needs them, or who asks.
        """
        account = self._accounts.require(name)
        now = self._clock.now()
        book = self._books.read(name) or Book(name)
        known = self._working.of(account, book, now)
        order = with_lot(order, account.increments).model_copy(update={"working": known.beside(order)})
        old = self._risk.read(name)
        self._marks.refresh()
        marks = self._marks.marks
        valued = value_positions(columns({name: book}), marks, [account], now)[name]
        contracts = [*(v.position.instrument for v in valued), *legs_of(order)]
        coin = next(
            (c for c in legs_of(order) if c.is_in_its_asset and c not in contracts[: len(valued)]), None
        )
        if coin is not None:
            raise Rejected("PAID_IN_ITS_COIN", coin_fault(coin))
        wanted = returns or needs_returns(account)
        factors = self._factors.latest(account.calendar) if wanted else None
        rate = exchange_rate(account, marks, now)
        numbers = figures(
            account,
            book,
            valued,
            rate,
            old.day_start if old else None,
            old.last_total if old else None,
            now,
            old.track if old else NEW,
            market_of(contracts, marks, account, now, factors),
        )
        first = order.legs[0].instrument
        state = self._trading.for_order(name, order.strategy, first.underlying)
        for leg in order.legs[1:]:
            other = self._trading.for_order(name, order.strategy, leg.instrument.underlying)
            state = max(state, other, key=lambda s: (s.state.rank, -s.size))
        state = state._replace(size=min(state.size, share_of(self._store.get(HEARTBEAT), name)))
        blocked = blocked_symbols(self._reconciliations, name)
        prices_at = [marks[c.symbol].as_of for c in contracts if c.symbol in marks]
        silent = known.silent if account.risk.needs_working else ()
        passing = self._lifted(old, numbers.session) if old else {}
        desk = Desk(numbers, self._usable(contracts, account, now), rate, state, blocked, silent, passing)
        oldest = min(prices_at, default=None)
        return order, desk, Versions(account.version, book.revision, oldest, state.epoch, now, known.told_at)

    def _lifted(self, old: RiskState, session: date) -> Mapping[str, Stop]:
        """Return the stops of limits that hold no more, by the trading state itself: who has just resumed may trade."""
        if not old.stops:
            return {}
        control = self._trading.read(account_scope(old.account))
        return lifted(old.stops, ended_of(control, old.account, old.stops), (old.session, session))

    def _usable(self, contracts: Sequence[Instrument], account: Account, now: datetime) -> dict[str, Decimal]:
        marks = self._marks.marks
        result = {}
        for contract in contracts:
            mark = marks.get(contract.symbol)
            price = to_decimal(mark.quote.mark) if mark and is_usable(mark, account, now) else None
            if price is not None and contract.allows_price(price):
                result[contract.symbol] = price
        return result


def decision_facts(decision: Decision, desk: Desk, versions: Versions) -> dict[str, Any]:
    """Return a decision as plain data: decimal text, None where UNKNOWN."""
    loss, reward = decision.loss, decision.reward
    return {
        "account": desk.account.account,
        "approved": decision.approved,
        "reducing": decision.reducing,
        "quantity": decimal_text(decision.order.quantity),
        "lot": decimal_text(decision.order.lot),
        "working": len(decision.order.working),
        "largest": decimal_text(decision.largest),
        "loss": text(loss),
        "reward": text(reward),
        "currency": desk.account.currency,
        "trading_state": desk.state.state.value,
        "epoch": versions.epoch,
        "reasons": [
            {
                "code": reason.code,
                "object": reason.object,
                "detail": reason.detail,
                "current": text(reason.current),
                "limit": text(reason.limit),
                "after": text(reason.after),
                "unit": reason.unit,
            }
            for reason in decision.reasons
        ],
        "versions": {
            "account": versions.account,
            "book": versions.book,
            "oldest_price": utc_text(versions.prices_at) if versions.prices_at else None,
            "working_orders": utc_text(versions.working_at) if versions.working_at else None,
            "decided_at": utc_text(versions.decided_at),
        },
    }


def text(value: Decimal | None) -> str | None:
    """Return decimal text; None for UNKNOWN."""
    return None if value is None else decimal_text(value)
