"""The control documents of the whole and of the accounts, and which trading state holds out of the two: also where one is
damaged.

What nobody can read stops everybody, and ends nothing: what adds risk is refused, closings go on, limits are watched.
"""

import orjson

from stopline.model.control import GLOBAL, Control, TradingState, account_scope
from stopline.model.errors import Unreadable
from stopline.model.scopes import has_document
from stopline.model.wire import canonical, validate
from stopline.ports import Clock, Data, Store, Where
from stopline.service.documents.aggregate import Aggregates
from stopline.service.documents.outbox import Relay


class ControlCodec:
    """A control as the fields of its document."""

    collection = "controls"

    def encode(self, state: Control) -> Data:
        standings = (state, *state.parts.values())
        ends = [hold.until for s in standings for hold in s.holds.values() if hold.until]
        return {
            "scope": state.scope,
            "trading_state": state.state.value,
            "epoch": state.epoch,
            "flattens": state.flatten,
            "is_stopped": any(s.state is not TradingState.ACTIVE for s in standings),
            "due_at": min(ends, default=None),
            "chain_end": chain_end(state),
            "state": canonical(state.model_dump(mode="json")).decode(),
        }

    def decode(self, data: Data) -> Control:
        return validate(Control, orjson.loads(data["state"]))


def chain_end(control: Control) -> str:
    """Return where the audit trail of a document ends, in short: the number of its last row, and how its hash begins."""
    return f"{control.chain_seq} {control.chain_hash[:12]}"


def marks(store: Store) -> tuple[dict[str, int], dict[str, str]]:
    """Return the epochs of all documents that were ever set, as stored beside their state, and the ends of their audit
    trails where those are noted, by scope. Raises Unavailable.
    """
    epochs, ends = dict[str, int](), dict[str, str]()
    for document in store.query(ControlCodec.collection):
        scope, epoch = str(document.data.get("scope")), document.data.get("epoch")
        if not has_document(scope):
            continue
        epochs[scope] = epoch if type(epoch) is int else 0
        end = document.data.get("chain_end")
        if isinstance(end, str):
            ends[scope] = end
    return epochs, ends


def controls(store: Store, relay: Relay, clock: Clock) -> Aggregates[Control]:
    """Return access to all control documents."""
    return Aggregates(store, relay, clock, ControlCodec())


def both(documents: Aggregates[Control], account: str) -> tuple[Control, Control]:
    """Return the controls of the whole and of an account as they were at one moment: read one after the other they may
    make up a state that never was, under an epoch at which another one held.
    """
    try:
        everywhere, own = documents.read_all(GLOBAL, account_scope(account))
    except Unreadable:
        own = documents.read(account_scope(account))
        everywhere = of_everything(documents)
    return everywhere or Control(scope=GLOBAL), own or Control(scope=account_scope(account))


def both_to_stop(documents: Aggregates[Control], account: str) -> tuple[Control, Control]:
    """Return the same for who cancels and closes: where the account's own is damaged, what stands in for it. What is halted
    further up is closed all the same; of its own parts nothing is known. Raises Unreadable where its epoch is unknown too.
    """
    try:
        return both(documents, account)
    except Unreadable as problem:
        own = stand_in(documents, account_scope(account), problem)
        return of_everything(documents), own


def of_everything(documents: Aggregates[Control], *, cached: bool = False) -> Control:
    """Return the control of the whole. `cached`: as it was read a moment ago."""
    try:
        found = documents.peek(GLOBAL) if cached else documents.read(GLOBAL)
    except Unreadable as problem:
        return stand_in(documents, GLOBAL, problem)
    return found or Control(scope=GLOBAL)


def stand_in(documents: Aggregates[Control], scope: str, problem: Unreadable) -> Control:
    """Return what counts instead of a damaged document, by its fields beside the state: REDUCING, or HALTED where it was, at
    its epoch, without which adapters take no command. Raises the problem where these are damaged too.
    """
    data = next((d.data for d in documents.query([Where("scope", "==", scope)], limit=1)), {})
    epoch, state, flattens = (data.get(name) for name in ("epoch", "trading_state", "flattens"))
    is_halted = state == TradingState.HALTED
    if type(epoch) is not int or (is_halted and type(flattens) is not bool):
        raise problem
    return Control(
        scope=scope,
        state=TradingState.HALTED if is_halted else TradingState.REDUCING,
        flatten=is_halted and bool(flattens),
        epoch=epoch,
        actor="stopline",
        reason=f"its trading state cannot be read: {problem}"[:500],
        request_id="unreadable",
    )
