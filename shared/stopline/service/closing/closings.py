"""The closings of accounts in the store: one document an account, written by the Closer alone."""

import orjson

from stopline.model.closing_state import ClosingState
from stopline.model.wire import canonical, validate
from stopline.ports import Clock, Data, Store
from stopline.rules.closing.sent import next_due
from stopline.service.documents.aggregate import Aggregates
from stopline.service.documents.outbox import Relay

CLOSINGS = "closings"


class ClosingCodec:
    """A closing state as the fields of its document. `due_at`: when it needs a look even without news."""

    collection = CLOSINGS

    def encode(self, state: ClosingState) -> Data:
        return {
            "account": state.account,
            "open": len(state.open_requests),
            "due_at": next_due(state),
            "state": canonical(state.model_dump(mode="json")).decode(),
        }

    def decode(self, data: Data) -> ClosingState:
        return validate(ClosingState, orjson.loads(data["state"]))


def closings(store: Store, relay: Relay, clock: Clock) -> Aggregates[ClosingState]:
    """Return access to all closings."""
    return Aggregates(store, relay, clock, ClosingCodec())
