"""What breakers want done, as effects: a change of the trading state, and who is told. And what became of their stops."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from stopline.model.control import FORGOTTEN, REMEMBERED, TAKEN_UP, Control, account_scope
from stopline.model.ids import digest
from stopline.model.messages import Alert, Effect, Figure, Severity, alert_effect
from stopline.rules.trading.breakers import Move, Tripped
from stopline.rules.trading.reset import Reset
from stopline.rules.trading.state import overtaken
from stopline.service.documents.outbox import CONTROLS_TOPIC

Lifted = Callable[[str, Mapping[str, Tripped]], Mapping[str, str]]
"""Return which of an account's breakers, as they were tripped, have had their stop lifted by people: see `lifted_of`."""

DONE = {
    "pause": "Trading is reduce-only.",
    "kill": "A second reading agrees: orders are being cancelled, positions closed, unless people resumed a moment ago;"
    " flat is told when fills prove it.",
    "release": "Its pause is lifted. A halt of its own stays until people lift it.",
}


def lifted_of(control: Control, tripped: Mapping[str, Tripped]) -> dict[str, str]:
    """Return the breakers whose stop was carried out and holds no more, each with the request of the pause that came in
    place of its kill (see `as_meant`), else empty. One that is on its way is not lifted: the requests that the document
    remembers say so, as far back as they go.
    """
    found = {}
    for name, one in tripped.items():
        hold, instead = control.holds.get(f"breaker:{name}"), overtaken(one.request_id)
        paused = instead in control.seen or (hold is not None and hold.request_id == instead)
        if one.confirmed and paused and not (hold and hold.flatten):
            found[name] = instead
        elif hold is None and was_carried_out(control, one.request_id, one.since):
            found[name] = ""
    return found


def was_carried_out(control: Control, request_id: str, asked_at: datetime | None = None) -> bool:
    """Tell whether a request has been carried out; one that nobody knows has been, before the oldest that is remembered, or
    before the document was lost and taken up. `asked_at` None: not known.
    """
    if not request_id or request_id in control.seen:
        return True
    if len(control.requests) >= REMEMBERED and FORGOTTEN not in control.seen:
        return True  # what it has forgotten was not noted yet
    until = [control.seen[key].at for key in (TAKEN_UP, FORGOTTEN) if key in control.seen]
    return bool(until) and (asked_at is None or asked_at <= max(until))


def breaker_effects(account: str, moves: Sequence[Move], cause: str, now: datetime) -> list[Effect]:
    """Return the effects of moves: the same cause gives the same ones."""
    effects = []
    for move in moves:
        name = move.breaker.name
        body = {
            "request_id": move.request_id,
            "scope": account_scope(account),
            "action": move.action,
            "flatten": move.action == "kill",
            "actor": f"breaker:{name}",
            "reason": move.reason,
            **({"releases": move.releases} if move.releases else {}),
        }
        effects.append(Effect(move.request_id, CONTROLS_TOPIC, account, body))
        alert = Alert(
            alert_id=digest("breaker_alert", account, name, move.action, cause),
            account=account,
            kind="breaker",
            object=name,
            severity=Severity.WARNING if move.action == "release" else Severity.CRITICAL,
            summary=f"Breaker {name.replace('_', ' ')}: {move.reason}"[:500],
            action=f"{DONE[move.action]} {_reset(move)}".strip(),
            figure=Figure(current=move.current, limit=move.threshold, unit=move.breaker.unit),
            cause=cause,
            raised_at=now,
            resolved=move.action == "release",
        )
        effects.append(alert_effect(alert))
    return effects


def _reset(move: Move) -> str:
    """Say what ends it."""
    if move.action == "release":
        return ""
    if move.breaker.flatten and move.action == "pause":
        of = ", of newer prices," if move.breaker.of_prices else ""
        return f"A second bad reading{of} closes everything."
    if move.breaker.rule.reset is Reset.READINGS:
        return f"It ends after {move.breaker.good_readings} good readings in a row, or when a person resumes."
    return "Two people must resume." if move.breaker.rule.people > 1 else "A person must resume."
