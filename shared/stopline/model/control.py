"""The trading state of a scope: ACTIVE, REDUCING or HALTED, with an epoch that only grows."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from stopline.model.decimals import DecimalText
from stopline.model.ids import Id
from stopline.model.scopes import GLOBAL as GLOBAL
from stopline.model.scopes import ScopeText, strategy_scope, underlying_scope
from stopline.model.scopes import account_scope as account_scope
from stopline.model.text import Text
from stopline.model.times import UtcText
from stopline.model.wire import Message

ONE = Decimal(1)
REMEMBERED = 200  # requests that a document remembers for idempotency
HALT = "halt/"  # begins the key of a halt of the second path, which no request's id can
TAKEN_UP = "taken/up"  # the key of when a document was last taken up after a loss; no request's id either
FORGOTTEN = "forgotten/until"  # the key of when the newest request was made that is forgotten by now
STOOD_FOR = "stood for"  # in place of a hash, which it can never be
HALTS_KEPT = timedelta(days=8)  # longer than Pub/Sub keeps what tells of them
MOST_HALTS = 1000
PERSON = "person"  # the key of what people hold; limits and breakers hold under their own names


class TradingState(StrEnum):
    ACTIVE = "ACTIVE"  # everything within limits
    REDUCING = "REDUCING"  # only what reduces risk
    HALTED = "HALTED"  # nothing but cancels and our own closes

    @property
    def rank(self) -> int:
        """0 for ACTIVE to 2 for HALTED: of several scopes the highest rank holds."""
        return list(TradingState).index(self)


class ClosingStatus(StrEnum):
    CLOSING = "CLOSING"
    FLAT = "FLAT"
    NOTHING_HELD = "NOTHING_HELD"  # what was killed was never held: that proves nothing about the account


class CloseOrder(Message):
    """The close command that is out for one position."""

    command_id: Id
    round: int
    quantity: DecimalText
    expires_at: UtcText


class Closing(Message):
    """A flatten under way: it is FLAT only when the fills have made it so.

    `confirmed_at`: the moment of the brokers' statements that agree, later than `flat_at`; `confirmed_by` names them. None
    as long as there was none. `flat`: the scopes that are halted and flat, by the epoch of their halt: of several
    strategies each has its own; one of which nothing was ever held is never flat.
    """

    epoch: int
    status: ClosingStatus
    since: UtcText
    flat_at: UtcText | None = None
    confirmed_at: UtcText | None = None
    confirmed_by: Text = ""
    book_revision: int = 0  # of the book that it was worked out from: an older one has nothing to say
    sent: int = 0  # close commands so far: their serial number, which no reopened position starts again
    orders: dict[str, CloseOrder] = Field(default_factory=dict)  # by position key
    flat: dict[str, int] = Field(default_factory=dict)


class Seen(Message):
    """A request that was carried out: the same id with the same content answers the same again.

    `hash`: of its content; STOOD_FOR: of a breaker's pause that came after the kill that confirms it, and is void.
    """

    hash: str
    epoch: int
    at: UtcText


class Hold(Message):
    """One reason why a scope may not trade freely. A scope's state is the strictest of its holds.

    `until`: lifted then by itself, or by `people` before. `locked_until`: lifted by nobody before. `reopen`: the share
    of the usual size that trading goes on with when it is lifted (half-open), until a person lifts that too. `quiet`: it
    came under an epoch that had begun before: who has seen that epoch may not have seen it.
    """

    state: TradingState
    size: DecimalText = ONE  # share of the usual size, while the state lets anything through
    flatten: bool = False
    actor: Id
    reason: Text
    request_id: Id
    since: UtcText
    until: UtcText | None = None
    locked_until: UtcText | None = None
    people: int = 1
    reopen: DecimalText = ONE
    quiet: bool = False


class PendingResume(Message):
    """A resume that one person asked for, where two must. `person`: who the actor is, where that is known."""

    actor: Id
    person: Id | None = None
    reason: Text
    request_id: Id
    epoch: int
    at: UtcText


class Standing(Message):
    """Where one scope stands. `epoch`: of its account, or of the whole, when it last changed. `resumed_at`: when people last
    lifted what had stopped it.
    """

    scope: ScopeText
    state: TradingState = TradingState.ACTIVE
    epoch: int = 0
    previous: TradingState = TradingState.ACTIVE
    actor: Id = "nobody"
    reason: Text = ""
    request_id: Id = "none"
    since: UtcText | None = None
    flatten: bool = False
    size: DecimalText = ONE
    holds: dict[str, Hold] = Field(
        default_factory=dict
    )  # by who holds: `person`, or a limit's or breaker's actor
    pending: PendingResume | None = None
    resumed_at: UtcText | None = None

    @property
    def last_resume(self) -> datetime | None:
        """When people last resumed it; where that was not noted yet, since when it is ACTIVE."""
        return self.resumed_at or (self.since if self.state is TradingState.ACTIVE else None)

    @property
    def said_again(self) -> Id | None:
        """The request by which people have halted once more what was halted already; None: they have not."""
        hold = self.holds.get(PERSON)
        if hold is None or not self.state is hold.state is TradingState.HALTED:
            return None
        is_later = self.since is None or hold.since > self.since
        return hold.request_id if is_later and hold.request_id != self.request_id else None

    @model_validator(mode="before")
    @classmethod
    def _held_by_somebody(cls, data: Any) -> Any:
        """Read a state that was stored before there were holds as one of a person."""
        if not isinstance(data, dict) or data.get("holds") or data.get("state", "ACTIVE") == "ACTIVE":
            return data
        hold = {
            "state": data["state"],
            "flatten": data.get("flatten", False),
            "actor": data.get("actor", "nobody"),
            "reason": data.get("reason", ""),
            "request_id": data.get("request_id", "none"),
            "since": data.get("since") or "1970-01-01T00:00:00Z",
        }
        return {**data, "holds": {PERSON: hold}}


class Control(Standing):
    """The control document of the whole, or of an account with its strategies and underlyings.

    `epoch` grows with every change of the document, so it orders all commands of an account.
    """

    parts: dict[str, Standing] = Field(default_factory=dict)  # by scope
    cancelled: int = 0  # the account's epoch for which working orders were last cancelled without closing
    # which halts have been cancelled under an epoch: since when each scope is halted
    cancelled_halts: dict[ScopeText, UtcText] = Field(default_factory=dict)
    cancelled_at: dict[ScopeText, UtcText] = Field(
        default_factory=dict
    )  # when each of them was first cancelled
    seen: dict[str, Seen] = Field(default_factory=dict)
    chain_seq: int = 0  # audit rows so far
    chain_hash: str = ""  # of the last one

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_kept_no_more(cls, data: Any) -> Any:
        """Read what older versions stored: closings have documents of their own now, and each halt its `cancelled_at`."""
        gone = ("closing", "cancelled_since")
        return {k: v for k, v in data.items() if k not in gone} if isinstance(data, dict) else data

    @property
    def requests(self) -> list[str]:
        """The remembered requests, oldest first, without halts."""
        return [k for k in self._by_age if not k.startswith(HALT) and k not in (TAKEN_UP, FORGOTTEN)]

    @property
    def _by_age(self) -> list[str]:
        return sorted(self.seen, key=lambda key: self.seen[key].at)  # a stored one is in the order of its ids

    def knows_halt(self, halt: str) -> bool:
        """Tell whether a halt of the second path has been carried out; older versions kept it among the requests."""
        return HALT + halt in self.seen or halt in self.seen

    def remembering(self, key: str, seen: Seen) -> "Control":
        """Return the control that remembers a request or a halt: of requests the newest, of halts all that may be told
        again, so that no flood of requests makes an adapter ask for ever about one.
        """
        after = self.model_copy(update={"seen": {**self.seen, key: seen}})
        halts = [k for k in after._by_age if k.startswith(HALT)]
        old = {k for k in halts if seen.at - after.seen[k].at > HALTS_KEPT}
        gone = after.requests[:-REMEMBERED]
        forgotten = {*gone, *halts[:-MOST_HALTS], *old}
        kept = {k: s for k, s in after.seen.items() if k not in forgotten}
        if gone:  # where that was not noted before, any request up to now may have been forgotten
            until = max(kept.get(FORGOTTEN, seen).at, after.seen[gone[-1]].at)
            kept[FORGOTTEN] = Seen(hash="", epoch=after.epoch, at=until)
        return after.model_copy(update={"seen": kept})

    def standing(self, scope: str) -> Standing:
        """Return where a scope of this document stands; one that was never set is ACTIVE at epoch 0."""
        if scope == self.scope:
            return self
        return self.parts.get(scope) or Standing(scope=scope)


class ControlRequest(Message):
    """A wish to change the trading state. `request_id` makes it idempotent; with other content what stops is another request
    (see rules/trading/state.py), and what loosens is refused.

    `release` lifts what the same actor holds, and nothing else; it is for limits and breakers. `releases`: the request
    whose hold it takes back, and no later one's (None: any); with a breaker's kill, the one whose pause that confirms (see
    `as_meant`). `until` is for a pause: it ends then by itself. `lock`: nobody resumes before the account's next session.
    `confirm`: a resume must say `RESUME <scope>`. `lifts`: requests whose holds the resume has seen, besides those of its
    epoch's beginning. `hold_people` and `reopen`: see Hold. `person`: who the actor is, where one person comes by several
    names.
    """

    request_id: Id
    scope: ScopeText
    action: Literal["kill", "pause", "resume", "release"]
    flatten: bool = True  # kill only: cancel and close what is open; false: cancel only
    actor: Id
    reason: Text = Field(min_length=1)
    expected_epoch: int | None = None  # resume: refused when the state has moved on
    confirm: Text = ""
    until: UtcText | None = None
    lock: bool = False
    hold_people: int = Field(default=1, ge=1, le=2)
    reopen: DecimalText = ONE
    releases: Id | None = None
    lifts: tuple[Id, ...] = Field(default=(), max_length=200)
    person: Id | None = None

    def content(self) -> dict[str, Any]:
        """Return what makes it this request: fields that later versions add count only where they are used."""
        first = {"request_id", "scope", "action", "flatten", "actor", "reason", "expected_epoch"}
        return {
            **self.model_dump(mode="json", include=first),
            **self.model_dump(mode="json", exclude_defaults=True),
        }


class Effective(NamedTuple):
    """What holds for an order or a position under all its scopes. `size`: share of the usual size."""

    state: TradingState
    epoch: int
    size: Decimal
    flatten: bool


def effective(*controls: Control) -> tuple[TradingState, int]:
    """Return the state that holds under all scopes, and the epoch that commands carry: the sum, which only
    grows.
    """
    state = max((c.state for c in controls), key=lambda s: s.rank, default=TradingState.ACTIVE)
    return state, sum(c.epoch for c in controls)


def effective_for(
    everywhere: Control, own: Control, account: str, strategy: str = "", underlying: str = ""
) -> Effective:
    """Return what holds for a strategy and an underlying of an account: the strictest state, the smallest size.

    Without a strategy or underlying that kind of scope is left out. The epoch is the account's, whatever part changed.
    """
    standings: list[Standing] = [everywhere, own]
    if strategy:
        standings.append(own.standing(strategy_scope(account, strategy)))
    if underlying:
        standings.append(own.standing(underlying_scope(account, underlying)))
    state = max((s.state for s in standings), key=lambda s: s.rank)
    return Effective(
        state,
        everywhere.epoch + own.epoch,
        Decimal(0) if state is not TradingState.ACTIVE else min(s.size for s in standings),
        any(s.state is TradingState.HALTED and s.flatten for s in standings),
    )


def is_due(moment: datetime | None, now: datetime) -> bool:
    """Tell whether a moment is set and has come."""
    return moment is not None and now >= moment
