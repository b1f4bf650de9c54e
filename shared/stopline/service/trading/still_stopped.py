"""What is still stopped where a person has resumed a scope: what covers it, and what it covers."""

import logging
from collections.abc import Iterable

from stopline.model.control import Control, Standing, TradingState
from stopline.model.errors import Unreadable
from stopline.model.scopes import Scope, scope_of
from stopline.ports import Where
from stopline.service.documents.aggregate import Aggregates
from stopline.service.trading.control_documents import both_to_stop

log = logging.getLogger("stopline")
UNKNOWN = "UNKNOWN"
MOST = 10_000  # accounts


def beside(scope: Scope, everywhere: Control | None, own: Control) -> list[Standing]:
    """Return the standings that hold too for what a scope covers: the whole, its account, and parts that cross it."""
    crossing = [part for part in own.parts.values() if scope_of(part.scope).kind != scope.kind]
    return [*([everywhere] if everywhere else []), own, *crossing]


def still_stopped(controls: Aggregates[Control], scope: Scope) -> dict[str, str]:
    """Return the state of each scope that stops something of another one which is itself resumed; of the whole, of each
    account or part that was stopped by itself. UNKNOWN: its document is damaged. Raises Transient.
    """
    if scope.account:
        return _stopped(beside(scope, *both_to_stop(controls, scope.account)))
    found: dict[str, str] = {}
    for document in controls.query([Where("is_stopped", "==", True)], limit=MOST):
        name = str(document.data.get("scope"))
        try:
            own = controls.adopt(name, document)
        except Unreadable:
            log.exception("what is still stopped cannot be read", extra={"scope": name})
            found[name] = UNKNOWN
        else:
            found |= _stopped([own, *own.parts.values()]) if own else {}
    return found


def _stopped(standings: Iterable[Standing]) -> dict[str, str]:
    return {one.scope: one.state.value for one in standings if one.state is not TradingState.ACTIVE}
