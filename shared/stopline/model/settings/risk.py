"""How an account's risk is judged: peaks, strategy capital, margin, and what an order must bring."""

from typing import Annotated, Literal

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.ids import Name
from stopline.model.times import UtcText
from stopline.model.wire import Message

Percent = Annotated[DecimalText, Field(gt=0, le=100)]


class MarginRates(Message):
    """What one unit's value binds as margin, in percent; options bind what their payoff can lose.

    50 % for shares is Regulation T; the others are on the safe side: set your broker's.
    """

    equity: Percent = Field(default="50", validate_default=True)
    future: Percent = Field(default="20", validate_default=True)
    crypto: Percent = Field(default="100", validate_default=True)


class RiskSettings(Message):
    """`peak_mode`: drawdown from the highest valuation, or from the highest one at which a session began.
    `peaks_since`: a person's reset: peaks count from the first valuation after the moment was set.

    `strategy_capital`: the equity that a strategy's drawdown is a percentage of; without, the account's capital.
    `min_risk_reward`, `min_confidence`: what an order must bring; None: the profile's (rules/orders/refusals.py), 0: off.
    `market_collar`: a market order is valued this far, in percent, beyond its mark.
    `working_max_age_s`: for how long the check counts the working orders that a broker has told. `needs_working`: it
    refuses what adds risk unless every broker has told them within that time.
    """

    peak_mode: Literal["real_time", "end_of_day"] = "real_time"
    peaks_since: UtcText | None = None
    strategy_capital: dict[Name, Annotated[DecimalText, Field(gt=0)]] = Field(
        default_factory=dict, max_length=200
    )
    margin_rates: MarginRates = Field(default_factory=MarginRates)
    min_risk_reward: Annotated[DecimalText, Field(ge=0, le=100)] | None = None
    min_confidence: Annotated[DecimalText, Field(ge=0, le=1)] | None = None
    market_collar: Annotated[DecimalText, Field(ge=0, le=50)] = Field(default="1", validate_default=True)
    working_max_age_s: Annotated[int, Field(ge=1, le=86_400)] = 900
    needs_working: bool = False
