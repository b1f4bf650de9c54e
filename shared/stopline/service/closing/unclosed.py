"""Tell people where a halt with flatten closes nothing, because something of the account cannot be read: once a halt, and
when that is over. Its working orders are cancelled all the same.
"""

import orjson

from stopline.model.control import Closing, Control, account_scope, effective
from stopline.model.errors import Contended
from stopline.model.ids import Name, digest
from stopline.model.messages import Alert, Effect, Severity
from stopline.model.wire import Message, canonical, validate
from stopline.ports import Clock, Data, Store, Unavailable
from stopline.service.closing.close_book import Closer, halts_of
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay, Unpublished
from stopline.service.trading.in_force import both


class Unclosed(Message):
    """That people know of an account which is not closed. `epoch`: of the halt for which they were told; 0: none, or it is
    over.
    """

    account: Name
    epoch: int = 0


class UnclosedCodec:
    """It as the fields of its document."""

    collection = "unclosed"

    def encode(self, state: Unclosed) -> Data:
        return {"account": state.account, "state": canonical(state.model_dump(mode="json")).decode()}

    def decode(self, data: Data) -> Unclosed:
        return validate(Unclosed, orjson.loads(data["state"]))


class HaltCloser:
    """Advances the closings of accounts for who carries a halt through, or ends it. The only writer of
    `unclosed/{account}`.
    """

    def __init__(
        self, store: Store, relay: Relay, clock: Clock, closer: Closer, controls: Aggregates[Control]
    ) -> None:
        self._documents = Aggregates(store, relay, clock, UnclosedCodec())
        self._clock = clock
        self._closer = closer
        self._controls = controls

    def advance(self, account: str, *, resumed: bool = False) -> Closing | None:
        """Advance as the Closer does, and raise what it raises. What is not only of the moment is told before that.
        `resumed`: people have lifted a halt.
        """
        try:
            closing = self._closer.advance(account)
        except (Contended, Unavailable, Unpublished):
            raise
        except Exception as problem:
            self._tell(account, problem)
            raise
        if resumed or closing is not None:
            self._end(account)
        return closing

    def _tell(self, account: str, problem: Exception) -> None:
        held = both(self._controls, account)
        _, epoch = effective(*held)
        if not halts_of(*held):
            return

        def decide(state: Unclosed | None, attempt: int) -> Change[Unclosed] | None:
            if state is not None and state.epoch == epoch:
                return None
            alert = Alert(
                alert_id=digest("unclosed", account, str(epoch)),
                account=account,
                kind="not_flat",
                object=account_scope(account),
                severity=Severity.CRITICAL,
                summary=f"Orders of account {account} are cancelled, its positions are NOT closed: {problem}"[
                    :500
                ],
                action="Close at the broker by hand what must go. Then repair or restore what cannot be read: the closing "
                "goes on within a minute.",
                raised_at=self._clock.now(),
            )
            return Change(Unclosed(account=account, epoch=epoch), [_effect(alert)])

        self._documents.change(account, decide)

    def _end(self, account: str) -> None:
        def decide(state: Unclosed | None, attempt: int) -> Change[Unclosed] | None:
            if state is None or not state.epoch:
                return None
            alert = Alert(
                alert_id=digest("unclosed_ended", account, str(state.epoch)),
                account=account,
                kind="not_flat",
                object=account_scope(account),
                severity=Severity.INFO,
                summary=f"The book and the closings of account {account} can be read again: what a halt still asks for is "
                "being closed",
                raised_at=self._clock.now(),
                resolved=True,
            )
            return Change(state.model_copy(update={"epoch": 0}), [_effect(alert)])

        self._documents.change(account, decide)


def _effect(alert: Alert) -> Effect:
    return Effect(alert.alert_id, "alerts", alert.account or "", alert.model_dump(mode="json"))
