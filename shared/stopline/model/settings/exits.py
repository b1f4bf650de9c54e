"""When trades and strategies are closed: the settings of an account, its strategies and single trades.

A setting that is absent (None) is inherited: from the strategy, then from the account, then from DEFAULTS.
`off` switches off what would be inherited. 0 is a number like any other.
"""

import re
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from stopline.model.decimals import ZERO, DecimalText, decimal_text, parse_decimal
from stopline.model.ids import Id, Name
from stopline.model.settings.closing import OwnClosing
from stopline.model.times import UtcText
from stopline.model.wire import Message

_DISTANCE = re.compile(r"(@?)(-?[0-9.]+)(%|R|atr|)")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")

Off = Annotated[
    Literal["off"], BeforeValidator(lambda v: "off" if v is False else v)
]  # YAML reads off as false


class Unit(StrEnum):
    PERCENT = "%"  # of the entry price
    POINTS = ""  # of price
    PRICE = "@"  # no distance: the price itself
    R = "R"  # multiples of the risk: from the entry to the first stop
    ATR = "atr"  # multiples of the average true range


@dataclass(frozen=True, slots=True)
class Distance:
    """How far from the entry price, or which price: `2%`, `1.5`, `@95`, `3R`, `2atr`."""

    value: Decimal
    unit: Unit

    def __str__(self) -> str:
        number = decimal_text(self.value)
        return f"@{number}" if self.unit is Unit.PRICE else f"{number}{self.unit}"


def parse_distance(value: Any) -> Distance:
    """Read a distance. Anything but a text of the grammar, and a distance below 0, raises ValueError."""
    if isinstance(value, Distance):
        return value
    match = _DISTANCE.fullmatch(value) if isinstance(value, str) and len(value) <= 40 else None
    if match is None or (match[1] and match[3]):
        form = 'must be a distance such as "2%", "1.5", "@95", "3R" or "2atr"'
        if isinstance(value, int | float | Decimal):
            form = f'must be a text: "{value}%" is percent of the entry price, "{value}" points of price'
        raise ValueError(f"{form}, was {str(value)[:40]!r}")
    distance = Distance(parse_decimal(match[2]), Unit.PRICE if match[1] else Unit(match[3]))
    if distance.value < 0 and distance.unit is not Unit.PRICE:
        raise ValueError(f"a distance must be 0 or more, was {value!r}")
    return distance


DistanceText = Annotated[
    Distance, BeforeValidator(parse_distance), PlainSerializer(str, return_type=str, when_used="always")
]


def _percent(value: Decimal) -> Decimal:
    if not 0 < value <= 100:
        raise ValueError(f"must be above 0 and at most 100 %, was {value}")
    return value


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError(f"must be above 0, was {value}")
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError(f"must be 0 or more, was {value}")
    return value


def _clock(value: Any) -> time:
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError(f'must be a time of day such as "15:45", was {str(value)[:20]!r}')
    return time.fromisoformat(value)


Percent = Annotated[DecimalText, AfterValidator(_percent)]
Positive = Annotated[DecimalText, AfterValidator(_positive)]
NotNegative = Annotated[DecimalText, AfterValidator(_not_negative)]
ClockText = Annotated[
    time, BeforeValidator(_clock), PlainSerializer(lambda t: t.isoformat("minutes"), return_type=str)
]
Seconds = Annotated[int, Field(ge=1, le=10**8)]
Minutes = Annotated[int, Field(ge=0, le=1440)]


class Trail(Message):
    """A trailing stop. `by` names an algorithm of rules/exits/trailing.py, which says what `amount` is in.

    It begins when the trade has been `activation` in profit.
    """

    by: Name
    amount: DistanceText
    activation: DistanceText = Distance(Decimal(2), Unit.PERCENT)


class LockStep(Message):
    """Once the trade was `at` in profit, the stop keeps `keep` of profit."""

    at: DistanceText
    keep: DistanceText


class ScaleStep(Message):
    """At `at` in profit, close `close` percent of the trade's full size."""

    at: DistanceText
    close: Percent


LockSteps = Annotated[tuple[LockStep, ...], Field(max_length=10)]
ScaleSteps = Annotated[tuple[ScaleStep, ...], Field(max_length=10)]


