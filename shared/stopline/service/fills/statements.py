"""Broker statements: the newest of each broker is kept, and has the account compared at once."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import orjson

from stopline.model.errors import Rejected
from stopline.model.ids import digest
from stopline.model.messages import Effect, Sweep, SweepKind
from stopline.model.order import WorkingOrder
from stopline.model.statement import Statement
from stopline.model.times import LONG_AGO, utc_text
from stopline.model.wire import canonical, content_hash, validate
from stopline.ports import Clock, Data, Store
from stopline.service.accounts.reader import AccountReader
from stopline.service.documents.aggregate import Aggregates, Change
from stopline.service.documents.outbox import Relay

COLLECTION = "statements"
MAX_AHEAD = timedelta(seconds=60)


class StatementCodec:
    """The newest statement of one account and broker as the fields of its document."""

    collection = COLLECTION

    def encode(self, state: Statement) -> Data:
        return {
            "account": state.account,
            "broker": state.broker,
            "as_of": state.as_of,
            "complete": state.complete,
            "state": canonical(state.model_dump(mode="json")).decode(),
        }

    def decode(self, data: Data) -> Statement:
        return validate(Statement, orjson.loads(data["state"]))


def statements(store: Store, relay: Relay, clock: Clock) -> Aggregates[Statement]:
    """Return access to the newest statements, by `statement_name`."""
    return Aggregates(store, relay, clock, StatementCodec())


def statements_anew(store: Store, relay: Relay, clock: Clock) -> Aggregates[Statement]:
    """Return access for who writes them: a damaged one, Unreadable to all others, counts as one that told nothing."""
    return Aggregates(store, relay, clock, StatementCodec(), anew=_told_nothing)


def _told_nothing(name: str) -> Statement:
    account, _, broker = name.partition(".")
    return Statement(statement_id="damaged", broker=broker, account=account, as_of=LONG_AGO, complete=False)


def statement_name(account: str, broker: str) -> str:
    """Return the name of a statement's document. Neither part can hold a point."""
    return f"{account}.{broker}"


class StatementRecorder:
    """Keeps statements, for the functions `fills` and `api`."""

    def __init__(self, clock: Clock, accounts: AccountReader, documents: Aggregates[Statement]) -> None:
        self._clock = clock
        self._accounts = accounts
        self._documents = documents

    def record(self, statement: Statement) -> bool:
        """Keep a statement and have its account compared; False when it is not newer than what is kept.

        Raises Rejected when it cannot be of this account.
        """
        account = self._accounts.require(statement.account)
        if statement.broker not in account.brokers:
            raise Rejected(
                "UNKNOWN_BROKER",
                f"statement {statement.statement_id}: broker {statement.broker!r} is not one of the account's",
            )
        now = self._clock.now()
        if statement.as_of > now + MAX_AHEAD:
            raise Rejected(
                "IN_THE_FUTURE",
                f"statement {statement.statement_id}: as of {utc_text(statement.as_of)}, now is {utc_text(now)}",
            )
        is_new = False

        def decide(before: Statement | None, attempt: int) -> Change[Statement] | None:
            nonlocal is_new
            is_new = before is None or statement.as_of > before.as_of
            kept = _with_orders(statement, before, now)
            return Change(kept, [_compare_effect(statement)]) if is_new else None

        self._documents.change(statement_name(statement.account, statement.broker), decide)
        return is_new


def _with_orders(statement: Statement, before: Statement | None, now: datetime) -> Statement:
    """Return a statement with the working orders that count from it on, and of when: its own, where it lists them all, else
    those that were told last; and those too where they were asked for later. None are of later than now: the adapter's
    clock may be ahead.
    """
    told: Statement | None = statement
    at = _asked_at(statement, now)
    known_at = _asked_at(before, now)
    if not _lists_all(statement, before) or (at is not None and known_at is not None and known_at > at):
        told, at = before, known_at
    orders = told.working if told else None
    if orders == statement.working and at == statement.orders_at:
        return statement
    return statement.model_copy(update={"working": orders, "working_as_of": at})


def _asked_at(told: Statement | None, now: datetime) -> datetime | None:
    at = told.orders_at if told else None
    return None if at is None else min(at, now)


def _lists_all(statement: Statement, before: Statement | None) -> bool:
    """Tell whether a statement lists every order. One of a read that failed does if it says when it asked for them, or names
    some, and all of those that were told last: an empty list may be what failed.
    """
    if statement.working is None or statement.complete or statement.working_as_of is not None:
        return statement.working is not None
    last = before.working if before and before.working else ()
    return bool(statement.working) and _names(statement.working) >= _names(last)


def _names(orders: Iterable[WorkingOrder]) -> set[tuple[str | None, str, str]]:
    return {(one.order_id, one.instrument.symbol, one.side) for one in orders}


def _compare_effect(statement: Statement) -> Effect:
    cause = content_hash(statement.model_dump(mode="json"))
    sweep = Sweep(kind=SweepKind.RECONCILE, account=statement.account)
    return Effect(digest("statement", cause), "sweeps", statement.account, sweep.model_dump(mode="json"))
