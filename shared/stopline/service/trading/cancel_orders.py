"""Cancel the working orders of what is halted without closing, and of halted strategies and underlyings."""

from collections.abc import Iterator

from stopline.model.control import GLOBAL, Control, TradingState, account_scope
from stopline.model.ids import digest
from stopline.model.messages import HALT_CANCEL_VALID, Command, CommandAction, Effect
from stopline.model.scopes import Scope, scope_of
from stopline.ports import Clock
from stopline.service.documents.aggregate import Aggregates, Change


class OrderCanceller:
    """Sends `cancel_all`, once an epoch. Called by the kill switch and by every sweep."""

    def __init__(self, documents: Aggregates[Control], clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    def advance(self, account: str, *, just_read: bool = False) -> int:
        """Send the cancels that an account's halts are still owed; return how many. Raises Unavailable or Unpublished:
        what was committed goes out with the next call. `just_read`: the caller has read both controls a moment ago.
        """
        names = GLOBAL, account_scope(account)
        look = self._documents
        held, known = [look.peek(name) for name in names] if just_read else look.read_all(*names)
        everywhere = held or Control(scope=GLOBAL)
        sent = 0

        def decide(control: Control | None, attempt: int) -> Change[Control] | None:
            nonlocal sent
            before = control or Control(scope=account_scope(account))
            epoch = everywhere.epoch + before.epoch
            scopes = list(_halted(account, everywhere, before))
            sent = 0 if before.cancelled >= epoch else len(scopes)
            if not sent:
                return None
            effects = [self._cancel(account, scope, epoch) for scope in scopes]
            return Change(before.model_copy(update={"cancelled": epoch}), effects)

        if everywhere.state is TradingState.HALTED or (
            known and next(_halted(account, everywhere, known), None)
        ):
            self._documents.change(account_scope(account), decide)
        return sent

    def _cancel(self, account: str, scope: Scope, epoch: int) -> Effect:
        now = self._clock.now()
        command = Command(
            command_id=digest("cancel_only", account, str(scope), str(epoch)),
            account=account,
            action=CommandAction.CANCEL_ALL,
            epoch=epoch,
            strategy=scope.name if scope.kind == "strategy" else None,
            underlying=scope.name if scope.kind == "underlying" else None,
            reason=f"{scope} is halted"[:500],
            issued_at=now,
            expires_at=now + HALT_CANCEL_VALID,
        )
        return Effect(command.command_id, "orders", account, command.model_dump(mode="json"))


def _halted(account: str, everywhere: Control, own: Control) -> Iterator[Scope]:
    """Yield what is halted without a closing of the whole account, which cancels by itself."""
    whole = [c for c in (everywhere, own) if c.state is TradingState.HALTED]
    if whole:
        if not any(c.flatten for c in whole):
            yield Scope("account", account)
        return
    for part in own.parts.values():
        if part.state is TradingState.HALTED:
            yield scope_of(part.scope)
