"""Tell people where their stop is of a name that stands for nothing: a mistyped one must not pass for a stop."""

import logging
from collections.abc import Callable

from stopline.model.control import Control, ControlRequest
from stopline.model.errors import Transient
from stopline.model.scopes import Scope, scope_of
from stopline.ports import Clock
from stopline.rules.trading.breakers import rule_of
from stopline.rules.trading.state import TARGETS, Transition
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.trading.state_alerts import unheld_alert

log = logging.getLogger("stopline")

Unheld = Callable[[Scope], str]
"""Say why a name stands for nothing that an account holds; empty where it does. Raises Transient."""


def tell_unheld(
    documents: Aggregates[Control],
    clock: Clock,
    unheld: Unheld,
    request: ControlRequest,
    moved: Transition | None,
) -> None:
    """Tell where a person's stop is of a name that stands for nothing that is held. The stop is stored and published
    before: nothing of it waits for the book. The text is a commit of its own, as long as the stop stands as it was made.
    Where that cannot be known nothing is claimed.
    """
    scope = scope_of(request.scope)
    is_stop = moved is not None and moved.changed and request.action in TARGETS
    if moved is None or not is_stop or not scope.is_part or rule_of(request.actor) is not None:
        return
    made, epoch = moved.control.standing(request.scope), moved.control.epoch

    def decide(control: Control | None, attempt: int) -> Change[Control] | None:
        if control is None or control.standing(request.scope) != made:
            return None
        return Change(control, [unheld_alert(made, epoch, clock.now(), nothing)])

    try:
        nothing = unheld(scope)
        if nothing:
            documents.change(scope.document, decide)
    except Transient:
        log.warning("whether it holds anything is not told", exc_info=True, extra={"scope": request.scope})
