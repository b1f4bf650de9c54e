"""Carry a halt with flatten through: cancel, close, and say flat only when the fills prove it."""

from collections.abc import Sequence
from datetime import datetime

from stopline.ledger.book import Book
from stopline.model.control import GLOBAL, Closing, ClosingStatus, Control, TradingState, account_scope
from stopline.model.ids import digest
from stopline.model.messages import Alert, Command, Effect, Severity
from stopline.ports import Clock
from stopline.rules.closing import advance
from stopline.service.aggregate import Aggregates, Change
from stopline.service.history_rows import audit_row, history_effect


class Closer:
    """Advances the closings of accounts. Called by the kill switch, after each fill, and by every sweep."""

    def __init__(self, documents: Aggregates[Control], books: Aggregates[Book], clock: Clock) -> None:
        self._documents = documents
        self._books = books
        self._clock = clock

    def advance(self, account: str) -> Closing | None:
        """Send what is missing to make an account flat, where a halt with flatten holds; return how far it
        is.

        Raises Unavailable or Unpublished: what was committed goes out with the next call.
        """
        everywhere = self._documents.read(GLOBAL) or Control(scope=GLOBAL)
        scope = account_scope(account)
        own = self._documents.read(scope) or Control(scope=scope)
        if not _must_close(everywhere, own):
            return None
        book = self._books.read(account) or Book(account)
        now = self._clock.now()

        def decide(control: Control | None, attempt: int) -> Change[Control] | None:
            before = control or Control(scope=scope)
            if not _must_close(everywhere, before):
                return None  # resumed in the meantime
            epoch = everywhere.epoch + before.epoch
            if _is_behind(before.closing, epoch, book):
                return None  # somebody with a newer book was here
            closing, commands = advance(account, before.closing, epoch, book, now)
            if closing == before.closing and not commands:
                return None
            effects = [_command_effect(command) for command in commands]
            if closing.status is ClosingStatus.FLAT and not _was_flat(before.closing, epoch):
                effects += _flat_effects(account, closing, now)
            elif commands and any(order.round > 2 for order in closing.orders.values()):
                effects.append(_stuck_effect(account, closing, commands, now))
            return Change(before.model_copy(update={"closing": closing}), effects)

        control = self._documents.change(scope, decide)
        return control.closing if control else None


def _must_close(*controls: Control) -> bool:
    return any(c.state is TradingState.HALTED and c.flatten for c in controls)


def _is_behind(closing: Closing | None, epoch: int, book: Book) -> bool:
    return closing is not None and closing.epoch == epoch and book.revision < closing.book_revision


def _was_flat(closing: Closing | None, epoch: int) -> bool:
    return closing is not None and closing.epoch == epoch and closing.flat_at is not None


def _command_effect(command: Command) -> Effect:
    return Effect(command.command_id, "orders", command.account, command.model_dump(mode="json"))


def _flat_effects(account: str, closing: Closing, now: datetime) -> list[Effect]:
    id_ = digest("flat", account, str(closing.epoch), str(closing.flat_at))
    seconds = int((now - closing.since).total_seconds())
    alert = Alert(
        alert_id=id_,
        account=account,
        kind="flat",
        object=account_scope(account),
        severity=Severity.WARNING,
        summary=f"Account {account} is flat: the fills prove it, {seconds} s after the halt",
        raised_at=now,
        resolved=True,
    )
    row = audit_row(id_, account_scope(account), "flat", "stopline", "the fills prove it", now, closing.epoch)
    return [Effect(id_, "alerts", account, alert.model_dump(mode="json")), history_effect(account, [row])]


def _stuck_effect(account: str, closing: Closing, commands: Sequence[Command], now: datetime) -> Effect:
    """Tell people, once a round, that positions stay open although they were told to close."""
    rounds = max(order.round for order in closing.orders.values())
    id_ = digest("stuck", account, str(closing.epoch), str(closing.sent))
    symbols = ", ".join(sorted({c.instrument.symbol for c in commands if c.instrument}))
    alert = Alert(
        alert_id=id_,
        account=account,
        kind="closing_stuck",
        object=account_scope(account),
        severity=Severity.CRITICAL,
        summary=f"Account {account} is not flat after {rounds - 1} close commands: {symbols}"[:500],
        action="Stopline keeps sending. Look at the broker, and close by hand if it does not.",
        raised_at=now,
    )
    return Effect(id_, "alerts", account, alert.model_dump(mode="json"))