class TradeExits(Message):
    """Exits of trades; docs/exits.md explains each. Distances are from the trade's entry price."""

    auto_close: bool | None = None  # false: tell people, close nothing (R5.5)
    stop_loss: DistanceText | Off | None = None
    target: DistanceText | Off | None = None
    breakeven: DistanceText | Off | None = None
    breakeven_offset: DistanceText | Off | None = None
    trail: Trail | Off | None = None
    lock_in: LockSteps | Off | None = None
    scale_out: ScaleSteps | Off | None = None
    excessive_loss: DistanceText | Off | None = None
    max_age_s: Seconds | Off | None = None
    timeout_s: Seconds | Off | None = None
    exit_at: ClockText | Off | None = None
    before_close_min: Minutes | Off | None = None
    price_max_age_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    confirm: Annotated[int, Field(ge=1, le=10)] | None = None
    atr_bar_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    atr_bars: Annotated[int, Field(ge=2, le=200)] | None = None
    health_below: Annotated[int, Field(ge=0, le=100)] | Off | None = None
    closing: OwnClosing | None = None  # how they are closed, over the account's `closing`

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if isinstance(self.scale_out, tuple):
            check_scale(self.scale_out)
        return self


def check_scale(steps: tuple[ScaleStep, ...]) -> None:
    """Refuse (ValueError) a plan that closes more than there is, or whose later steps come first."""
    total = sum((step.close for step in steps), ZERO)
    if total > 100:
        raise ValueError(f"scale_out: the steps close {total} %, more than all of it")
    for one, other in pairwise(steps):
        if one.at.unit is other.at.unit and one.at.value >= other.at.value:
            raise ValueError(f"scale_out: {other.at} must lie beyond {one.at}")


class StrategyExits(Message):
    """Exits of a strategy as a whole, on its MTM: realised and unrealised P&L, in the account's currency.

    `max_loss` and `drawdown_limit` are losses, so above 0. `day` says whether MTM and peak begin anew with each
    session. `fees` and `income` (funding, dividends) say whether these count; deposits never do.
    """

    arm: NotNegative | None = None
    giveback: Percent | None = None
    drawdown_limit: Positive | None = None
    max_loss: Positive | None = None
    floor_at: NotNegative | None = None
    floor: DecimalText | None = None
    floor_step: Positive | None = None
    day: Literal["session", "carry"] = "session"
    fees: bool = True
    income: bool = True
    confirm: Annotated[int, Field(ge=1, le=10)] = 2
    auto_close: bool | None = None
    trades: TradeExits = Field(default_factory=TradeExits)

    @property
    def watches_mtm(self) -> bool:
        """Tell whether the MTM can stop the strategy."""
        rules = (self.giveback, self.drawdown_limit, self.max_loss, self.floor)
        return any(rule is not None for rule in rules)

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if (self.floor is None) is not (self.floor_at is None):
            raise ValueError(
                "floor and floor_at belong together: at which MTM, and what is kept from then on"
            )
        if self.floor is not None and self.floor_at is not None and self.floor > self.floor_at:
            raise ValueError(
                f"floor: {self.floor} is above floor_at {self.floor_at}: it would trigger at once"
            )
        if self.floor_step is not None and self.floor is None:
            raise ValueError("floor_step needs floor and floor_at")
        if self.arm is not None and self.giveback is None:
            raise ValueError("arm needs giveback: how much of the peak may be given back")
        return self


class SetAt(Message):
    """When the times of day of some trades were last changed; None: never, or before that was noted."""

    exit_at: UtcText | None = None
    before_close_min: UtcText | None = None


class ExitSettings(Message):
    """All exits of an account: of its trades, and apart from that of its strategies and of single trades. `set_at` is
    noted with each change, of the trades of all (`trades`), of a strategy (`strategies.NAME`) and of single ones
    (`single.ID`): a time of day means one that comes after it.
    """

    trades: TradeExits = Field(default_factory=TradeExits)
    strategies: dict[Name, StrategyExits] = Field(default_factory=dict, max_length=500)
    single: dict[Id, TradeExits] = Field(default_factory=dict, max_length=500)  # by trade id
    set_at: dict[str, SetAt] = Field(default_factory=dict)

    @property
    def layers(self) -> dict[str, TradeExits]:
        """What is set for trades, by the names that `set_at` has for it."""
        of_strategies = {f"strategies.{name}": some.trades for name, some in self.strategies.items()}
        return {
            "trades": self.trades,
            **of_strategies,
            **{f"single.{id_}": one for id_, one in self.single.items()},
        }

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was set."""
        return self == ExitSettings()
