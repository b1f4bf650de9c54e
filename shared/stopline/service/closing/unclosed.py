"""Tell people where a halt with flatten closes nothing, because something of the account cannot be read: once a halt, and
when that is over. Its working orders are cancelled all the same.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

import orjson

from stopline.model.control import Closing, Control, account_scope, effective
from stopline.model.errors import Contended, Unreadable
from stopline.model.ids import Name, digest
from stopline.model.messages import Alert, Severity, alert_effect
from stopline.model.scopes import scope_of
from stopline.model.times import UtcText, utc_text
from stopline.model.wire import Message, canonical, validate
from stopline.ports import Clock, Data, Store, Unavailable, Where
from stopline.rules.closing.halts import flattens, halts_of
from stopline.service.closing.close_book import NOTHING, Closer, Uncancelled
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay, Unpublished
from stopline.service.trading.control_documents import both_to_stop

log = logging.getLogger("stopline")
SHOWN = 3  # scopes in an alert
LOOK_EVERY = timedelta(seconds=30)
MOST = 5_000  # accounts of which people were told


class Unclosed(Message):
    """That people know of an account which is not closed. `epoch`: of the account when they were told; 0: they were not, or
    it is over. `since`: when the halt for which they were told began; None: not noted.
    """

    account: Name
    epoch: int = 0
    since: UtcText | None = None


class UnclosedCodec:
    """It as the fields of its document; `epoch` beside it, so that those which are open are found by one query."""

    collection = "unclosed"

    def encode(self, state: Unclosed) -> Data:
        text = canonical(state.model_dump(mode="json")).decode()
        return {"account": state.account, "epoch": state.epoch, "state": text}

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
        self._relay = relay
        self._clock = clock
        self._closer = closer
        self._controls = controls
        self._told: Collection[str] = ()
        self._looked_at: datetime | None = None

    def advance(
        self, account: str, *, resumed: bool = False, cancelled: Mapping[str, int] = NOTHING
    ) -> Closing | None:
        """Advance as the Closer does, and raise what it raises. What is not only of the moment is told before that.
        `resumed`: people have lifted a halt.
        """
        try:
            closing = self._closer.advance(account, cancelled)
        except (Contended, Unavailable, Unpublished, Uncancelled):
            raise
        except Exception as problem:
            self._tell(account, problem)
            raise
        if resumed or account in self._open():
            self._end(account, closing)
        return closing

    def _open(self) -> Collection[str]:
        """Return the accounts of which people were told and not that it is over, as of half a minute ago at most."""
        now = self._clock.now()
        if self._looked_at is None or abs(now - self._looked_at) >= LOOK_EVERY:
            found = self._documents.query([Where("epoch", ">", 0)], limit=MOST)
            self._told, self._looked_at = {document.data.get("account", "") for document in found}, now
        return self._told

    def _tell(self, account: str, problem: Exception) -> None:
        held = both_to_stop(self._controls, account)
        _, epoch = effective(*held)
        halted = [one for one in (*held, *held[1].parts.values()) if flattens(one)]
        if not halted:
            self._end(account, None)
            return
        since = max((one.since for one in halted if one.since), default=None)
        what, now = _named(account, halts_of(*held)), self._clock.now()

        alert = Alert(
            alert_id=digest("unclosed", account, str(epoch)),
            account=account,
            kind="not_flat",
            object=account_scope(account),
            severity=Severity.CRITICAL,
            summary=f"Orders of {what} are cancelled, the positions are NOT closed: {problem}"[:500],
            action="Close at the broker by hand what must go. Then repair or restore what cannot be read: the closing "
            "goes on within a minute.",
            raised_at=now,
        )
        # what is damaged a second time in one halt is told a second time
        newly = alert.model_copy(update={"alert_id": digest("unclosed", account, str(epoch), utc_text(now))})

        def decide(state: Unclosed | None, attempt: int) -> Change[Unclosed] | None:
            if (
                state is not None
                and state.epoch
                and (since is None or (state.since and since <= state.since))
            ):
                return None
            return Change(Unclosed(account=account, epoch=epoch, since=since), [alert_effect(newly)])

        try:
            self._documents.change(account, decide)
        except Unreadable:  # as the same alert each time
            log.exception("closing: what people were told cannot be read", extra={"account": account})
            self._relay.publish([alert_effect(alert)])

    def _end(self, account: str, closing: Closing | None) -> None:
        """Tell that it is over, where people were told. `closing`: what goes on now; None: no halt asks for any."""
        now = self._clock.now()
        summary = f"Nothing of account {account} is to be closed for a halt any more"
        if closing is not None:
            why = "what a halt still asks for is being closed"
            summary = f"The book and the closings of account {account} can be read again: {why}"

        def decide(state: Unclosed | None, attempt: int) -> Change[Unclosed] | None:
            if state is None or not state.epoch:
                return None
            alert = Alert(
                alert_id=digest("unclosed_ended", account, str(state.epoch), utc_text(now)),
                account=account,
                kind="not_flat",
                object=account_scope(account),
                severity=Severity.INFO,
                summary=summary,
                raised_at=now,
                resolved=True,
            )
            return Change(state.model_copy(update={"epoch": 0}), [alert_effect(alert)])

        try:
            self._documents.change(account, decide)
        except Unreadable:  # it is only for telling: what goes on goes on
            log.exception("closing: what people were told cannot be read", extra={"account": account})


def _named(account: str, scopes: Iterable[str]) -> str:
    """Say what is halted, for people: the account, or its first parts."""
    parts = sorted(f"{part.kind} {part.name}" for part in map(scope_of, scopes) if part.is_part)
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return f"{', '.join(parts[:SHOWN])}{more} of account {account}" if parts else f"account {account}"
