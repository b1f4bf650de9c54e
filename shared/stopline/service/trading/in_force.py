"""Which trading state holds for an account, out of the whole's control and its own: also where the whole's is damaged.

What nobody can read stops everybody, and ends nothing: what adds risk is refused, closings go on, limits are watched.
"""

from stopline.model.control import GLOBAL, Control, TradingState, account_scope
from stopline.model.errors import Unreadable
from stopline.ports import Where
from stopline.service.documents.aggregate import Aggregates

DAMAGED = "the trading state of the whole cannot be read"


def both(documents: Aggregates[Control], account: str) -> tuple[Control, Control]:
    """Return the controls of the whole and of an account as they were at one moment: read one after the other they may
    make up a state that never was, under an epoch at which another one held.
    """
    scope = account_scope(account)
    try:
        everywhere, own = documents.read_all(GLOBAL, scope)
    except Unreadable as problem:
        own = documents.read(scope)
        everywhere = stand_in(documents, problem)
    return everywhere or Control(scope=GLOBAL), own or Control(scope=scope)


def of_everything(documents: Aggregates[Control], *, cached: bool = False) -> Control:
    """Return the control of the whole. `cached`: as it was read a moment ago."""
    try:
        found = documents.peek(GLOBAL) if cached else documents.read(GLOBAL)
    except Unreadable as problem:
        return stand_in(documents, problem)
    return found or Control(scope=GLOBAL)


def stand_in(documents: Aggregates[Control], problem: Unreadable) -> Control:
    """Return what counts instead of the whole's damaged document, by its fields beside the state: REDUCING, or HALTED where
    it was, at its epoch, without which adapters take no command. Raises the problem where these are damaged too.
    """
    data = next((d.data for d in documents.query([Where("scope", "==", GLOBAL)], limit=1)), {})
    epoch, state, flattens = (data.get(name) for name in ("epoch", "trading_state", "flattens"))
    is_halted = state == TradingState.HALTED
    if type(epoch) is not int or (is_halted and type(flattens) is not bool):
        raise problem
    return Control(
        scope=GLOBAL,
        state=TradingState.HALTED if is_halted else TradingState.REDUCING,
        flatten=is_halted and bool(flattens),
        epoch=epoch,
        actor="stopline",
        reason=f"{DAMAGED}: {problem}"[:500],
        request_id="unreadable",
    )
