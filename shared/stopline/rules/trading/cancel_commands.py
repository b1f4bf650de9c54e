"""The commands that cancel the working orders of what is stopped. Stopline knows no order book: the adapter tells which ones
these are.
"""

from collections.abc import Iterable
from datetime import datetime

from stopline.model.ids import digest
from stopline.model.messages import HALT_CANCEL_VALID, Command, CommandAction, Effect
from stopline.model.scopes import Scope


def cancel_of(
    scope: Scope, action: CommandAction, epoch: int, now: datetime, again: str = "", *, halted: bool = False
) -> Effect:
    """Return the cancel of what is stopped in a scope. `again`: which one it is after the first; `halted`: so is the scope,
    whatever is cancelled.
    """
    is_halted, account = action is CommandAction.CANCEL_ALL, scope.account
    ids = ["cancel_only" if is_halted else "cancel_adding", account, str(scope), str(epoch)]
    if is_halted and not scope.is_part:
        ids = ["cancel", account, str(epoch)]  # as closings that older versions began have sent it
    command = Command(
        command_id=digest(*ids, again) if again else digest(*ids),
        account=account,
        action=action,
        epoch=epoch,
        strategy=scope.name if scope.kind == "strategy" else None,
        underlying=scope.name if scope.kind == "underlying" else None,
        reason=f"{scope} is {'halted' if is_halted or halted else 'reduce-only'}"[:500],
        issued_at=now,
        expires_at=now + HALT_CANCEL_VALID,
    )
    return Effect(command.command_id, "orders", account, command.model_dump(mode="json"))


def wholly_cancelled(effects: Iterable[Effect]) -> dict[str, int]:
    """Return the scopes of which effects cancel everything, and the account's epoch of each cancel."""
    found = ((whole_cancel(effect), effect.body["epoch"]) for effect in effects)
    return {str(scope): epoch for scope, epoch in found if scope}


def whole_cancel(effect: Effect) -> Scope | None:
    """Return the scope of which an effect cancels everything; None where it does not."""
    body = effect.body
    if body.get("action") != CommandAction.CANCEL_ALL.value:
        return None
    account = body["account"]
    if strategy := body.get("strategy"):
        return Scope("strategy", account, strategy)
    if underlying := body.get("underlying"):
        return Scope("underlying", account, underlying)
    return Scope("account", account)
