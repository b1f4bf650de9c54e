"""Compare accounts with their brokers, and books with their fills. The function `sweep` is the only writer.

A statement causes a pass at once. Every sweep takes the next pass of accounts where time alone may show more, and
looks for statements that are overdue; the reconcile sweep looks at all accounts, and once after each session folds
the book again from its fills.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from stopline.ledger.book import Book
from stopline.ledger.check import differences
from stopline.model.account import Account
from stopline.model.errors import Transient
from stopline.model.fill import Fill
from stopline.model.ids import digest
from stopline.model.messages import Sweep, SweepKind, alert_effect
from stopline.model.statement import Statement
from stopline.model.times import utc_text
from stopline.ports import Clock, Store, Where
from stopline.rules.watching.break_alerts import (
    amendment_alert,
    break_alert,
    ledger_alert,
    overdue_alert,
    waiting_amendments,
)
from stopline.rules.watching.breaks import Break, Stage, evidence_text, overdue, take_pass
from stopline.rules.watching.compare import compare
from stopline.rules.watching.finding import BreakKind, Finding
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.fills.books import FillLog
from stopline.service.fills.statements import statement_name
from stopline.service.reconciliation.break_rows import break_rows
from stopline.service.reconciliation.order_check import OpenAlerts, OrderCheck
from stopline.service.reconciliation.reconciliations import COLLECTION, Reconciliation, Reported
from stopline.service.sweep.flush_outboxes import joined

log = logging.getLogger("stopline")

MAX_REFOLD = 100_000  # fills of one account that are folded again: more would not fit into a sweep


class Reconciler:
    """Takes passes over accounts. A pass that comes twice changes nothing the second time."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        accounts: AccountReader,
        books: Aggregates[Book],
        statements: Aggregates[Statement],
        documents: Aggregates[Reconciliation],
        alerts: OpenAlerts,
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._books = books
        self._statements = statements
        self._documents = documents
        self._log = FillLog(store)
        self._orders = OrderCheck(clock, accounts, books, documents, self._log, alerts)

    def run(self, sweep: Sweep, known: Iterable[Account]) -> dict[str, str]:
        """Do what one sweep asks for; `known` are accounts that hold something. Return what went wrong, by account."""
        if sweep.account:
            return self._each([sweep.account], self._look)
        if sweep.kind is not SweepKind.RECONCILE:
            due = {a.account for a in known if a.reconcile.expect_every_min is not None}
            return self._each(sorted({*self._due(), *due}), self._look)
        everyone, failed = self._accounts.names(), dict[str, str]()
        for look in (self.compare, self.check_ledger, self._orders.check):
            failed = joined(failed, self._each(everyone, look))
        return failed

    def _look(self, name: str) -> None:
        self.compare(name)
        self._orders.check(name, standing_only=True)

    def compare(self, name: str) -> Reconciliation | None:
        """Take a pass over one account; return what stands."""
        account = self._accounts.get(name)
        if account is None:
            return None
        told = self.newest(account)
        if not told and account.reconcile.expect_every_min is None:
            return None
        book, now = self._books.read(name) or Book(name), self._clock.now()

        def decide(before: Reconciliation | None, attempt: int) -> Change[Reconciliation] | None:
            return _compared(account, book, told, before, now)

        return self._documents.change(name, decide)

    def newest(self, account: Account) -> dict[str, Statement]:
        """Return the newest statement of each of an account's brokers that has sent one."""
        found = {b: self._statements.read(statement_name(account.account, b)) for b in account.brokers}
        return {broker: statement for broker, statement in found.items() if statement is not None}

    def check_ledger(self, name: str) -> None:
        """Fold a book again from its fills, once after each session, and tell of amendments without a fill."""
        account, book, now = self._accounts.get(name), self._books.read(name), self._clock.now()
        if account is None or book is None:
            return
        before = self._documents.read(name)
        session = account.sessions.previous_session(account.sessions.session_of(now))
        faults = before.ledger if before else ()
        if before is None or before.checked_session != session:
            found = self._faults(account, book, now)
            if found is None:
                return  # fills came meanwhile: the next round looks again
            faults = tuple(found)
        waiting = [fill for key, fill in waiting_amendments(book, now) if self._log.find(key) is None]

        def decide(before: Reconciliation | None, attempt: int) -> Change[Reconciliation] | None:
            return _checked(name, before, session, faults, waiting, now)

        self._documents.change(name, decide)

    def _faults(self, account: Account, book: Book, now: datetime) -> list[str] | None:
        """Return where the book is not the fold of its fills; None when it moved while they were read."""
        fills = self._log.of_account(account.account, MAX_REFOLD + 1)
        again = self._books.read(account.account)
        if again is None or again.revision != book.revision:
            return None
        if len(fills) > MAX_REFOLD:
            return [f"not checked: the account has more than {MAX_REFOLD} fills"]
        return differences(book, fills, account.sessions.session_of, now)

    def _due(self) -> list[str]:
        where = [Where("recheck_at", "<=", self._clock.now())]
        return [document.path.id for document in self._store.query(COLLECTION, where, ["recheck_at"])]

    def _each(self, names: Sequence[str], work: Callable[[str], object]) -> dict[str, str]:
        """Do it for each; return what went wrong. One account's trouble must not keep the others from being compared."""
        failed = {}
        for name in names:
            try:
                work(name)
            except Transient as problem:
                failed[name] = str(problem)
            except Exception as problem:
                log.exception("reconciliation: an account cannot be compared", extra={"account": name})
                failed[name] = f"{type(problem).__name__}: {problem}"
        return failed


