"""What exits know of a trade: the trade as they see it, its price, and what is remembered between readings."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from stopline.model.closing import Urgency
from stopline.model.decimals import ZERO
from stopline.rules.exits.trailing import Bars

Splits = tuple[tuple[str, Decimal, Decimal], ...]
"""By symbol, how many units became of how many; empty where nothing was split."""


@dataclass(frozen=True, slots=True)
class Held:
    """An open trade as its exits see it. `side` is 1 where a higher price is a profit, else -1.

    `quantity` (above 0) counts units of the trade and comes in multiples of `step`; `entry` is the average price at
    which units of it were opened, as `Reading.price` is: of a spread the net price, positive for a credit received too.
    `shape` names the open legs in their proportion: with other legs, prices mean something else. `opened_at`: since
    it was last flat; `splits` of its open legs since then.
    """

    trade_id: str
    strategy: str
    name: str  # for people
    side: Literal[1, -1]
    quantity: Decimal
    entry: Decimal
    opened_at: datetime
    step: Decimal = Decimal(1)
    shape: str = ""
    splits: Splits = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A trade's price. Of a spread's legs, `oldest` and `newest` say when they were seen."""

    price: Decimal
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """The last close that was asked for: down to how many units, by which rule. `advisory`: people were only
    told. `stuck`: and told that it was not done.
    """

    rule: str
    at: datetime
    leave: Decimal
    advisory: bool = False
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class ExitState:
    """What is remembered of a trade. Prices are real ones. `size` is the most units it ever had; `stop` the closest that
    a rule holds, and `others` what other rules do; `risk` one R; `atr` the range that a stop by ATR counts in, 0 where a
    document of before it was noted has R alone; `pending` the readings in a row, up to the newest at `counted_at`, that
    would change something if they hold. The last `advised` of the `stage` stages were only told.

    All of it is in the units and prices of `splits`; `old_terms` are distances, as the plan writes them, of before so many
    units became of so many. `since`: `Held.opened_at` of what it is about, None where a document did not note it.
    `odd_since`: when the legs left the proportion `shape`. `split_at`: when a split was seen; older prices are of before it.
    """

    shape: str = ""
    size: Decimal = ZERO
    stop: Decimal | None = None
    rule: str = ""  # that the stop is from
    others: tuple[tuple[str, Decimal], ...] = ()
    best: Decimal | None = None
    risk: Decimal | None = None
    atr: Decimal | None = None
    is_even: bool = False
    stage: int = 0
    advised: int = 0
    pending: tuple[Decimal, ...] = ()
    counted_at: datetime | None = None
    bars: Bars | None = None
    asked: Asked | None = None
    told: tuple[str, ...] = ()  # rules that people were told of while nothing is closed for them
    splits: Splits = ()
    old_terms: Splits = ()
    since: datetime | None = None
    odd_since: datetime | None = None
    split_at: datetime | None = None


FRESH = ExitState()


@dataclass(frozen=True, slots=True)
class Exit:
    """A close to ask for: down to `leave` units. `level` is the price that was reached; None: it was time. `reason`
    does not name the rule: who shows it does.
    """

    rule: str
    leave: Decimal
    urgency: Urgency
    reason: str
    price: Decimal | None = None
    level: Decimal | None = None
