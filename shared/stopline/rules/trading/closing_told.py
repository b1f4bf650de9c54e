"""How far a halt's closing is, in words that are true for the scope asked for: one closing serves all of an account."""

from typing import Final

from stopline.ledger.book import Book
from stopline.model.control import Closing, ClosingStatus, Control, TradingState, effective_for
from stopline.model.scopes import Scope, account_scope
from stopline.rules.closing.halts import is_known

PARTS_FLAT: Final = "PARTS_FLAT"  # what was halted of the account is flat, other things are open
OVER: Final = "OVER"  # it was flat, people have resumed, and something is open again


def told(scope: Scope, halt: Closing | None, everywhere: Control, own: Control, book: Book) -> str | None:
    """Return how far the closing of an account, or of a part of it, is; None: nothing is closed there. `halt`: as stored, of
    the last halt with flatten.
    """
    if halt is None:
        return None
    is_open = any(scope.covers(p.strategy, p.instrument.underlying) for p in book.open_positions())
    if not scope.is_part:
        return _of_account(halt, own) if halt.status is ClosingStatus.FLAT and is_open else halt.status.value
    holding = effective_for(everywhere, own, scope.account, **{scope.kind: scope.name})
    if not holding.flatten:
        return None
    if not is_known(scope, book):
        return ClosingStatus.NOTHING_HELD.value
    epochs = {str(scope): own.standing(str(scope)).epoch, account_scope(scope.account): holding.epoch}
    is_proven = any(halt.flat.get(name) == epoch for name, epoch in epochs.items())
    return (ClosingStatus.FLAT if is_proven and not is_open else ClosingStatus.CLOSING).value


def told_now(scope: Scope, halt: Closing) -> str:
    """Return the same of a closing that was worked out a moment ago, for a halt that holds."""
    if not scope.is_part or halt.status is ClosingStatus.NOTHING_HELD:
        return halt.status.value
    is_proven = str(scope) in halt.flat or account_scope(scope.account) in halt.flat
    return (ClosingStatus.FLAT if is_proven else ClosingStatus.CLOSING).value


def _of_account(halt: Closing, own: Control) -> str:
    """Say of what a closing is that is flat while something of the account is open."""
    halted = (part.state is TradingState.HALTED and part.flatten for part in own.parts.values())
    return PARTS_FLAT if any(halted) else OVER
