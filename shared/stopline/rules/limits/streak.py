"""Losses in a row: the ledger's closed trades themselves (`ledger/trade.py`), in the order of their closing.

The ledger keeps closed trades for a day, so what is here is worked out again from them with every valuation: nothing counts
twice, nothing depends on when somebody looked, and what comes late changes the result of its trade.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from stopline.ledger.trade import Trade
from stopline.model.decimals import EXACT
from stopline.rules.orders.open_risk import Rate, add, converted

AMENDED_FOR = timedelta(hours=23)  # shorter than the ledger keeps a closed trade
MOST = 100  # closed trades that are remembered one by one
Place = tuple[datetime, str]
"""When a trade was closed, and its id."""
BEGINNING: Place = (datetime.min.replace(tzinfo=UTC), "")


class Closed(NamedTuple):
    """A closed trade. `sign` of what it made, net of all fees: -1, 0 or 1; None: UNKNOWN, a fee's rate is missing."""

    at: datetime
    trade: str
    sign: int | None

    @property
    def place(self) -> Place:
        return self.at, self.trade


@dataclass(frozen=True, slots=True)
class Streak:
    """`earlier`: losses in a row up to the place `until`, which are settled; `closed`: the trades closed after it, in the
    order of closing. An `until` of None: of a version that kept none; what is closed by now is counted in `earlier`.
    """

    earlier: int = 0
    until: Place | None = BEGINNING
    closed: tuple[Closed, ...] = ()

    @property
    def losses(self) -> int | None:
        """Return how many trades in a row have lost; one that made nothing ends no row. None: UNKNOWN."""
        return _run(self.earlier, self.closed)


def streak_after(before: Streak | None, trades: Sequence[Trade], rate: Rate, now: datetime) -> Streak:
    """Return the streak as the trades that the ledger keeps now make it. None: the count begins with the next trade."""
    known = before or Streak(until=None)
    closed = [
        Closed(trade.exited_at, trade.trade_id, _sign(trade, rate)) for trade in trades if trade.exited_at
    ]
    if known.until is None:
        return Streak(known.earlier, max((each.place for each in closed), default=BEGINNING))
    if not (closed or known.closed):
        return known
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
    if not settled:
        return Streak(known.earlier, known.until, tuple(order))
    # what is still UNKNOWN after a day counts as lost: too strict rather than too lax
    sure = [each if each.sign is not None else each._replace(sign=-1) for each in settled]
    return Streak(_run(known.earlier, sure) or 0, settled[-1].place, tuple(order[len(settled) :]))


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


def _sign(trade: Trade, rate: Rate) -> int | None:
    made = trade.net
    other = [fee for leg in trade.legs for fee in leg.other_fees.items() if fee[1]]
    if other:
        fees = add(converted(amount, currency, rate) for currency, amount in other)
        own = converted(made, trade.currency, rate)
        if fees is None or own is None:
            return None
        made = EXACT.subtract(own, fees)
    return (made > 0) - (made < 0)