def _compared(
    account: Account,
    book: Book,
    told: dict[str, Statement],
    before: Reconciliation | None,
    now: datetime,
) -> Change[Reconciliation] | None:
    old = before or Reconciliation(account.account, now)
    quiet = timedelta(seconds=account.reconcile.quiet_s)
    evidence = {broker: f"{s.statement_id}@{utc_text(s.as_of)}" for broker, s in told.items()}
    held = {name: item for name, item in old.breaks.items() if not item.finding.order}
    findings = compare(account, book, told, now, held)
    breaks, steps = take_pass(held, findings, evidence, quiet, now)
    breaks = {name: item for name, item in old.breaks.items() if item.finding.order} | breaks
    reported = {broker: _reported(statement, old.reported.get(broker)) for broker, statement in told.items()}
    read_at = {broker: r.complete_at for broker, r in reported.items() if r.complete_at is not None}
    late = overdue(account, read_at, now)
    if late is None:  # nothing is due now; what was stays so until a statement comes
        late = [b for b in old.overdue if b not in read_at or read_at[b] == _complete_at(old, b)]
    state = replace(
        old,
        as_of=now,
        revision=old.revision + 1,
        breaks=breaks,
        waits={finding.symbol: finding.waits for finding in findings if finding.waits},
        doubts={finding.symbol: finding.doubt for finding in findings if finding.doubt},
        reported=reported,
        overdue=tuple(late),
        recheck_at=_recheck_at(breaks, findings, told, quiet, now),
    )
    if before is not None and _same(before, state):
        return None
    cause = digest("pass", account.account, str(state.revision), evidence_text(evidence))
    alerts = [alert for step in steps if (alert := break_alert(account.account, step, cause, now))]
    for broker in sorted({*late} ^ {*old.overdue}):
        problem = reported[broker].problem if broker in reported else ""
        alerts.append(overdue_alert(account.account, broker, problem, cause, now, over=broker not in late))
    return Change(state, [*map(alert_effect, alerts), *break_rows(account.account, steps, cause, now)])


def _complete_at(state: Reconciliation, broker: str) -> datetime | None:
    return state.reported[broker].complete_at if broker in state.reported else None


def _reported(statement: Statement, before: Reported | None) -> Reported:
    complete_at = statement.as_of if statement.tells_all else before.complete_at if before else None
    unread = f"{len(statement.unread)} lines could not be read" if statement.unread else ""
    return Reported(
        statement.as_of,
        statement.statement_id,
        complete_at,
        statement.problem or unread or ("" if statement.complete else "the broker's answer was not complete"),
        statement.currency,
        statement.equity,
        statement.margin,
    )


def _recheck_at(
    breaks: dict[str, Break],
    findings: Sequence[Finding],
    told: dict[str, Statement],
    quiet: timedelta,
    now: datetime,
) -> datetime | None:
    """Return when to look again without a new statement: when suspicion can be confirmed, when what may be on its way
    must have come, and for as long as a fill could explain a break.
    """
    times = [s.as_of + quiet for s in told.values() if any(f.waits for f in findings)]
    times += [
        item.since + quiet if item.stage is Stage.SUSPECTED and not item.finding.order else now + quiet
        for item in breaks.values()
        if item.finding.kind is not BreakKind.UNKNOWN_INSTRUMENT or item.stage is Stage.SUSPECTED
    ]
    return min((max(moment, now) for moment in times if moment >= now), default=None)


def _same(before: Reconciliation, after: Reconciliation) -> bool:
    """Tell whether a pass has shown nothing new: then nothing is written."""
    names = ("breaks", "waits", "doubts", "reported", "overdue")
    same = all(getattr(before, name) == getattr(after, name) for name in names)
    return same and (before.recheck_at is None) == (after.recheck_at is None)


def _checked(
    name: str,
    before: Reconciliation | None,
    session: date,
    faults: tuple[str, ...],
    waiting: Sequence[Fill],
    now: datetime,
) -> Change[Reconciliation] | None:
    old = before or Reconciliation(name, now)
    told = tuple(sorted(fill.key for fill in waiting))
    state = replace(old, revision=old.revision + 1, checked_session=session, ledger=faults, told=told)
    if before is not None and (old.checked_session, old.ledger, old.told) == (session, faults, told):
        return None
    cause = digest("ledger", name, session.isoformat())
    alerts = [amendment_alert(fill, cause, now) for fill in waiting if fill.key not in old.told]
    if faults != old.ledger:
        alerts.append(ledger_alert(name, faults, cause, now))
    return Change(state, [*map(alert_effect, alerts)])
