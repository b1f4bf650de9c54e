"""The trading state: set it (persist first, then publish), and read which state holds for an account."""

from datetime import datetime

import orjson

from stopline.model.control import (
    GLOBAL,
    Control,
    ControlRequest,
    Seen,
    TradingState,
    account_scope,
    effective,
)
from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.messages import Alert, Effect, Severity
from stopline.model.wire import canonical, content_hash, validate
from stopline.ports import Clock, Data, Store
from stopline.service.aggregate import Aggregates, Change
from stopline.service.history_rows import audit_row, history_effect
from stopline.service.outbox import Relay

REMEMBERED = 200  # requests a scope remembers for idempotency
TARGETS = {"kill": TradingState.HALTED, "pause": TradingState.REDUCING, "resume": TradingState.ACTIVE}


class ControlCodec:
    """A control as the fields of its document."""

    collection = "controls"

    def encode(self, state: Control) -> Data:
        return {
            "scope": state.scope,
            "trading_state": state.state.value,
            "epoch": state.epoch,
            "state": canonical(state.model_dump(mode="json")).decode(),
        }

    def decode(self, data: Data) -> Control:
        return validate(Control, orjson.loads(data["state"]))


def controls(store: Store, relay: Relay, clock: Clock) -> Aggregates[Control]:
    """Return access to all control documents."""
    return Aggregates(store, relay, clock, ControlCodec())


class TradingStates:
    """Sets and reads the trading state of scopes."""

    def __init__(self, documents: Aggregates[Control], clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    def read(self, scope: str) -> Control:
        """Return the control of a scope as stored; a scope that was never set is ACTIVE at epoch 0."""
        return self._documents.read(scope) or Control(scope=scope)

    def for_account(self, account: str) -> tuple[TradingState, int, list[Control]]:
        """Return the state that holds for an account, its epoch, and the controls it comes from. Raises
        Unavailable.
        """
        held = [self.read(GLOBAL), self.read(account_scope(account))]
        state, epoch = effective(*held)
        return state, epoch, held

    def set(self, request: ControlRequest) -> Control:
        """Carry out a request once; the same id again changes nothing and answers the same.

        The state is committed before anything is published. Raises Rejected for a request that cannot be,
        Unpublished when the state stands and its messages are due, Unavailable when the outcome is unknown:
        ask again.
        """
        hashed = content_hash(request.model_dump(mode="json"))
        refused: Rejected | None = None

        def decide(control: Control | None, attempt: int) -> Change[Control] | None:
            nonlocal refused
            refused = None
            before = control or Control(scope=request.scope)
            seen = before.seen.get(request.request_id)
            if seen is not None:
                if seen.hash != hashed:
                    refused = Rejected(
                        "CONFLICTING_REQUEST", f"request {request.request_id} was made with other content"
                    )
                return None
            refused = _fault(before, request)
            return None if refused else _changed(before, request, hashed, self._clock.now())

        control = self._documents.change(request.scope, decide)
        if refused is not None:
            raise refused
        if control is None:
            raise Rejected("NO_CONTROL", f"scope {request.scope} has no state")
        return control

    def carry_out(self, effect: Effect) -> None:
        """Carry out a change of state that a limit asked for (the relay's local topic `controls`)."""
        self.set(validate(ControlRequest, effect.body))


def _fault(before: Control, request: ControlRequest) -> Rejected | None:
    """Say why a request cannot be carried out, or None. Only a resume is refused: stopping always works."""
    if request.action == "resume" and request.expected_epoch != before.epoch:
        return Rejected(
            "STALE_RESUME",
            f"{request.scope} is at epoch {before.epoch}, the resume was made for {request.expected_epoch}",
        )
    return None


def _changed(before: Control, request: ControlRequest, hashed: str, now: datetime) -> Change[Control]:
    target = TARGETS[request.action]
    if request.action != "resume" and before.state.rank > target.rank:
        target = before.state  # a pause never loosens a halt
    same = target is before.state and (request.action != "kill" or before.flatten >= request.flatten)
    epoch = before.epoch if same else before.epoch + 1
    seen = {**before.seen, request.request_id: Seen(hash=hashed, epoch=epoch, at=now)}
    while len(seen) > REMEMBERED:
        seen.pop(next(iter(seen)))
    remembered = {"seen": seen}
    if same:
        after = before.model_copy(update=remembered)
        return Change(after, [_audit(before, after, request, now, f"{request.action}_repeated")])
    after = before.model_copy(
        update={
            **remembered,
            "state": target,
            "epoch": epoch,
            "previous": before.state,
            "actor": request.actor,
            "reason": request.reason,
            "request_id": request.request_id,
            "since": now,
            "flatten": target is TradingState.HALTED and (request.flatten or before.flatten),
        }
    )
    return Change(after, [_audit(before, after, request, now, request.action), _alert(before, after, now)])


def _audit(before: Control, after: Control, request: ControlRequest, now: datetime, event: str) -> Effect:
    row = audit_row(
        event_id=digest("control", request.scope, request.request_id),
        scope=request.scope,
        event=event,
        actor=request.actor,
        reason=request.reason,
        at=now,
        epoch=after.epoch,
        states=(before.state.value, after.state.value),
        detail=request.model_dump(mode="json"),
    )
    return history_effect(scope_account(request.scope), [row])


def _alert(before: Control, after: Control, now: datetime) -> Effect:
    account = scope_account(after.scope)
    whose = f"account {account}" if account else "all accounts"
    texts = {
        TradingState.HALTED: ("Trading halted for {0}", Severity.CRITICAL),
        TradingState.REDUCING: ("Trading is reduce-only for {0}", Severity.CRITICAL),
        TradingState.ACTIVE: ("Trading resumed for {0}", Severity.WARNING),
    }
    text, severity = texts[after.state]
    did = {
        TradingState.HALTED: "Working orders are cancelled and open positions closed."
        if after.flatten
        else "Nothing new is let through.",
        TradingState.REDUCING: "Only what reduces risk is let through.",
        TradingState.ACTIVE: "Limits are watched as before.",
    }[after.state]
    id_ = digest("control_alert", after.scope, str(after.epoch))
    alert = Alert(
        alert_id=id_,
        account=account or None,
        kind="trading_state",
        object=after.scope,
        severity=Severity.INFO if after.actor.startswith("limit:") else severity,  # the breach has told it
        summary=f"{text.format(whose)} by {after.actor}: {after.reason}"[:500],
        action=did,
        cause=after.request_id,
        raised_at=now,
        resolved=after.state is TradingState.ACTIVE,
    )
    return Effect(id_, "alerts", account, alert.model_dump(mode="json"))


def scope_account(scope: str) -> str:
    """Return the account of an account scope; empty for others."""
    return scope.removeprefix("account:") if scope.startswith("account:") else ""
