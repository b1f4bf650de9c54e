"""What limits want done, as effects: a change of the trading state. And what became of their stops."""

from collections.abc import Callable, Collection, Mapping, Sequence

from stopline.model.control import Control
from stopline.model.messages import Effect
from stopline.model.scopes import account_scope, strategy_scope
from stopline.rules.alerting.text_parts import amount
from stopline.rules.limits.registry import Action, Reading
from stopline.rules.limits.stops import Stop, request_of
from stopline.service.documents.outbox import CONTROLS_TOPIC
from stopline.service.trading.breaker_effects import was_carried_out

Ended = Callable[[str, Mapping[str, Stop]], Collection[str]]
"""Return the keys of those stops of an account's limits that hold no more."""


def ended_of(control: Control, account: str, stops: Mapping[str, Stop]) -> set[str]:
    """Return the keys of the stops that were carried out and hold no more."""
    found = set()
    for key, stop in stops.items():
        name, _, object_ = key.partition("|")
        part = control.parts.get(f"strategy:{account}:{object_}")
        holds = {*control.holds, *(part.holds if part else ())}
        if f"limit:{name}" not in holds and was_carried_out(control, stop.request_id, stop.asked_at):
            found.add(key)
    return found


def limit_effects(account: str, asked: Sequence[Reading], cause: str) -> list[Effect]:
    """Return the changes of trading state that readings ask for: the same cause gives the same ones."""
    effects = []
    for reading in asked:
        scope = account_scope(account)
        if reading.action is Action.PAUSE_STRATEGY:
            scope = strategy_scope(account, reading.object)
        id_ = request_of(account, reading, cause)
        body = {
            "request_id": id_,
            "scope": scope,
            "action": "kill" if reading.action is Action.HALT else "pause",
            "flatten": False,
            "actor": f"limit:{reading.limit.name}",
            "reason": f"{reading.limit.what} {'at least ' if reading.at_least else ''}"
            f"{amount(reading.current, reading.unit)}, "
            f"limit {amount(reading.threshold, reading.unit)}",
        }
        effects.append(Effect(id_, CONTROLS_TOPIC, account, body))
    return effects
