"""The second path of a kill, for when the state cannot be stored: told to the adapters at once, stored later."""

from collections.abc import Mapping
from datetime import datetime

from stopline.model.control import ControlRequest, Standing
from stopline.model.ids import digest
from stopline.model.messages import ControlMessage, Halt
from stopline.model.scopes import scope_account
from stopline.model.times import parse_utc, utc_text
from stopline.model.wire import canonical, content_hash
from stopline.ports import Bus, Outgoing
from stopline.rules.trading.state import check
from stopline.service.trading.controls import TradingStates

MINUTE = "%Y-%m-%dT%H:%M"


def halt_id(request: ControlRequest, asked_at: datetime) -> str:
    """Return the id of the halt that stands for a kill: of this scope, with this content, asked for in this minute. A stop
    holds for a minute: the same request in another one may be a new wish, and is told and stored as one.
    """
    hashed = content_hash(request.content())
    return digest("halt", request.scope, request.request_id, hashed, format(asked_at, MINUTE))


def halt_unpersisted(bus: Bus, request: ControlRequest, asked_at: datetime) -> str:
    """Publish a kill that could not be stored; return the id of the halt. Raises Unavailable: nobody was told; Rejected
    where it never can be stored. `asked_at`: before it was tried to store it.

    The request goes to `sweeps` first, from where it is stored as soon as the state can be written: Pub/Sub keeps it until
    then. So no adapter, which gets it on `orders` and halts itself, waits for what is on its way to nobody. The halt and the
    time go with it as attributes, which a sweep of before them leaves alone.
    """
    check(request)
    halt = Halt(
        halt_id=halt_id(request, asked_at),
        scope=request.scope,
        actor=request.actor,
        reason=request.reason,
        issued_at=asked_at,
    )
    account = scope_account(request.scope)
    attributes = {"type": halt.type, **({"account": account} if account else {})}
    journal = ControlMessage(request=request)
    facts = {"type": journal.type, "halt_id": halt.halt_id, "asked_at": utc_text(asked_at)}
    bus.publish([Outgoing("sweeps", canonical(journal.model_dump(mode="json")), facts)])
    bus.publish([Outgoing("orders", canonical(halt.model_dump(mode="json")), attributes, account)])
    return halt.halt_id


def persist_halt(
    trading: TradingStates, message: ControlMessage, attributes: Mapping[str, str], published_at: datetime
) -> Standing:
    """Store what `halt_unpersisted` published. A message of before halts were its attributes is of an id that follows from
    the request. Raises like `TradingStates.set`.
    """
    request = message.request
    halt = attributes.get("halt_id") or digest("halt", request.scope, request.request_id)
    asked = attributes.get("asked_at")
    return trading.store_halt(request, halt, parse_utc(asked) if asked else published_at)
