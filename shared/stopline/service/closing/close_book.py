"""Carry closings through: a halt with flatten, an exit, a reduction. Send what is missing, and say closed only when the
fills prove it.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, partial
from types import MappingProxyType

from stopline.ledger.book import Book
from stopline.ledger.position import Position
from stopline.model.account import Account
from stopline.model.closing import CloseRequest
from stopline.model.closing_state import ClosingState, Sent
from stopline.model.control import (
    Closing,
    Control,
    Standing,
    effective,
    effective_for,
)
from stopline.model.errors import Contended, Transient, Unreadable
from stopline.model.ids import digest
from stopline.model.messages import (
    Alert,
    Command,
    Effect,
    ExecutionReport,
    Sweep,
    SweepKind,
    alert_effect,
)
from stopline.model.scopes import strategy_scope
from stopline.model.settings.closing import ClosingSettings, OwnClosing
from stopline.model.times import utc_text
from stopline.model.wire import validate
from stopline.ports import Clock, Where
from stopline.rules.closing.commands import Step, advance
from stopline.rules.closing.halts import halted_since, halts_of, newest_halts
from stopline.rules.closing.order import Resting, Situation, Stated
from stopline.rules.closing.sent import JustCancelled, with_report
from stopline.rules.exits.plan import closing_of, plan_of
from stopline.rules.trading.cancel_commands import wholly_cancelled
from stopline.service.accounts.reader import AccountReader
from stopline.service.audit.journal import row_effects
from stopline.service.closing.executions import log_executions, with_executions
from stopline.service.closing.proofs import proofs_of
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.fills.books import FillLog
from stopline.service.prices.marks import Mark, MarkTable
from stopline.service.trading.control_documents import both_to_stop

log = logging.getLogger("stopline")
LOOK_EVERY = timedelta(seconds=5)
JUST_NOW = timedelta(seconds=10)
NOTHING: Mapping[str, int] = MappingProxyType({})

RestingOf = Callable[[Position, Account, Book, ClosingState, datetime], Resting | None]
"""What `WorkingOrders.against` says."""
StatedOf = Callable[[Account | None, Book, ClosingState, Mapping[str, datetime]], Stated]
"""What `StatementCheck.of` says."""


class Uncancelled(Transient):
    """Whether orders are cancelled again is not known. What was to be closed is on its way."""


class Closer:
    """Advances the closings of accounts. Called by the kill switch, by exits, after each fill and report, by price
    batches where a retry is due, and by every sweep. The only writer of `closings/{account}`.
    """

    def __init__(
        self,
        documents: Aggregates[ClosingState],
        controls: Aggregates[Control],
        books: Aggregates[Book],
        accounts: AccountReader,
        marks: MarkTable,
        log: FillLog,
        clock: Clock,
        cancel: Callable[[str], Sequence[Effect]],
        cancel_again: Callable[[str, Control, Control], Collection[str]],
        resting: RestingOf,
        stated: StatedOf,
        refused: Callable[[str], str],
    ) -> None:
        self._documents = documents
        self._controls = controls
        self._books = books
        self._accounts = accounts
        self._marks = marks
        self._log = log
        self._clock = clock
        self._cancel = cancel
        self._cancel_again = cancel_again
        self._resting_of = resting
        self._stated = stated
        self._refused = refused
        self._looked_at: datetime | None = None

    def advance(self, account: str, cancelled: Mapping[str, int] = NOTHING) -> Closing | None:
        """Send the cancels of an account's stops, then what is missing of all its closings; return how far its halt with
        flatten is, None without one. `cancelled`: the scopes of which the caller has cancelled everything a moment ago,
        and the epoch of that: it ends closes of before, none that another instance has sent since.

        Raises Unavailable or Unpublished: what was committed goes out with the next call. Raises Unreadable where the book
        or the closings are damaged: the cancels are out. Raises Uncancelled where all that is wrong is what watches these.
        """
        return self._change(account, (), cancelled)

    def ask(self, *requests: CloseRequest, told: Sequence[Alert] = ()) -> None:
        """Begin to close what requests of one account name. The same one again changes nothing. `told`: what people hear of
        them, with the first of them that is taken. Raises as `advance` does.
        """
        if requests:
            self._change(requests[0].account, requests, told=told)

    def carry_out(self, effect: Effect) -> None:
        """Begin a closing that a commit of ours asked for (the relay's local topic `closings`)."""
        self.ask(validate(CloseRequest, effect.body))

    def read(self, account: str) -> ClosingState:
        """Return the closings of an account as stored."""
        return self._documents.read(account) or ClosingState(account=account)

    def halt_of(self, account: str) -> Closing | None:
        """Return the flatten of an account's last halt; None where there never was one."""
        return self.read(account).halt

    def report(self, report: ExecutionReport) -> bool:
        """Record what a broker says about a command, and see to it that the closing goes on at once. False: the command
        is not known here (any more).
        """
        found = False

        def decide(state: ClosingState | None, attempt: int) -> Change[ClosingState] | None:
            nonlocal found
            sent = state.sent.get(report.command_id) if state else None
            found = sent is not None
            after = with_report(sent, report) if sent else None
            if state is None or sent is None or after is None or after == sent:
                return None
            sweep = Sweep(kind=SweepKind.ACCOUNT, account=report.account).model_dump(mode="json")
            id_ = digest(
                "report",
                report.command_id,
                report.status.value,
                utc_text(report.reported_at),
                str(after.reported),
            )
            effects = [Effect(id_, "sweeps", report.account, sweep)] if after.is_final else []
            known = state.model_copy(update={"sent": {**state.sent, report.command_id: after}})
            return Change(known, effects)

        if (
            self._documents.read(report.account) is not None
        ):  # not the cached copy: another instance sent the command
            self._documents.change(report.account, decide)
        return found

    def advance_due(self) -> int:
        """Advance the closings for which a retry is due, looking at most every 5 s; return how many. Raises as `advance`
        does, once all were tried.
        """
        now = self._clock.now()
        if self._looked_at is not None and abs(now - self._looked_at) < LOOK_EVERY:
            return 0
        self._looked_at = now
        due = self._documents.query([Where("due_at", "<=", now)])
        failed: Exception | None = None
        for document in due:
            try:
                self.advance(document.data["account"])
            except Exception as problem:  # one account's trouble must not keep the others open
                log.exception("closing: a retry failed", extra={"document": str(document.path)})
                failed = problem
        if failed:
            raise failed
        return len(due)

    # --- one change ---

    def _change(
        self,
        account: str,
        new: Sequence[CloseRequest],
        cancelled: Mapping[str, int] = NOTHING,
        told: Sequence[Alert] = (),
    ) -> Closing | None:
        held = both_to_stop(self._controls, account)
        known, whole = self._cancelled(account, effective(*held)[1])
        out = self._out(account, known)
        again: Collection[str] = ()
        unsent: Exception | None = None
        try:
            again = self._cancel_again(account, *held)
        except Exception as problem:  # whatever it is, it keeps nothing from being closed
            log.exception(
                "closing: whether orders are cancelled again is not known", extra={"account": account}
            )
            unsent = problem

        # what another instance has sent since `known` was read, `again` may not have been for
        taken = JustCancelled(self._clock.now(), {**cancelled, **whole}, again, out)
        closing = self._closed(account, new, held, known, taken, told)
        if unsent is not None:
            raise Uncancelled(f"whether orders of {account} are cancelled again is not known") from unsent
        return closing

    def _closed(
        self,
        account: str,
        new: Sequence[CloseRequest],
        held: tuple[Control, Control],
        known: ClosingState | None,
        taken: JustCancelled,
        told: Sequence[Alert],
    ) -> Closing | None:
        """Send what is missing, after the cancels of a moment ago."""
        _, cancelled = effective(*held)
        if not new and not halts_of(*held) and not (known and _is_active(known)):
            return None
        book = self._book(account, known)
        settings = self.settings(account)
        marks = self._fresh(settings)

        def decide(state: ClosingState | None, attempt: int) -> Change[ClosingState] | None:
            nonlocal book, held
            before = state or ClosingState(account=account)
            if taken.scopes:
                before = before.model_copy(update={"sent": taken.marked(before.sent)})
            if attempt or book.revision < before.book_revision:
                # read after the closings it is no older copy than theirs: where it is lower still, it was folded again
                book = self._book(account, state)
            if book.revision != before.book_revision and before.sent:
                before = with_executions(before, self._log)
            # as late as can be: nothing is closed for a halt that was resumed meanwhile
            held = both_to_stop(self._controls, account)
            if halts_of(*held) and effective(*held)[1] != cancelled:
                raise Contended(
                    f"another stop of {account} came meanwhile: its cancel goes before its closes"
                )
            situation = replace(self._situation(settings, book, marks, *held, before), again=taken.scopes)
            if settings is not None:
                resting = partial(self._resting, settings, book, before)
                situation = replace(situation, resting=resting)
            step = advance(before, situation, new)
            if any(one.request_id not in before.asked for one in new):
                step = replace(step, alerts=[*step.alerts, *told])
            return self._changed(state, step, settings)

        state = self._documents.change(account, decide)
        halt = state.halt if state and halts_of(*held) else None
        return halt if halt and halt.epoch == effective(*held)[1] else None

    def _book(self, account: str, known: ClosingState | None) -> Book:
        """Return the book as it is now, an empty one where nothing was booked. Raises Unreadable where it is gone."""
        book = self._books.read(account)
        if book is None and ((known and known.book_revision) or self._log.of_account(account, 1)):
            book = self._books.read(account)  # its first fill may have come meanwhile
            if book is None:
                raise Unreadable(f"books/{account} is gone, and fills were booked in it")
        return book or Book(account)

    def _cancelled(self, account: str, epoch: int) -> tuple[ClosingState | None, Mapping[str, int]]:
        """Return the closings as stored, once the cancels of the account's stops are out: they wait for nothing else, and a
        closing that has begun shows that they are. And the scopes of which everything was cancelled just now, with the
        epoch of that.
        """
        try:
            known = self._documents.read(account)
        except Unreadable:
            self._cancel(account)
            raise
        if known is not None and known.halt is not None and known.halt.epoch == epoch:
            return known, NOTHING
        return known, wholly_cancelled(self._cancel(account))

    def _out(self, account: str, known: ClosingState | None) -> Collection[str]:
        """Return the names of the commands that are out. One that was committed and not published goes now: a cancel takes
        along only what was before it.
        """
        try:
            self._documents.send(account, "orders")
        except Exception:  # whatever it is, it keeps nothing from being cancelled
            log.exception("closing: what is due cannot be published", extra={"account": account})
        due = self._documents.due(account)  # None: another thread has lost its copy meanwhile
        return known.sent.keys() - {effect.id for effect in due} if known and due is not None else ()

    def settings(self, account: str) -> Account | None:
        """Return the settings; where they cannot be read those of before, else None: the usual ones close a book too."""
        try:
            return self._accounts.get(account)
        except Unreadable:
            log.exception("closing: the settings cannot be read", extra={"account": account})
            return self._accounts.last_known(account)

    def _situation(
        self,
        account: Account | None,
        book: Book,
        marks: Mapping[str, Mark],
        everywhere: Control,
        own: Control,
        closing: ClosingState,
    ) -> Situation:
        now = self._clock.now()
        name = own.scope.removeprefix("account:")
        begins = closing.halt is None or closing.halt.epoch != everywhere.epoch + own.epoch
        since = halted_since(everywhere, own)

        def refused(scope: str) -> str:  # of a kill of just now nobody has answered the cancel
            return "" if begins and now - since[scope] < JUST_NOW else self._refused(scope)

        def halted(position: Position) -> bool:
            underlying = position.instrument.underlying
            return effective_for(everywhere, own, name, position.strategy, underlying).flatten

        def said(strategy: str, trade_id: str | None) -> OwnClosing:
            return plan_of(account.exits, strategy, trade_id).closing if account else OwnClosing()

        return Situation(
            book=book,
            settings=account.closing if account else ClosingSettings(),
            now=now,
            epoch=everywhere.epoch + own.epoch,
            quotes={symbol: mark.quote for symbol, mark in marks.items()},
            quoted_at={symbol: mark.as_of for symbol, mark in marks.items()},
            trading=account is None or account.sessions.is_open(now),
            halted=halted,
            halts=halts_of(everywhere, own),
            since=newest_halts(everywhere, own),
            stated=self._stated(account, book, closing, since),
            increments=account.increments if account else {},
            refused=refused,
            own=cache(said),
            resumed=lambda strategy: _part(own, name, strategy).last_resume,
        )

    def _resting(
        self, account: Account, book: Book, state: ClosingState, position: Position
    ) -> Resting | None:
        """Return what is known to rest against a position; a store that cannot be read keeps nothing from being closed."""
        try:
            return self._resting_of(position, account, book, state, self._clock.now())
        except Transient:
            return None

    def _fresh(self, account: Account | None) -> Mapping[str, Mark]:
        """Return the prices that are young enough to trade by. Without any a halt closes at the market all the same."""
        try:
            self._marks.refresh()
        except Transient:
            return {}
        oldest = self._clock.now() - timedelta(seconds=account.price_max_age_s if account else 60)
        return {symbol: mark for symbol, mark in self._marks.marks.items() if mark.as_of >= oldest}

    def _changed(
        self, stored: ClosingState | None, step: Step, account: Account | None
    ) -> Change[ClosingState] | None:
        now = self._clock.now()

        def settings(sent: Sent) -> ClosingSettings:
            return closing_of(account, sent.strategy, sent.legs[0].trade_id) if account else ClosingSettings()

        state, rows, slipped = log_executions(step.state, settings, now)
        if state == stored and not step.commands:
            return None
        effects = [_command_effect(command) for command in step.commands]
        alerts = [*step.alerts, *slipped]
        effects += [alert_effect(alert) for alert in alerts]
        rows += proofs_of(stored, state, alerts, now)
        effects += row_effects(state.account, rows)
        return Change(state, effects)


def _part(own: Control, account: str, strategy: str | None) -> Standing:
    return own if strategy is None else own.standing(strategy_scope(account, strategy))


def _is_active(state: ClosingState) -> bool:
    """Tell whether there is something to close, to wait for, to log, to confirm or to tell the end of."""
    return bool(state.open_requests or state.sent or state.astray or state.unconfirmed or state.stuck)


def _command_effect(command: Command) -> Effect:
    return Effect(command.command_id, "orders", command.account, command.model_dump(mode="json"))
