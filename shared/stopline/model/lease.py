"""The trading lease: a broker adapter may add risk only while it holds one, and holds it for a minute at most."""

from typing import Annotated, Literal

from pydantic import Field

from stopline.model.control import TradingState
from stopline.model.decimals import DecimalText
from stopline.model.ids import Id, Name
from stopline.model.scopes import ScopeText
from stopline.model.times import UtcText
from stopline.model.wire import Message

MOST_LATENCY_MS = 86_400_000
VALID_S = 60
RENEW_S = 20
MOST = 1_000_000  # orders, or errors, that one lease tells of


def whole(number: float, most: int = MOST) -> int:
    """Return a number as a lease can tell it: whole, and from 0 to `most`."""
    return round(max(0, min(number, most)))


def latency_of(milliseconds: float | None) -> int | None:
    """Return a latency as a lease can tell it; one below 0, of a clock that was set back, is unknown, and so is NaN."""
    return whole(milliseconds, MOST_LATENCY_MS) if milliseconds is not None and milliseconds >= 0 else None


class LeaseRequest(Message):
    """What an adapter says when it asks for a lease: who it is, and how its broker does.

    `broker_ok`: the broker took and answered its last request. `errors`: failed requests in a row. `latency_ms`: time
    the broker took for its last answer; None: unknown. `orders`: how many it has sent since it was last answered; None: it
    does not say. `halts`: ids of the halts that it keeps because their kills were not stored when they came.
    """

    adapter: Name
    broker_ok: bool = True
    errors: Annotated[int, Field(ge=0, le=MOST)] = 0
    latency_ms: Annotated[int, Field(ge=0, le=MOST_LATENCY_MS)] | None = None
    orders: Annotated[int, Field(ge=0, le=MOST)] | None = None
    halts: tuple[Id, ...] = Field(default=(), max_length=200)


class PartState(Message):
    """A strategy or underlying that is not ACTIVE at full size."""

    scope: ScopeText
    state: TradingState
    size: DecimalText


class Lease(Message):
    """What an adapter may do until `expires_at`. `size`: share of the usual size. `auto_trading`: whether programs may
    add risk; `strategies`: where that differs for one. `stored`: of the halts that the adapter keeps, those whose kills are
    stored by now: from here on it is the state that counts. Renew it every `renew_s`; without a new one nothing adds risk.
    """

    type: Literal["stopline.lease.v1"] = "stopline.lease.v1"
    account: Name
    state: TradingState
    epoch: int
    size: DecimalText
    parts: tuple[PartState, ...] = ()
    auto_trading: bool = True
    strategies: dict[Name, bool] = Field(default_factory=dict)
    stored: tuple[Id, ...] = ()
    granted_at: UtcText
    expires_at: UtcText
    renew_s: int = RENEW_S
