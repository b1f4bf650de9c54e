"""Preview an emergency reduction of an account, and carry it out through its closings."""

from collections.abc import Sequence
from decimal import Decimal

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.closing import CloseRequest, Urgency
from stopline.model.ids import Id, Name, digest
from stopline.model.times import utc_text
from stopline.ports import Clock
from stopline.rules.reduction import Measure, ReductionPlan, plan_reduction
from stopline.service.aggregate import Aggregates
from stopline.service.close_book import Closer
from stopline.service.evaluate import exchange_rate
from stopline.service.marks import MarkTable, is_usable


class Reducer:
    """Plans reductions for people and breakers. A plan is worked out from usable prices only."""

    def __init__(self, books: Aggregates[Book], marks: MarkTable, closer: Closer, clock: Clock) -> None:
        self._books = books
        self._marks = marks
        self._closer = closer
        self._clock = clock

    def plan(self, account: Account, measure: Measure, target: Decimal) -> ReductionPlan:
        """Return what closing would bring the measure to the target. Raises Unavailable."""
        self._marks.refresh()
        now, marks = self._clock.now(), self._marks.marks
        usable = {symbol: mark.quote for symbol, mark in marks.items() if is_usable(mark, account, now)}
        book = self._books.read(account.account) or Book(account.account)
        return plan_reduction(book.open_trades(), usable, exchange_rate(account, marks, now), measure, target)

    def execute(
        self,
        account: Account,
        plan: ReductionPlan,
        rule: Name,
        cause: Id,
        urgency: Urgency = "urgent",
    ) -> Sequence[CloseRequest]:
        """Ask for the closing of every step, in order; the same plan for the same cause again changes nothing."""
        now = self._clock.now()
        requests = [
            CloseRequest(
                request_id=digest("reduce", account.account, cause, step.trade_id, str(step.leave)),
                account=account.account,
                strategy=step.strategy,
                trade_id=step.trade_id,
                leave=step.leave,
                urgency=urgency,
                rule=rule,
                reason=f"{plan.measure.value} down to {plan.target} {account.currency}",
                cause=f"{cause} {utc_text(now)}",
                requested_at=now,
            )
            for step in plan.steps
        ]
        self._closer.ask(*requests)
        return requests
