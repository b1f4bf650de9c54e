"""The second path of a kill, for when the state cannot be stored: told to the adapters at once, stored later."""

from stopline.model.control import ControlRequest
from stopline.model.ids import digest
from stopline.model.messages import ControlMessage, Halt
from stopline.model.scopes import scope_account
from stopline.model.wire import canonical
from stopline.ports import Bus, Clock, Outgoing


def halt_id(scope: str, request_id: str) -> str:
    """Return the id of the halt that stands for a kill."""
    return digest("halt", scope, request_id)


def halt_unpersisted(bus: Bus, clock: Clock, request: ControlRequest) -> str:
    """Publish a kill that could not be stored; return the id of the halt. Raises Unavailable: nobody was told.

    Adapters get it on `orders` and halt themselves. The same request goes to `sweeps`, from where it is stored as soon as
    the state can be written: Pub/Sub keeps it until then. The same request again, by whichever path, counts once.
    """
    now = clock.now()
    halt = Halt(
        halt_id=halt_id(request.scope, request.request_id),
        scope=request.scope,
        actor=request.actor,
        reason=request.reason,
        issued_at=now,
    )
    account = scope_account(request.scope)
    attributes = {"type": halt.type, **({"account": account} if account else {})}
    journal = ControlMessage(request=request)
    bus.publish(
        [
            Outgoing("orders", canonical(halt.model_dump(mode="json")), attributes, account),
            Outgoing("sweeps", canonical(journal.model_dump(mode="json")), {"type": journal.type}),
        ]
    )
    return halt.halt_id
