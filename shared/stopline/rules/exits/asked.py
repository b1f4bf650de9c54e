"""What a close that was asked for does to the rules of its trade: which are quiet, and which may go over it."""

from stopline.rules.exits.plan import Plan
from stopline.rules.exits.state import Asked, Exit, ExitState

URGENT = frozenset({"stop_loss", "excessive_loss", "before_close"})
NORMAL = frozenset({"target", "scale_out", "trailing_stop", "breakeven", "lock_in", "timeout"})  # by price


def is_closing(state: ExitState) -> bool:
    """Tell whether a close is under way, so that a spread's legs may be in another proportion for it."""
    return state.asked is not None and not state.asked.advisory


def is_final(asked: Asked | None) -> bool:
    """Tell whether all of a trade was asked for as urgently as can be: nothing goes over that."""
    if asked is None or asked.advisory or asked.leave:
        return False
    return asked.stuck or asked.rule in URGENT


def muted(state: ExitState) -> frozenset[str]:
    """Return the rules on price that have nothing to add: normal ones while all is being closed, and those that people
    were told of while nothing is closed for them.
    """
    if state.asked is not None and is_closing(state):
        return frozenset() if state.asked.leave else NORMAL
    return frozenset(state.told)


def is_new(plan: Plan, state: ExitState, found: Exit) -> bool:
    """Tell whether an exit asks for more, or more urgently, than what was asked for; one that people are only told of,
    whether they were not yet. A stage of a scale-out is found once in any case.
    """
    asked = state.asked
    if asked is None or asked.advisory:
        return plan.auto_close or found.rule == "scale_out" or found.rule not in state.told
    more_urgent = found.urgency == "urgent" and not (asked.stuck or asked.rule in URGENT)
    return found.leave < asked.leave or (more_urgent and found.leave == asked.leave)
