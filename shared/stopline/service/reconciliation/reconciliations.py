"""The reconciliation document of an account: which breaks stand, and what its brokers last reported."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson

from stopline.model.decimals import decimal_text
from stopline.model.errors import Transient
from stopline.model.times import utc_text
from stopline.ports import Clock, Data, Store
from stopline.rules.watching.breaks import EVERY, Break, Stage, blocked
from stopline.rules.watching.finding import BreakKind, Finding
from stopline.service.documents.aggregate import Aggregates
from stopline.service.documents.outbox import Relay

COLLECTION = "reconciliations"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Reported:
    """What a broker last said: its own equity and margin are shown beside ours, never instead of them.

    `complete_at`: the moment of its last complete statement; None when there was none. `problem`: why the newest
    one was not complete.
    """

    as_of: datetime
    statement_id: str
    complete_at: datetime | None = None
    problem: str = ""
    currency: str | None = None
    equity: Decimal | None = None
    margin: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Where an account stands against its brokers. `waits` says of instruments why they were not compared, `doubts` what
    both sides hold of those that differ now and may agree within the quiet time.

    `recheck_at`: when another pass may show more without a new statement; None when it cannot. `checked_session` is
    the last session after which the book was folded again, `ledger` where it was not the fold of its fills.
    """

    account: str
    as_of: datetime
    revision: int = 0
    breaks: Mapping[str, Break] = field(default_factory=dict)
    waits: Mapping[str, str] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    reported: Mapping[str, Reported] = field(default_factory=dict)
    overdue: tuple[str, ...] = ()
    recheck_at: datetime | None = None
    checked_session: date | None = None
    ledger: tuple[str, ...] = ()
    told: tuple[str, ...] = ()  # amendments that wait for their fill and were told of
    orders_at: int = -1  # how many fills the book had when all its orders were looked at last; -1: never
    settled: tuple[str, ...] = ()  # orders that do not add up, of which nobody needs to hear again
    looked_at: str = ""  # what book and statements were when the orders that do not add up were read last
    unchecked: Mapping[str, str] = field(default_factory=dict)  # why orders were not looked at, by instrument
    beyond: int = 0  # orders that do not add up and for whose breaks there is no room

    @property
    def untold(self) -> int:
        """How many confirmed breaks of orders people do not hear of one by one, with those that have no room."""
        orders = [b for b in self.breaks.values() if b.finding.kind is BreakKind.ORDER and b.blocks]
        return sum(not item.told for item in orders) + (self.beyond if orders else 0)

    @property
    def blocks_every(self) -> bool:
        """Whether nothing may be added to anything: it is not known which instruments are in doubt."""
        orders = (b for b in self.breaks.values() if b.finding.kind is BreakKind.ORDER)
        return self.beyond > 0 and any(item.blocks for item in orders)

    @property
    def blocked(self) -> dict[str, str]:
        """The symbols to which nothing may be added, each with why; EVERY is all of them."""
        every = f"{self.beyond} more orders than are known by name do not add up" if self.blocks_every else ""
        return {**blocked(self.breaks), **({EVERY: every} if every else {})}


class ReconciliationCodec:
    """A reconciliation as the fields of its document."""

    collection = COLLECTION

    def encode(self, state: Reconciliation) -> Data:
        body = {
            "schema": SCHEMA,
            "revision": state.revision,
            "breaks": [_break(item) for item in state.breaks.values()],
            "waits": dict(state.waits),
            "doubts": dict(state.doubts),
            "reported": {broker: _reported(told) for broker, told in state.reported.items()},
            "overdue": list(state.overdue),
            "checked_session": state.checked_session.isoformat() if state.checked_session else None,
            "ledger": list(state.ledger),
            "told": list(state.told),
            "orders_at": state.orders_at,
            "settled": list(state.settled),
            "looked_at": state.looked_at,
            "unchecked": dict(state.unchecked),
            "beyond": state.beyond,
        }
        return {
            "account": state.account,
            "as_of": state.as_of,
            "recheck_at": state.recheck_at,
            "breaks": len(state.breaks),
            "state": orjson.dumps(body).decode(),
        }

    def decode(self, data: Data) -> Reconciliation:
        body = orjson.loads(data["state"])
        if body["schema"] > SCHEMA:
            raise Transient(
                f"reconciliations/{data['account']} has schema {body['schema']}, this version writes {SCHEMA}"
            )
        checked, recheck = body["checked_session"], data.get("recheck_at")
        return Reconciliation(
            account=data["account"],
            as_of=data["as_of"].astimezone(UTC),
            revision=body["revision"],
            breaks={
                item.finding.name: item
                for item in (_read_break(told, body["reported"]) for told in body["breaks"])
            },
            waits=body["waits"],
            doubts=body.get("doubts", {}),
            reported={broker: _read_reported(told) for broker, told in body["reported"].items()},
            overdue=tuple(body["overdue"]),
            recheck_at=recheck.astimezone(UTC) if recheck else None,
            checked_session=date.fromisoformat(checked) if checked else None,
            ledger=tuple(body["ledger"]),
            told=tuple(body["told"]),
            orders_at=body.get("orders_at", -1),
            settled=tuple(body.get("settled", ())),
            looked_at=body.get("looked_at", ""),
            unchecked=body.get("unchecked", {}),
            beyond=body.get("beyond", 0),
        )


