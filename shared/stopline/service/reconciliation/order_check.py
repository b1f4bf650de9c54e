"""Compare orders with their fills: what a broker said of an order's quantity, and what is booked of it.

Looked at once an hour, where the book has grown: the fill log of two sessions is read, and of an order that does not add up
its whole position. One that stands is looked at each round. It ends when the fills add up, and also when a person adjusts
the instrument or complete statements of all brokers agree with the book: then what is held is right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from stopline.ledger.book import Book
from stopline.model.account import Account
from stopline.model.ids import digest
from stopline.model.times import utc_text
from stopline.ports import Clock
from stopline.rules.watching.break_alerts import break_alert
from stopline.rules.watching.order_sums import (
    QUIET,
    OrderSum,
    order_sums,
    settled_by_hand,
    settled_by_statement,
)
from stopline.rules.watching.reconcile import Break, BreakKind, Stage, Step, Turn
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.fills.books import FillLog
from stopline.service.reconciliation.break_rows import alert_effects, break_rows
from stopline.service.reconciliation.reconciliations import Reconciliation

MOST = 20_000  # fills of an account in two sessions; the statements of who has more must do
MOST_SETTLED = 200


class OrderCheck:
    """Takes passes over the orders of accounts. A pass that comes twice changes nothing the second time."""

    def __init__(
        self,
        clock: Clock,
        accounts: AccountReader,
        books: Aggregates[Book],
        documents: Aggregates[Reconciliation],
        log: FillLog,
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._books = books
        self._documents = documents
        self._log = log

    def check(self, name: str, standing_only: bool = False) -> None:
        """Look at the orders of an account: at all of the last two sessions, or at those that do not add up."""
        account, before, now = self._accounts.get(name), self._documents.read(name), self._clock.now()
        standing = [item for item in before.breaks.values() if item.finding.order] if before else []
        if account is None or (standing_only and not standing):
            return
        book = self._books.read(name)
        if book is None:
            return
        is_new = not standing_only and (before is None or before.orders_at != book.fills)
        found = self._recent(account, now) if is_new else []
        young = any(now - one.last < QUIET for one in found)
        doubtful = [one for one in found if one.finding.kind and now - one.last >= QUIET]
        looked = self._closely(account, book, doubtful, standing)
        seen = (-1 if young else book.fills) if is_new else None

        def decide(state: Reconciliation | None, attempt: int) -> Change[Reconciliation] | None:
            return _checked(account, state, looked, seen, now)

        self._documents.change(name, decide)

    def _recent(self, account: Account, now: datetime) -> list[OrderSum]:
        sessions = account.sessions
        since = sessions.open_of(sessions.previous_session(sessions.session_of(now))) - timedelta(hours=12)
        fills = self._log.since(account.account, since, MOST + 1)
        return order_sums(fills, sessions.session_of) if len(fills) <= MOST else []

    def _closely(
        self, account: Account, book: Book, doubtful: Sequence[OrderSum], standing: Sequence[Break]
    ) -> list[tuple[OrderSum, bool]]:
        """Return orders by all fills of their positions, each with whether a person has looked at it since."""
        asked = {one.finding.name: one.symbol for one in doubtful}
        asked |= {item.finding.name: item.finding.symbol for item in standing}
        looked = []
        for symbol in sorted(set(asked.values())):
            strategies = {
                key.removesuffix(f":{symbol}") for key in book.positions if key.endswith(f":{symbol}")
            }
            fills = [fill for s in sorted(strategies) for fill in self._log.of(account.account, s, symbol)]
            sums = order_sums(fills, account.sessions.session_of)
            looked += [(one, settled_by_hand(one, fills)) for one in sums if one.finding.name in asked]
        return looked


def _checked(
    account: Account,
    before: Reconciliation | None,
    looked: Iterable[tuple[OrderSum, bool]],
    seen: int | None,
    now: datetime,
) -> Change[Reconciliation] | None:
    old = before or Reconciliation(account.account, now)
    breaks, settled, steps = dict(old.breaks), list(old.settled), list[Step]()
    quiet = timedelta(seconds=account.reconcile.quiet_s)
    complete = [told.complete_at if (told := old.reported.get(b)) else None for b in account.brokers]
    positions = [name for name, item in old.breaks.items() if not item.finding.order]
    for one, by_hand in looked:
        finding = replace(one.finding, kind=BreakKind.ORDER)
        known, mark = breaks.get(finding.name), f"{finding.name}={one.booked}/{one.told}"
        if one.booked == one.told or (
            by_hand or settled_by_statement(one, positions, old.waits, complete, quiet)
        ):
            if one.booked != one.told and mark not in settled:
                settled.append(mark)
            if known is not None:
                steps.append(Step(Turn.CLEARED, replace(breaks.pop(finding.name), finding=finding)))
        elif known is None and mark not in settled:
            evidence = f"{one.broker}/{one.order}@{utc_text(one.last)}"
            breaks[finding.name] = Break(finding, Stage.CONFIRMED, now, evidence)
            steps.append(Step(Turn.CONFIRMED, breaks[finding.name]))
        elif known is not None and (known.finding.ours, known.finding.theirs) != (one.booked, one.told):
            breaks[finding.name] = replace(known, finding=finding)
            steps.append(Step(Turn.CHANGED, breaks[finding.name]))
    stands = any(item.finding.order for item in breaks.values())
    state = replace(
        old,
        as_of=now if steps else old.as_of,
        revision=old.revision + 1,
        breaks=dict(sorted(breaks.items())),
        settled=tuple(settled[-MOST_SETTLED:]),
        orders_at=old.orders_at if seen is None else seen,
        recheck_at=(old.recheck_at or now + quiet) if stands else old.recheck_at,
    )
    if not steps and (state.settled, state.orders_at) == (old.settled, old.orders_at):
        return None
    cause = digest(
        "orders", account.account, str(state.revision), *(step.item.finding.name for step in steps)
    )
    alerts = [alert for step in steps if (alert := break_alert(account.account, step, cause, now))]
    return Change(state, [*alert_effects(alerts), *break_rows(account.account, steps, cause, now)])
