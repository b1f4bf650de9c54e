"""Preview an emergency reduction of an account, and carry it out through its closings: one plan for people, limits and
breakers.
"""

from collections.abc import Sequence
from decimal import Decimal

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.closing import CloseRequest, ReductionRequest, Urgency
from stopline.model.ids import Id, Name, digest
from stopline.model.messages import Alert, Effect, alert_effect
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import Clock
from stopline.rules.reduction.alert import reduction_alert
from stopline.rules.reduction.plan import Measure, ReductionPlan, plan_reduction
from stopline.service.accounts.reader import AccountReader
from stopline.service.closing.close_book import Closer
from stopline.service.documents.aggregate import Aggregates
from stopline.service.documents.outbox import Relay
from stopline.service.evaluation.evaluate import exchange_rate
from stopline.service.prices.marks import MarkTable, is_usable


class Reducer:
    """Plans reductions for people and breakers. A plan is worked out from usable prices only."""

    def __init__(
        self,
        accounts: AccountReader,
        books: Aggregates[Book],
        marks: MarkTable,
        closer: Closer,
        relay: Relay,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._books = books
        self._marks = marks
        self._closer = closer
        self._relay = relay
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
        told: Sequence[Alert] = (),
    ) -> Sequence[CloseRequest]:
        """Ask for the closing of every step, each after the one before it (`rules/closing/turns.py`), and tell people of it;
        the same plan for the same cause again changes nothing.
        """
        now = self._clock.now()
        ids = [digest("reduce", account.account, cause, s.trade_id, str(s.leave)) for s in plan.steps]
        requests = [
            CloseRequest(
                request_id=id_,
                account=account.account,
                strategy=step.strategy,
                trade_id=step.trade_id,
                leave=step.leave,
                urgency=urgency,
                rule=rule,
                reason=f"{plan.measure.value} down to {plan.target} {account.currency}",
                cause=f"{cause} {utc_text(now)}",
                requested_at=now,
                after=before,
            )
            for id_, before, step in zip(ids, [None, *ids], plan.steps, strict=False)
        ]
        self._closer.ask(*requests, told=told)
        return requests

    def carry_out(self, effect: Effect) -> None:
        """Reduce as a limit or breaker asked for (the relay's local topic `reductions`), and tell people what is closed and
        how far that gets. One that is on its way is not begun twice.
        """
        request = validate(ReductionRequest, effect.body)
        account = self._accounts.require(request.account)
        on_its_way = [asked.request.rule for asked in self._closer.read(account.account).open_requests]
        if request.name in on_its_way:
            return
        plan = self.plan(account, Measure(request.by), request.target)
        if plan.reached and not plan.steps:
            return
        told = reduction_alert(account, request, plan, self._clock.now())
        if plan.steps:
            self.execute(account, plan, request.name, request.request_id, told=[told])
        else:
            self._relay.publish([alert_effect(told)])
