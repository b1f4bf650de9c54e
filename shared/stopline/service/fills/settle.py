"""Settle expired options at a price that a person gives: fills like a broker's, on record with who gave it."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from functools import partial

from stopline.ledger.book import Book
from stopline.ledger.lifecycle import settlement
from stopline.model.decimals import decimal_text
from stopline.model.errors import Rejected
from stopline.model.fill import FILLS_TYPE
from stopline.model.ids import digest, document_id
from stopline.model.wire import canonical
from stopline.ports import Bus, Clock, Outgoing, Store
from stopline.service.accounts.reader import AccountReader
from stopline.service.audit.journal import journal_effect
from stopline.service.documents.aggregate import Aggregates
from stopline.service.documents.outbox import Relay
from stopline.service.fills.adjustments import checked_reason
from stopline.service.fills.books import FillLog
from stopline.service.history.rows import audit_row

MAX_FILLS = 200  # in one message


class Settler:
    """Publishes the fills of a settlement. A command that is repeated before they are booked publishes them again: they are
    duplicates. The record comes first: whoever dies in between does it again.
    """

    def __init__(
        self,
        store: Store,
        accounts: AccountReader,
        books: Aggregates[Book],
        bus: Bus,
        relay: Relay,
        clock: Clock,
    ) -> None:
        self._log = FillLog(store)
        self._accounts = accounts
        self._books = books
        self._bus = bus
        self._relay = relay
        self._clock = clock

    def settle(
        self, name: str, root: str, expiry: date, price: Decimal, broker: str | None, actor: str, reason: str
    ) -> Sequence[tuple[str, str]]:
        """Settle an account's options of a root and expiry; return the symbols, each with the id of the fill that is
        published. Rejected says why it cannot be.
        """
        account = self._accounts.require(name)
        broker = broker or account.brokers[0]
        if broker not in account.brokers:
            raise Rejected("UNKNOWN_BROKER", f"{broker!r} is not one of the brokers of {name}")
        reason = checked_reason(reason)
        now = self._clock.now()
        book = self._books.read(name)
        held = book.open_positions() if book else []
        key = partial(document_id, broker, name)
        fills = settlement(
            name,
            held,
            root,
            expiry,
            price,
            broker,
            account.sessions,
            now,
            lambda id_: self._log.has(key(id_)),
        )
        attributes = {"account": name}
        messages = [
            Outgoing(
                "fills",
                canonical({"type": FILLS_TYPE, "fills": fills[start : start + MAX_FILLS]}),
                attributes,
            )
            for start in range(0, len(fills), MAX_FILLS)
        ]
        detail = {
            "root": root,
            "expiry": expiry.isoformat(),
            "price": decimal_text(price),
            "fills": [fill["fill_id"] for fill in fills],
        }
        row = audit_row(
            event_id=digest("settled", name, root, expiry.isoformat(), *(fill["fill_id"] for fill in fills)),
            scope=f"account:{name}",
            event="options_settled",
            actor=actor,
            reason=reason,
            at=now,
            detail=detail,
        )
        self._relay.publish([journal_effect(name, [row])])  # first: what is booked cannot be settled again
        self._bus.publish(messages)
        return [(fill["instrument"]["symbol"], fill["fill_id"]) for fill in fills]
