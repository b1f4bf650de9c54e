"""What an account lets run by itself, and which breakers stop it (R5.5)."""

from typing import Annotated

from pydantic import Field

from stopline.model.decimals import DecimalText
from stopline.model.ids import Name
from stopline.model.wire import Message


class BreakerSetting(Message):
    """A breaker changed: another threshold, in the breaker's unit, or switched off by name and on purpose."""

    threshold: DecimalText | None = None
    enabled: bool = True


class TradingSettings(Message):
    """`auto_trading`: whether programs may add risk in the account at all; `strategies`: the same for single ones, by
    name, where it differs. People's orders are not concerned: they ask with `automatic: false`.

    `breakers`: changes of the table in rules/trading/breakers.py, by name.
    """

    auto_trading: bool = True
    strategies: dict[Name, bool] = Field(default_factory=dict, max_length=500)
    breakers: dict[Name, BreakerSetting] = Field(default_factory=dict, max_length=50)
    cool_down_s: Annotated[int, Field(ge=60, le=7 * 86_400)] = 3600  # after a losing streak

    def may_run(self, strategy: str) -> bool:
        """Tell whether a strategy's program may add risk."""
        return self.auto_trading and self.strategies.get(strategy, True)