def reconciliations(store: Store, relay: Relay, clock: Clock) -> Aggregates[Reconciliation]:
    """Return access to all reconciliation documents."""
    return Aggregates(store, relay, clock, ReconciliationCodec())


def blocked_symbols(documents: Aggregates[Reconciliation], account: str) -> dict[str, str]:
    """Return the symbols of an account to which nothing may be added, each with why; read afresh."""
    state = documents.read(account)
    return state.blocked if state else {}


def describe(state: Reconciliation | None) -> dict[str, Any]:
    """Return a reconciliation as plain data for people: decimal text, None where UNKNOWN."""
    if state is None:
        return {"as_of": None, "breaks": [], "waits": {}, "reported": {}, "overdue": [], "ledger": []}
    return {
        "as_of": utc_text(state.as_of),
        "breaks": [{**_break(item), "blocks": item.blocks} for item in state.breaks.values()],
        "waits": {**state.unchecked, **state.waits},
        "reported": {broker: _reported(told) for broker, told in state.reported.items()},
        "overdue": list(state.overdue),
        "ledger": list(state.ledger),
    }


def _break(item: Break) -> dict[str, Any]:
    found = item.finding
    return {
        "symbol": found.symbol,
        **({"order": found.order} if found.order else {}),
        **({"session": found.session.isoformat()} if found.session else {}),
        "kind": found.kind.value if found.kind else None,
        "stage": item.stage.value,
        "since": utc_text(item.since),
        "ours": _text(found.ours),
        "theirs": _text(found.theirs),
        "our_price": _text(found.our_price),
        "their_price": _text(found.their_price),
        "evidence": item.evidence,
        "agreed_by": item.agreed_by,
        "brokers": list(found.brokers),
        **({} if item.told else {"told": False}),
    }


def _read_break(item: Mapping[str, Any], reported: Iterable[str]) -> Break:
    """Read a break; one of an older version does not say which brokers show it: any of those that have reported."""
    ours, theirs, our_price, their_price = (
        _number(item[name]) for name in ("ours", "theirs", "our_price", "their_price")
    )
    kind, brokers = BreakKind(item["kind"]), tuple(item.get("brokers", reported))
    session = item.get("session")
    return Break(
        Finding(
            item["symbol"],
            kind,
            ours,
            theirs,
            our_price,
            their_price,
            brokers=brokers,
            order=item.get("order", ""),
            session=date.fromisoformat(session) if session else None,
        ),
        Stage(item["stage"]),
        datetime.fromisoformat(item["since"]),
        item["evidence"],
        item["agreed_by"],
        item.get("told", True),
    )


def _reported(told: Reported) -> dict[str, Any]:
    return {
        "as_of": utc_text(told.as_of),
        "statement_id": told.statement_id,
        "complete_at": utc_text(told.complete_at) if told.complete_at else None,
        "problem": told.problem,
        "currency": told.currency,
        "equity": _text(told.equity),
        "margin": _text(told.margin),
    }


def _read_reported(told: Mapping[str, Any]) -> Reported:
    complete = told["complete_at"]
    return Reported(
        datetime.fromisoformat(told["as_of"]),
        told["statement_id"],
        datetime.fromisoformat(complete) if complete else None,
        told["problem"],
        told["currency"],
        _number(told["equity"]),
        _number(told["margin"]),
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
