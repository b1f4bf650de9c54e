"""Losses in a row: the round trips that the ledger's closed trades make (`round_trips.py`), in the order of their closing.

The ledger keeps closed trades for a day, so what is here is worked out again from them with every valuation: nothing counts
twice, nothing depends on when somebody looked, and what comes late changes the result of its trade.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from stopline.ledger.trade import Trade
from stopline.model.decimals import EXACT
from stopline.rules.limits.round_trips import (
    AMENDED_FOR,
    MOST,
    Part,
    Place,
    Trip,
    carry,
    made,
    round_trips,
    trip_end,
)
from stopline.rules.orders.open_risk import Rate, add, converted

BEGINNING: Place = (datetime.min.replace(tzinfo=UTC), "")


class Closed(NamedTuple):
    """A round trip that has ended, by its last trade. `sign` of what it made, net of all fees: -1, 0 or 1; None: UNKNOWN, a
    fee's rate is missing.
    """

    at: datetime
    trade: str
    sign: int | None

    @property
    def place(self) -> Place:
        return self.at, self.trade


@dataclass(frozen=True, slots=True)
class Streak:
    """`earlier`: losses in a row up to the place `until`, which are settled; `closed`: the round trips that ended after it,
    in that order; `carried` and `parts`: of trips with several trades that are not settled, what is settled and what is not.
    An `until` of None: of a version that kept none; what is closed by now is counted in `earlier`.
    """

    earlier: int = 0
    until: Place | None = BEGINNING
    closed: tuple[Closed, ...] = ()
    carried: tuple[Part, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def losses(self) -> int | None:
        """Return how many round trips in a row have lost; one that made nothing ends no row. None: UNKNOWN."""
        return _run(self.earlier, self.closed)


def streak_after(before: Streak | None, trades: Sequence[Trade], rate: Rate, now: datetime) -> Streak:
    """Return the streak as the trades that the ledger keeps now make it. None: the count begins with the next trade."""
    known = before or Streak(until=None)
    if not (trades or known.closed or known.carried):
        return known if known.until else Streak(known.earlier)
    forgotten = [
        part for part in known.parts if now - part.at >= AMENDED_FOR
    ]  # by the ledger, or soon: not undone
    ended, going_on = round_trips(trades, [*known.carried, *forgotten])
    closed = [Closed(*trip_end(trip), _sign(trip, rate)) for trip in ended]
    if known.until is None:
        return Streak(known.earlier, max((each.place for each in closed), default=BEGINNING))
    stood = {each.trade: each for each in known.closed}
    stands = {
        name: each for name, each in stood.items() if now - each.at >= AMENDED_FOR
    }  # forgotten, not undone
    for each in closed:
        if each.place > known.until:
            sign = each.sign if each.sign is not None or each.trade not in stood else stood[each.trade].sign
            stands[each.trade] = each._replace(sign=sign)
    order = sorted(stands.values(), key=lambda each: each.place)
    settled = [each for i, each in enumerate(order) if now - each.at >= AMENDED_FOR or i < len(order) - MOST]
    # what is still UNKNOWN after a day counts as lost: too strict rather than too lax
    sure = [each if each.sign is not None else each._replace(sign=-1) for each in settled]
    until = settled[-1].place if settled else known.until
    several = [trip for trip in ended if len(trip) > 1 or trip[0] in known.carried]
    kept = carry([*going_on, *(trip for trip in several if trip_end(trip) > until)], now)
    return Streak(_run(known.earlier, sure) or 0, until, tuple(order[len(settled) :]), *kept)


def _run(losses: int, closed: Iterable[Closed]) -> int | None:
    """Return the losses in a row after more trades; None where one is UNKNOWN and none after it has made money."""
    count: int | None = losses
    for each in closed:
        if each.sign is None:
            count = None
        elif each.sign > 0:
            count = 0
        elif each.sign < 0 and count is not None:
            count += 1
    return count


def _sign(trip: Trip, rate: Rate) -> int | None:
    net, currency, other = made(trip)
    if other:
        fees = add(converted(amount, name, rate) for name, amount in other)
        own = converted(net, currency, rate)
        if fees is None or own is None:
            return None
        net = EXACT.subtract(own, fees)
    return (net > 0) - (net < 0)
